"""``/tasks``, and executing them."""

from __future__ import annotations

import hashlib
import json
from http import HTTPStatus
from typing import Any

from flask import request
from marshmallow import Schema, fields, validate

from svops_plugin.application.executions import Once, Standing, Standings
from svops_plugin.application.ports import Page
from svops_plugin.application.tasks import Checked
from svops_plugin.domain.entities import Json, Task, User
from svops_plugin.domain.errors import Conflict, InvalidInput
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import TaskStatus
from svops_plugin.presentation.rest.api import actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.datasets import DatasetSchema
from svops_plugin.presentation.rest.errors import show_current
from svops_plugin.presentation.rest.operations import answers, answers_page, once
from svops_plugin.presentation.rest.run_schemas import (
    HistorySchema,
    StandingSchema,
    StandingsSchema,
    StartedSchema,
    StatusSchema,
    dump_started,
)
from svops_plugin.presentation.rest.schemas import (
    MAX_KEY,
    EntitySchema,
    Flag,
    Ids,
    InputSchema,
    ListQuery,
    Shared,
    Whole,
    id_field,
    name_field,
    tags_field,
    text_field,
)

blueprint = make_blueprint("tasks", "/tasks")

MAX_TASKS = 500  # whose ids still fit into the line that gunicorn reads of a request


class ConfigurationSchema(EntitySchema):
    """What the pipelines are told."""

    branch_name = fields.String(allow_none=True)
    commit_id = fields.String(allow_none=True)
    build_config = fields.String(allow_none=True)
    build_config_customized = fields.Boolean()
    build_config_custom_conf = fields.Dict()
    build_config_custom_ini = fields.Dict()


class VideoOutputSchema(EntitySchema):
    """Where the animation goes."""

    enabled = fields.Boolean(attribute="video_out_enabled")
    path = fields.String(attribute="video_out_path")


class TaskSchema(EntitySchema):
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
    created_by = fields.String(allow_none=True)
    configuration = Whole(ConfigurationSchema)
    dataset = Shared(DatasetSchema, allow_none=True)
    video_output = Whole(VideoOutputSchema)
    tags = fields.List(fields.String())
    version = fields.Integer()


class OwnerSchema(Schema):
    """Somebody who has tasks."""

    id = fields.Integer()
    username = fields.String()


class OwnersSchema(Schema):
    """Everybody who has tasks."""

    items = fields.List(fields.Nested(OwnerSchema))


class TaskFields(InputSchema):
    """What can be said of a task both at first and later."""

    description = text_field(10_000, allow_none=True)
    branch_name = text_field(255, allow_none=True)
    commit_id = text_field(255, allow_none=True)
    build_config = name_field(allow_none=True)
    build_config_customized = Flag()
    build_config_custom_conf = fields.Dict(keys=fields.String())
    build_config_custom_ini = fields.Dict(keys=fields.String())
    dataset_id = id_field(allow_none=True)
    video_out_enabled = Flag()
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


class StandingQuery(InputSchema):
    """Which tasks to tell of."""

    ids = Ids(1, MAX_TASKS)


class CloneRequest(InputSchema):
    """What to call a copy."""

    name = name_field()


class CheckedSchema(Schema):
    """Whether a task would be kept."""

    valid = fields.Boolean()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))
    resolved = fields.Dict(allow_none=True)


class ExecuteRequest(InputSchema):
    """What goes with an execution."""

    parameters = fields.Dict(keys=fields.String(), load_default=dict)
    note = text_field(10_000, load_default="")


class RetryRequest(InputSchema):
    """Where to begin again."""

    from_ = fields.String(
        data_key="from", load_default="failed", validate=validate.OneOf(["failed", "start"])
    )


_query = TaskQuery()
show_current(blueprint, TaskSchema())


@blueprint.post("/")
@body(TaskCreate())
@answers(TaskSchema(), HTTPStatus.CREATED)
def create(values: dict[str, Any]) -> Task:
    """Keep a new task."""
    values.pop("status", None)
    return services().tasks.create(actor(), values)


@blueprint.get("/")
@query(_query)
@answers_page(TaskSchema())
def index(values: dict[str, Any]) -> Page[Task]:
    """List tasks."""
    return services().tasks.page(actor(), _query.as_query(values))


@blueprint.post("/check")
@body(TaskUpdate())
@answers(CheckedSchema())
def check(values: dict[str, Any]) -> Checked:
    """Tell, while it is typed, what would be refused of a task; only fields that are sent are looked at.

    ``resolved`` is the build configuration as the pipelines would have it.
    """
    for ignored in ("status", "version"):
        values.pop(ignored, None)
    return services().tasks.check(actor(), values)


@blueprint.get("/standing")
@query(StandingQuery())
@answers(StandingsSchema())
def standing(values: dict[str, Any]) -> Standings:
    """Tell how up to 500 tasks stand, in the order of the ids; those that are not there are left out."""
    return services().executions.standings(actor(), values["ids"])


@blueprint.get("/owners")
@answers(OwnersSchema())
def owners() -> dict[str, list[User]]:
    """List everybody who has tasks, by their names."""
    return {"items": services().tasks.owners(actor())}


@blueprint.get("/<int:task_id>")
@answers(TaskSchema())
def show(task_id: int) -> Task:
    """Return a task."""
    return services().tasks.get(actor(), task_id)


@blueprint.put("/<int:task_id>")
@body(TaskUpdate())
@answers(TaskSchema(), refuses=(Conflict,))
def update(values: dict[str, Any], task_id: int) -> Task:
    """Change a task."""
    return services().tasks.update(actor(), task_id, values)


@blueprint.delete("/<int:task_id>")
@answers(status=HTTPStatus.NO_CONTENT, refuses=(Conflict,))
def delete(task_id: int) -> None:
    """Forget a task with its executions; what they wrote to disk stays."""
    services().tasks.delete(actor(), task_id)


@blueprint.post("/<int:task_id>/clone")
@body(CloneRequest())
@answers(TaskSchema(), HTTPStatus.CREATED)
def clone(values: dict[str, Any], task_id: int) -> Task:
    """Keep a new task of one's own that says the same as another."""
    return services().tasks.clone(actor(), task_id, values.get("name"))


@blueprint.post("/<int:task_id>/execute")
@once
@body(ExecuteRequest())
@answers(StartedSchema(), HTTPStatus.CREATED, refuses=(Conflict,), dumped=True)
def execute(values: dict[str, Any], task_id: int) -> Json:
    """Run the chain for a task."""
    return services().executions.execute(
        actor(),
        task_id,
        dump_started,
        parameters=values["parameters"],
        note=values["note"],
        once=identity(actor(), values),
    )


@blueprint.post("/<int:task_id>/retry")
@once
@body(RetryRequest())
@answers(StartedSchema(), HTTPStatus.CREATED, refuses=(Conflict,), dumped=True)
def retry(values: dict[str, Any], task_id: int) -> Json:
    """Go on where the last execution failed or was stopped."""
    return services().executions.retry(
        actor(),
        task_id,
        dump_started,
        from_start=values["from_"] == "start",
        once=identity(actor(), values),
    )


@blueprint.post("/<int:task_id>/stop")
@answers(StandingSchema(), refuses=(Conflict,))
def stop(task_id: int) -> Standing:
    """End a running execution."""
    return services().executions.stop(actor(), task_id)


@blueprint.get("/<int:task_id>/executions")
@answers(HistorySchema())
def executions(task_id: int) -> dict[str, Any]:
    """List every attempt, the newest first."""
    return {"items": services().executions.history(actor(), task_id)}


@blueprint.get("/<int:task_id>/status")
@answers(StatusSchema())
def status(task_id: int) -> Standing:
    """Tell how a task and its newest execution stand."""
    return services().executions.standing(actor(), task_id)


def identity(asker: Actor, values: dict[str, Any]) -> Once | None:
    """Return the request's identity, where it carries an ``Idempotency-Key``."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 1 <= len(key) <= MAX_KEY:
        raise InvalidInput.field("Idempotency-Key", f"1 to {MAX_KEY} characters are expected.")
    asked = json.dumps([request.path.rstrip("/"), values], sort_keys=True)
    digest = hashlib.sha256(asked.encode()).hexdigest()
    return Once(scope=f"user:{asker.user_id}", key=key, digest=digest)
