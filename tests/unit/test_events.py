"""The catalogue of events beside what is documented, and who may read which."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path

import jsonschema
import pytest

from svops_plugin.application.events import encode, may_read
from svops_plugin.domain.entities import Event
from svops_plugin.domain.events import EVENT_TYPES
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import protocol

DOCUMENT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()


def test_the_document_lists_every_type_with_its_data() -> None:
    rows = re.findall(r"^\| `([a-z]+\.[a-z]+)` \| (.*?) \| (.*?) ?\|$", DOCUMENT, re.MULTILINE)
    documented = {name: (words(always), words(sometimes)) for name, always, sometimes in rows}
    assert documented == {
        name: (set(schema["required"]), set(schema["properties"]) - set(schema["required"]))
        for name, schema in EVENT_TYPES.items()
    }


def words(cell: str) -> set[str]:
    return set(cell.split(", ")) if cell.strip() else set()


def test_the_document_lists_every_close_code() -> None:
    codes = {
        value
        for name, value in vars(protocol).items()
        if name.isupper() and isinstance(value, int) and 1000 < value < 5000
    }
    assert {int(code) for code in re.findall(r"^\| (\d{4}) \|", DOCUMENT, re.MULTILINE)} == codes - {
        protocol.LONGEST_FRAME
    }


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_schemas_are_schemas(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(EVENT_TYPES[name])


@pytest.mark.parametrize(
    ("roles", "user_id", "allowed"),
    [("Admin", 9, True), ("Op", 9, False), ("Viewer", 9, False), ("Viewer", 5, True), ("", 5, True)],
)
def test_who_may_read_events_about_a_user(roles: str, user_id: int, allowed: bool) -> None:
    actor = Actor(user_id, "somebody", frozenset({roles}))
    assert may_read(actor, Event(type="user.updated", user_id=5)) is allowed


def test_nobody_is_the_user_of_an_event_without_one() -> None:
    nobody = Actor(None, "nobody", frozenset())
    assert not may_read(nobody, Event(type="user.created"))


def test_a_frame_says_it_in_the_contracts_words() -> None:
    event = Event(
        type="task.updated",
        data={"é": "…"},
        workflow_id=0,
        created_at=datetime(2026, 1, 1, tzinfo=timezone.utc),
    )
    event.id = 1
    frame = encode(event)
    assert "é" in frame
    assert json.loads(frame)["workflow_id"] == "wf_0"
    assert json.loads(frame)["timestamp"] == "2026-01-01T00:00:00+00:00"
