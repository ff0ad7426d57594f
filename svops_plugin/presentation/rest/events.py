"""``/events``: what happened, for those who ask again and again rather than listen."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from svops_plugin.application.event_ports import Topic
from svops_plugin.application.events import wire
from svops_plugin.domain.entities import LARGEST_ID
from svops_plugin.domain.errors import NotFound
from svops_plugin.domain.events import EVENT_TYPES
from svops_plugin.presentation.rest.api import actor, make_blueprint, query, services
from svops_plugin.presentation.rest.operations import answers
from svops_plugin.presentation.rest.schemas import MAX_LIMIT, InputSchema, id_field
from svops_plugin.presentation.rest.workflows import number

blueprint = make_blueprint("events", "/events")


class EventQuery(InputSchema):
    """Which events, after which."""

    since = fields.Integer(load_default=0, validate=validate.Range(0, LARGEST_ID))
    before = id_field(strict=False, load_default=None)
    newest_first = fields.Boolean(load_default=False)
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    task_id = id_field(strict=False, load_default=None)
    user_id = id_field(strict=False, load_default=None)
    workflow_id = fields.String(load_default=None, validate=validate.Length(max=16))


class EventSchema(Schema):
    """What happened, as it goes over the wire."""

    id = fields.Integer()
    type = fields.String(validate=validate.OneOf(sorted(EVENT_TYPES)))
    workflow_id = fields.String(allow_none=True)
    run_id = fields.String(allow_none=True)
    task_id = fields.Integer(allow_none=True)
    execution_id = fields.Integer(allow_none=True)
    user_id = fields.Integer(allow_none=True)
    actor = fields.String()
    timestamp = fields.AwareDateTime()
    data = fields.Dict()


class EventsSchema(Schema):
    """Some of what happened, and where to go on."""

    items = fields.List(fields.Nested(EventSchema))
    last_event_id = fields.Integer()
    resync = fields.Boolean()
    complete = fields.Boolean()


@blueprint.get("/")
@query(EventQuery())
@answers(EventsSchema(), refuses=(NotFound,), dumped=True)
def index(values: dict[str, Any]) -> dict[str, Any]:
    """Return the first events after ``since``, and the ``last_event_id`` to go on from.

    With ``newest_first``, those before ``before`` instead, to leaf back through what has happened.
    """
    workflow_id = values["workflow_id"]
    topic = Topic(
        user_id=values["user_id"],
        workflow_id=None if workflow_id is None else number("wf", workflow_id),
        task_id=values["task_id"],
    )
    log, limit = services().events, values["limit"]
    if values["newest_first"]:
        found = log.before(actor(), values["before"], limit, topic)
    else:
        found = log.after(actor(), values["since"], limit, topic)
    return {
        "items": [wire(event) for event in found.events],
        "last_event_id": found.last_event_id,
        "resync": found.resync,
        "complete": found.complete,
    }
