"""``/workflows`` and their runs."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from svops_plugin.application.workflows import RunDetail
from svops_plugin.domain.errors import NotFound
from svops_plugin.domain.states import RunStatus
from svops_plugin.presentation.rest.api import actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.schemas import (
    InputSchema,
    ListQuery,
    PrefixedId,
    dump_page,
    id_field,
    name_field,
    text_field,
)
from svops_plugin.presentation.rest.tasks import WorkflowRunSchema

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


class WorkflowCreate(InputSchema):
    """A DAG to register."""

    name = name_field(required=True)
    dag_id = name_field(250, required=True)
    description = text_field(10_000, allow_none=True)


class WorkflowUpdate(InputSchema):
    """Changes of a workflow; what is left out stays."""

    name = name_field()
    description = text_field(10_000, allow_none=True)
    is_active = fields.Boolean()


class WorkflowQuery(ListQuery):
    """Which workflows to list."""

    dag_id = name_field(250)
    is_active = fields.Boolean()
    q = name_field()


class RunRequest(InputSchema):
    """What a run is given."""

    task_id = id_field(allow_none=True)
    dataset_id = id_field(allow_none=True)
    parameters = fields.Dict(keys=fields.String(), load_default=dict)
    note = text_field(10_000, allow_none=True)


class RunQuery(ListQuery):
    """Which runs to list."""

    status = fields.Enum(RunStatus, by_value=True)
    since = fields.AwareDateTime()
    until = fields.AwareDateTime()


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


_schema = WorkflowSchema()
_query = WorkflowQuery()
_run_schema = WorkflowRunSchema()
_run_query = RunQuery()
_instance_schema = TaskInstanceSchema()


def number(prefix: str, text: str) -> int:
    """Return the number in an id such as ``wf_1``; the bare number is good too.

    :raises NotFound: for anything else
    """
    digits = text.removeprefix(f"{prefix}_")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):  # noqa: PLR2004  # fits the column
        raise NotFound(f"There is no {text!r}; ids look like {prefix}_1.")
    return int(digits)


@blueprint.post("/")
@body(WorkflowCreate())
def create(values: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Register a DAG."""
    return _schema.dump(services().workflows.create(actor(), values)), 201


@blueprint.get("/")
@query(_query)
def index(values: dict[str, Any]) -> dict[str, Any]:
    """List workflows."""
    return dump_page(_schema, services().workflows.page(actor(), _query.as_query(values)))


@blueprint.get("/<workflow_id>")
def show(workflow_id: str) -> Any:
    """Return a workflow."""
    return _schema.dump(services().workflows.get(actor(), number("wf", workflow_id)))


@blueprint.put("/<workflow_id>")
@body(WorkflowUpdate())
def update(values: dict[str, Any], workflow_id: str) -> Any:
    """Change a workflow."""
    return _schema.dump(services().workflows.update(actor(), number("wf", workflow_id), values))


@blueprint.post("/<workflow_id>/runs")
@body(RunRequest())
def run(values: dict[str, Any], workflow_id: str) -> tuple[dict[str, Any], int]:
    """Run a workflow's DAG alone."""
    return _run_schema.dump(services().workflows.run(actor(), number("wf", workflow_id), values)), 201


@blueprint.get("/<workflow_id>/runs")
@query(_run_query)
def runs(values: dict[str, Any], workflow_id: str) -> dict[str, Any]:
    """List a workflow's runs."""
    page = services().workflows.runs(actor(), number("wf", workflow_id), _run_query.as_query(values))
    return dump_page(_run_schema, page)


@blueprint.get("/<workflow_id>/runs/<run_id>")
def show_run(workflow_id: str, run_id: str) -> dict[str, Any]:
    """Return a run with its task instances."""
    return dump_detail(services().workflows.detail(actor(), number("wf", workflow_id), number("run", run_id)))


@blueprint.post("/<workflow_id>/runs/<run_id>/control")
@body(ControlRequest())
def control(values: dict[str, Any], workflow_id: str, run_id: str) -> Any:
    """Stop a run or run it again."""
    workflows = services().workflows
    act = workflows.stop if values["action"] == "stop" else workflows.retry
    return _run_schema.dump(act(actor(), number("wf", workflow_id), number("run", run_id)))


def dump_detail(detail: RunDetail) -> dict[str, Any]:
    """Return a run's detail as the front end reads it."""
    return {
        **_run_schema.dump(detail.run),
        "task_instances": _instance_schema.dump(detail.task_instances, many=True),
        "log_url": detail.log_url,
        "graph_url": detail.graph_url,
    }
