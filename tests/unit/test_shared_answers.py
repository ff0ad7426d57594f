"""What is answered of entities: shared parts are dumped once, plain fields as they are, all of it as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from http import HTTPStatus
from typing import Any

import pytest
from marshmallow import Schema, fields

from svops_plugin.application.ports import Page, Query
from svops_plugin.domain.states import TaskStatus
from svops_plugin.presentation.rest.operations import as_json
from svops_plugin.presentation.rest.schemas import EntitySchema, Shared, Whole, dump_page


@dataclass
class Inner:
    word: str
    looks: int = 0

    @property
    def name(self) -> str:
        self.looks += 1
        return self.word


@dataclass
class Outer:
    inner: Inner | None


class InnerSchema(EntitySchema):
    name = fields.String()


class OuterSchema(EntitySchema):
    inner = Shared(InnerSchema, allow_none=True)


def page(*items: Outer) -> Page[Outer]:
    return Page(list(items), len(items), Query())


def test_a_page_dumps_each_once() -> None:
    one, other = Inner("one"), Inner("other")
    answer = dump_page(OuterSchema(), page(Outer(one), Outer(other), Outer(None), Outer(one)))
    shown = [item["inner"] for item in answer["items"]]
    assert shown == [{"name": "one"}, {"name": "other"}, None, {"name": "one"}]
    assert [one.looks, other.looks] == [1, 1]


def test_the_next_answer_tells_what_is_then() -> None:
    inner = Inner("before")
    schema = OuterSchema()
    dump_page(schema, page(Outer(inner)))
    inner.word = "after"
    assert dump_page(schema, page(Outer(inner)))["items"] == [{"inner": {"name": "after"}}]
    inner.word = "alone"
    assert schema.dump(Outer(inner)) == {"inner": {"name": "alone"}}


@dataclass
class Thing:
    id: int
    words: str | None
    at: datetime | None
    status: TaskStatus | None
    inner: Inner | None
    tags: list[str]
    profile: dict[str, int]


class ThingSchema(EntitySchema):
    id = fields.Integer()
    description = fields.String(attribute="words", allow_none=True)
    at = fields.DateTime()
    status = fields.Enum(TaskStatus, by_value=True)
    inner = Shared(InnerSchema, allow_none=True)
    whole = Whole(EntitySchema.from_dict({"words": fields.String()}))
    tags = fields.List(fields.String())
    profile = fields.Dict()


@pytest.mark.parametrize("words", ["said", "", None])
@pytest.mark.parametrize("inner", [Inner("inside"), None])
@pytest.mark.parametrize("status", [TaskStatus.COMPLETED, None])
@pytest.mark.parametrize("at", [datetime(2026, 11, 28, 12, 0, 0, 5, tzinfo=timezone.utc), None])
def test_an_entity_is_dumped_as_marshmallow_would(
    words: str | None, inner: Inner | None, status: TaskStatus | None, at: datetime | None
) -> None:
    thing = Thing(1, words, at, status, inner, ["a"], {"b": 2})
    schema = ThingSchema()
    assert schema.dump(thing) == Schema.dump(schema, thing)
    assert schema.dump([thing, thing], many=True) == Schema.dump(schema, [thing, thing], many=True)
    assert ThingSchema(many=True).dump([thing]) == [schema.dump(thing)]


@pytest.mark.parametrize(
    "value", [{"b": "한국어", "a": [1.5, None, True]}, {"name": "\udcff"}, {"many": 2**70}, []]
)
def test_whatever_is_answered_goes_as_json(value: Any) -> None:
    answer = as_json(value, HTTPStatus.CREATED)
    assert (answer.status_code, answer.mimetype) == (201, "application/json")
    assert json.loads(answer.data) == value
    assert answer.data.startswith((b'{"a"', b'{"name"', b'{"many"', b"["))
