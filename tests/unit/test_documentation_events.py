"""The event that docs/events.md shows is one that SVOps could tell."""

from __future__ import annotations

import json

import jsonschema

from svops_plugin.application.events import encode
from svops_plugin.domain.entities import Event, utcnow
from svops_plugin.domain.events import EVENT_TYPES
from tests.unit.documentation import the_block


def test_the_event_is_one() -> None:
    shown = json.loads(the_block("docs/events.md", "json"))
    jsonschema.validate(shown["data"], EVENT_TYPES[shown["type"]])
    event = Event(type=shown["type"], created_at=utcnow())
    event.id = 1
    assert set(shown) == set(json.loads(encode(event)))
