"""``/workflows`` and their runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Response, has_request_context, request
from marshmallow import Schema, ValidationError, fields, post_dump, validate

from svops_plugin.application.airflow_ports import DagParam
from svops_plugin.application.ports import Page
from svops_plugin.application.workflows import RunDetail
from svops_plugin.domain.entities import Json, Workflow, WorkflowRun, number_of
from svops_plugin.domain.errors import Conflict, Gone, NotFound
from svops_plugin.domain.states import RunStatus
from svops_plugin.presentation.rest.api import PREFIX, actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.bridge import base_path
from svops_plugin.presentation.rest.files import FILE, ArtifactQuery, send_artifact
from svops_plugin.presentation.rest.operations import answers, answers_page
from svops_plugin.presentation.rest.run_schemas import (
    ArtifactSchema,
    MetricSchema,
    ProgressSchema,
    WorkflowRunSchema,
)
from svops_plugin.presentation.rest.schemas import (
    Flag,
    InputSchema,
    ListQuery,
    PrefixedId,
    id_field,
    name_field,
    text_field,
)

blueprint = make_blueprint("workflows", "/workflows")


class WorkflowSchema(Schema):
    """A workflow as it is answered."""

    id = PrefixedId("wf")
    name = fields.String()
    description = fields.String(allow_none=True)
    dag_id = fields.String()
    is_active = fields.Boolean()
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    created_by_id = fields.Integer(allow_none=True)
    created_by = fields.String(allow_none=True)


class WorkflowCreate(InputSchema):
    """A DAG to register."""

    name = name_field(required=True)
    dag_id = name_field(250, required=True)
    description = text_field(10_000, allow_none=True)


class WorkflowUpdate(InputSchema):
    """Changes of a workflow; what is left out stays."""

    name = name_field()
    description = text_field(10_000, allow_none=True)
    is_active = Flag()


class WorkflowQuery(ListQuery):
    """Which workflows to list."""

    dag_id = name_field(250)
    is_active = fields.Boolean()
    q = name_field()


class DagParamSchema(Schema):
    """What a run of a DAG can be given."""

    name = fields.String()
    value = fields.Raw(allow_none=True)
    description = fields.String(allow_none=True)
    schema = fields.Dict()


class DagParamsSchema(Schema):
    """All that a run of a DAG can be given."""

    items = fields.List(fields.Nested(DagParamSchema))


class RunRequest(InputSchema):
    """What a run is given."""

    task_id = id_field(allow_none=True)
    dataset_id = id_field(allow_none=True)
    parameters = fields.Dict(keys=fields.String(), load_default=dict)
    note = text_field(10_000, allow_none=True)


def _in_utc(time: datetime) -> None:
    """Refuse a time of the first or last day there is, which another zone has not."""
    try:
        time.astimezone(timezone.utc)
    except OverflowError as overflow:
        raise ValidationError("This time is in no year from 1 to 9999 in UTC.") from overflow


class RunQuery(ListQuery):
    """Which runs to list."""

    status = fields.Enum(RunStatus, by_value=True)
    since = fields.AwareDateTime(validate=_in_utc)
    until = fields.AwareDateTime(validate=_in_utc)
    external_trigger_id = name_field(250)


class ControlRequest(InputSchema):
    """What to do with a run."""

    action = fields.String(required=True, validate=validate.OneOf(["stop", "retry"]))
    note = text_field(10_000, allow_none=True)


class TaskInstanceSchema(Schema):
    """A task instance of a run."""

    task_id = fields.String()
    state = fields.String(allow_none=True)
    start_date = fields.DateTime(allow_none=True)
    end_date = fields.DateTime(allow_none=True)
    duration = fields.Float(allow_none=True)
    try_number = fields.Integer()
    operator = fields.String(allow_none=True)
    log_url = fields.String()


class RunArtifactSchema(ArtifactSchema):
    """A file that a run left, and where it is sent from."""

    url = fields.String()


class RunDetailSchema(WorkflowRunSchema):
    """A run with its task instances, metrics and artifacts, and where to look at it in Airflow."""

    progress = fields.Nested(ProgressSchema, attribute="run")
    task_instances = fields.List(fields.Nested(TaskInstanceSchema))
    metrics = fields.List(fields.Nested(MetricSchema))
    artifacts = fields.List(fields.Nested(RunArtifactSchema))
    log_url = fields.String(allow_none=True)
    graph_url = fields.String()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Return an attribute of the detail, or of the run that it details."""
        return super().get_attribute(obj if hasattr(obj, attr) else obj.run, attr, default)

    @post_dump
    def say_where_files_are(self, shown: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
        """Add the addresses of the files, which only the run's own ids make."""
        below = request.script_root if has_request_context() else base_path()  # a socket may be asked, too
        for artifact in shown["artifacts"]:
            path = f"{shown['workflow_id']}/runs/{shown['id']}/artifacts/{quote(artifact['name'])}"
            artifact["url"] = f"{below}{PREFIX}/workflows/{path}"
        return shown


_query = WorkflowQuery()
_run_query = RunQuery()
dump_detail: Callable[[RunDetail], Json] = RunDetailSchema().dump


def number(prefix: str, text: str) -> int:
    """Return the number in an id such as ``wf_1``; the bare number is good too.

    :raises NotFound: for anything else
    """
    found = number_of(text, f"{prefix}_")
    if found is None:
        raise NotFound(f"There is no {text!r}; ids look like {prefix}_1.")
    return found


@blueprint.post("/")
@body(WorkflowCreate())
@answers(WorkflowSchema(), HTTPStatus.CREATED, refuses=(Conflict,))
def create(values: dict[str, Any]) -> Workflow:
    """Register a DAG."""
    return services().workflows.create(actor(), values)


@blueprint.get("/")
@query(_query)
@answers_page(WorkflowSchema())
def index(values: dict[str, Any]) -> Page[Workflow]:
    """List workflows."""
    return services().workflows.page(actor(), _query.as_query(values))


@blueprint.get("/<workflow_id>")
@answers(WorkflowSchema())
def show(workflow_id: str) -> Workflow:
    """Return a workflow."""
    return services().workflows.get(actor(), number("wf", workflow_id))


@blueprint.put("/<workflow_id>")
@body(WorkflowUpdate())
@answers(WorkflowSchema(), refuses=(Conflict,))
def update(values: dict[str, Any], workflow_id: str) -> Workflow:
    """Change a workflow."""
    return services().workflows.update(actor(), number("wf", workflow_id), values)


@blueprint.get("/<workflow_id>/params")
@answers(DagParamsSchema())
def params(workflow_id: str) -> dict[str, list[DagParam]]:
    """List the params of a workflow's DAG: what a run can be given, as its ``parameters``."""
    return {"items": services().workflows.params(actor(), number("wf", workflow_id))}


@blueprint.post("/<workflow_id>/runs")
@body(RunRequest())
@answers(WorkflowRunSchema(), HTTPStatus.CREATED, refuses=(Conflict,))
def run(values: dict[str, Any], workflow_id: str) -> WorkflowRun:
    """Run a workflow's DAG alone."""
    return services().workflows.run(actor(), number("wf", workflow_id), values)


@blueprint.get("/<workflow_id>/runs")
@query(_run_query)
@answers_page(WorkflowRunSchema())
def runs(values: dict[str, Any], workflow_id: str) -> Page[WorkflowRun]:
    """List a workflow's runs."""
    return services().workflows.runs(actor(), number("wf", workflow_id), _run_query.as_query(values))


@blueprint.get("/<workflow_id>/runs/<run_id>")
@answers(RunDetailSchema())
def show_run(workflow_id: str, run_id: str) -> RunDetail:
    """Return a run with its task instances, metrics and artifacts."""
    return services().workflows.detail(actor(), number("wf", workflow_id), number("run", run_id))


@blueprint.get("/<workflow_id>/runs/<run_id>/artifacts/<path:name>")
@query(ArtifactQuery())
@answers(media_type=FILE, refuses=(Gone,))
def artifact(values: dict[str, Any], workflow_id: str, run_id: str, name: str) -> Response:
    """Return a file that a run left, or the range of it that is asked for.

    Its media type is the artifact's. In a browser it runs no scripts and loads nothing.
    """
    workflow, run = number("wf", workflow_id), number("run", run_id)
    found, path = services().workflows.artifact(actor(), workflow, run, name.rstrip("/"))
    return send_artifact(found, path, download=values["download"])


@blueprint.post("/<workflow_id>/runs/<run_id>/control")
@body(ControlRequest())
@answers(WorkflowRunSchema(), refuses=(Conflict,))
def control(values: dict[str, Any], workflow_id: str, run_id: str) -> WorkflowRun:
    """Stop a run or run it again."""
    workflows = services().workflows
    act = workflows.stop if values["action"] == "stop" else workflows.retry
    return act(actor(), number("wf", workflow_id), number("run", run_id), values.get("note"))
