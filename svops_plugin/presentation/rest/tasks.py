"""``/tasks``, and executing them."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from flask import request
from marshmallow import Schema, fields, validate

from svops_plugin.application.executions import Once, Standing, Started
from svops_plugin.domain.entities import TriggerType
from svops_plugin.domain.errors import InvalidInput
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import RunStatus, TaskStatus
from svops_plugin.presentation.rest.api import actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.datasets import DatasetSchema
from svops_plugin.presentation.rest.schemas import (
    InputSchema,
    ListQuery,
    PrefixedId,
    Whole,
    dump_page,
    id_field,
    name_field,
    tags_field,
    text_field,
)

blueprint = make_blueprint("tasks", "/tasks")
MAX_KEY = 250


class ConfigurationSchema(Schema):
    """What the pipelines are told."""

    branch_name = fields.String(allow_none=True)
    commit_id = fields.String(allow_none=True)
    build_config = fields.String(allow_none=True)
    build_config_customized = fields.Boolean()
    build_config_custom_conf = fields.Dict()
    build_config_custom_ini = fields.Dict()


class VideoOutputSchema(Schema):
    """Where the animation goes."""

    enabled = fields.Boolean(attribute="video_out_enabled")
    path = fields.String(attribute="video_out_path")


class TaskSchema(Schema):
    """A task as it is answered."""

    id = fields.Integer()
    name = fields.String()
    description = fields.String(allow_none=True)
    customer = fields.String()
    log_out_path = fields.String()
    status = fields.Enum(TaskStatus, by_value=True)
    status_reason = fields.String(allow_none=True)
    last_execution_id = fields.Integer(allow_none=True)
    result = fields.Dict(allow_none=True)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    created_by_id = fields.Integer(allow_none=True)
    configuration = Whole(ConfigurationSchema)
    dataset = fields.Nested(DatasetSchema, allow_none=True)
    video_output = Whole(VideoOutputSchema)
    tags = fields.List(fields.String())
    version = fields.Integer()


class TaskFields(InputSchema):
    """What can be said of a task both at first and later."""

    description = text_field(10_000, allow_none=True)
    branch_name = text_field(255, allow_none=True)
    commit_id = text_field(255, allow_none=True)
    build_config = name_field(allow_none=True)
    build_config_customized = fields.Boolean()
    build_config_custom_conf = fields.Dict(keys=fields.String())
    build_config_custom_ini = fields.Dict(keys=fields.String())
    dataset_id = id_field(allow_none=True)
    video_out_enabled = fields.Boolean()
    video_out_path = text_field(4096)
    tags = tags_field()
    status = fields.Enum(TaskStatus, by_value=True)


class TaskCreate(TaskFields):
    """A new task; a status is accepted and ignored."""

    name = name_field(required=True)
    customer = name_field(32, required=True)
    log_out_path = name_field(4096, required=True)


class TaskUpdate(TaskFields):
    """Changes of a task; what is left out stays."""

    name = name_field()
    customer = name_field(32)
    log_out_path = name_field(4096)
    version = fields.Integer(strict=True)


class TaskQuery(ListQuery):
    """Which tasks to list."""

    status = fields.Enum(TaskStatus, by_value=True)
    customer = name_field(32)
    creator_id = id_field(strict=False)
    dataset_id = id_field(strict=False)
    tag = name_field(64)
    q = name_field()


class ExecuteRequest(InputSchema):
    """What goes with an execution."""

    parameters = fields.Dict(keys=fields.String(), load_default=dict)
    note = text_field(10_000, load_default="")


class RetryRequest(InputSchema):
    """Where to begin again."""

    from_ = fields.String(
        data_key="from", load_default="failed", validate=validate.OneOf(["failed", "start"])
    )


class ExecutionSchema(Schema):
    """One attempt, beside how it stands."""

    created_at = fields.DateTime()
    triggered_at = fields.DateTime(allow_none=True)
    ended_at = fields.DateTime(allow_none=True)
    stop_requested_at = fields.DateTime(allow_none=True)
    stop_requested_by = fields.String(allow_none=True)
    requested_by = fields.String()
    resumed_from_id = fields.Integer(allow_none=True)
    controller_run_id = fields.String()
    parameters = fields.Dict()
    note = fields.String()
    result = fields.Dict(allow_none=True)


class ProgressSchema(Schema):
    """How many of a run's tasks have ended, and what the running one last said."""

    done = fields.Integer(attribute="progress_done")
    total = fields.Integer(attribute="progress_total")
    message = fields.String()


class ErrorSchema(Schema):
    """What went wrong, and where."""

    dag_id = fields.String(allow_none=True)
    task_id = fields.String(allow_none=True)
    message = fields.String()
    log_url = fields.String(allow_none=True)
    log_tail = fields.List(fields.String())


class WorkflowRunSchema(Schema):
    """A DAG run as it is answered."""

    id = PrefixedId("run")
    workflow_id = PrefixedId("wf")
    status = fields.Enum(RunStatus, by_value=True)
    trigger_type = fields.Enum(TriggerType, by_value=True)
    configuration = fields.Dict()
    start_date = fields.DateTime(allow_none=True)
    end_date = fields.DateTime(allow_none=True)
    execution_date = fields.DateTime(attribute="created_at")
    triggered_by = fields.String()
    external_trigger_id = fields.String(attribute="dag_run_id")
    note = fields.String()
    dag_id = fields.String()
    position = fields.Integer(allow_none=True)
    progress = Whole(ProgressSchema)
    error = fields.Nested(ErrorSchema, allow_none=True)


_schema = TaskSchema()
_query = TaskQuery()
_run_schema = WorkflowRunSchema()
_error_schema = ErrorSchema()
_execution_schema = ExecutionSchema()


@blueprint.post("/")
@body(TaskCreate())
def create(values: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Keep a new task."""
    values.pop("status", None)
    return _schema.dump(services().tasks.create(actor(), values)), 201


@blueprint.get("/")
@query(_query)
def index(values: dict[str, Any]) -> dict[str, Any]:
    """List tasks."""
    return dump_page(_schema, services().tasks.page(actor(), _query.as_query(values)))


@blueprint.get("/<int:task_id>")
def show(task_id: int) -> Any:
    """Return a task."""
    return _schema.dump(services().tasks.get(actor(), task_id))


@blueprint.put("/<int:task_id>")
@body(TaskUpdate())
def update(values: dict[str, Any], task_id: int) -> Any:
    """Change a task."""
    return _schema.dump(services().tasks.update(actor(), task_id, values))


@blueprint.delete("/<int:task_id>")
def delete(task_id: int) -> tuple[str, int]:
    """Forget a task with its executions; what they wrote to disk stays."""
    services().tasks.delete(actor(), task_id)
    return "", 204


@blueprint.post("/<int:task_id>/execute")
@body(ExecuteRequest())
def execute(values: dict[str, Any], task_id: int) -> tuple[dict[str, Any], int]:
    """Run the chain for a task."""
    answer = services().executions.execute(
        actor(),
        task_id,
        dump_started,
        parameters=values["parameters"],
        note=values["note"],
        once=once(actor(), values),
    )
    return answer, 201


@blueprint.post("/<int:task_id>/retry")
@body(RetryRequest())
def retry(values: dict[str, Any], task_id: int) -> tuple[dict[str, Any], int]:
    """Go on where the last execution failed or was stopped."""
    answer = services().executions.retry(
        actor(),
        task_id,
        dump_started,
        from_start=values["from_"] == "start",
        once=once(actor(), values),
    )
    return answer, 201


@blueprint.post("/<int:task_id>/stop")
def stop(task_id: int) -> dict[str, Any]:
    """End a running execution."""
    return dump_standing(services().executions.stop(actor(), task_id))


@blueprint.get("/<int:task_id>/executions")
def executions(task_id: int) -> dict[str, Any]:
    """List every attempt, the newest first."""
    history = services().executions.history(actor(), task_id)
    return {
        "items": [
            {
                **dump_standing(standing),
                **_execution_schema.dump(standing.execution),
            }
            for standing in history
        ],
        "total": len(history),
    }


def once(asker: Actor, values: dict[str, Any]) -> Once | None:
    """Return the request's identity, where it carries an ``Idempotency-Key``."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY:
        raise InvalidInput.field("Idempotency-Key", f"1 to {MAX_KEY} characters are expected.")
    asked = json.dumps([request.path.rstrip("/"), values], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return Once(scope=f"user:{asker.user_id}", key=key, digest=digest)


def dump_started(started: Started) -> dict[str, Any]:
    """Return a started execution as the front end reads it."""
    task_id, total = started.task.id, len(started.execution.chain)
    return {
        "task_id": task_id,
        "execution_id": started.execution.id,
        "attempt": started.execution.attempt,
        "total_dags": total,
        "workflow_runs": _run_schema.dump(started.runs, many=True),
        "message": f"Task {task_id} execution started with {total} DAG chain",
    }


@blueprint.get("/<int:task_id>/status")
def status(task_id: int) -> dict[str, Any]:
    """Tell how a task and its newest execution stand."""
    return dump_standing(services().executions.standing(actor(), task_id))


def dump_standing(standing: Standing) -> dict[str, Any]:
    """Return a standing as the front end reads it."""
    task, execution = standing.task, standing.execution
    return {
        "task_id": task.id,
        "task_status": task.status.value,
        "task_name": task.name,
        "dag_chain": standing.chain,
        "workflow_runs": _run_schema.dump(standing.runs, many=True),
        "total_workflow_runs": len(standing.runs),
        "overall_status": execution.status.value if execution else "pending",
        "execution_id": execution.id if execution else None,
        "attempt": execution.attempt if execution else None,
        "progress": {
            "done": sum(run.progress_done for run in standing.runs),
            "total": sum(run.progress_total for run in standing.runs),
        },
        "error": _error_schema.dump(execution.error) if execution and execution.error else None,
    }
