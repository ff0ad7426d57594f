"""``/events``: what happened, for those who ask again and again rather than listen."""

from __future__ import annotations

from typing import Any

from marshmallow import fields, validate

from svops_plugin.application.event_ports import Topic
from svops_plugin.application.events import wire
from svops_plugin.presentation.rest.api import actor, make_blueprint, query, services
from svops_plugin.presentation.rest.schemas import MAX_ID, MAX_LIMIT, InputSchema, id_field
from svops_plugin.presentation.rest.workflows import number

blueprint = make_blueprint("events", "/events")


class EventQuery(InputSchema):
    """Which events, after which."""

    since = fields.Integer(load_default=0, validate=validate.Range(0, MAX_ID))
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    task_id = id_field(strict=False, load_default=None)
    user_id = id_field(strict=False, load_default=None)
    workflow_id = fields.String(load_default=None, validate=validate.Length(max=16))


@blueprint.get("/")
@query(EventQuery())
def index(values: dict[str, Any]) -> dict[str, Any]:
    """Return the first events after ``since``, and the ``last_event_id`` to go on from."""
    workflow_id = values["workflow_id"]
    topic = Topic(
        user_id=values["user_id"],
        workflow_id=None if workflow_id is None else number("wf", workflow_id),
        task_id=values["task_id"],
    )
    found = services().events.after(actor(), values["since"], values["limit"], topic)
    return {
        "items": [wire(event) for event in found.events],
        "last_event_id": found.last_event_id,
        "resync": found.resync,
        "complete": found.complete,
    }
