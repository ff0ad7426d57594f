"""What many items of a page have in common is dumped once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marshmallow import fields, pre_dump

from svops_plugin.application.ports import Page, Query
from svops_plugin.presentation.rest.schemas import EntitySchema, Shared, dump_page


@dataclass
class Inner:
    name: str


@dataclass
class Outer:
    inner: Inner | None


class InnerSchema(EntitySchema):
    name = fields.String()
    seen: list[str] = []  # noqa: RUF012

    @pre_dump
    def count(self, inner: Inner, **_: Any) -> Inner:
        self.seen.append(inner.name)
        return inner


class OuterSchema(EntitySchema):
    inner = Shared(InnerSchema, allow_none=True)


def page(*items: Outer) -> Page[Outer]:
    return Page(list(items), len(items), Query())


def test_a_page_dumps_each_once() -> None:
    InnerSchema.seen.clear()
    one, other = Inner("one"), Inner("other")
    answer = dump_page(OuterSchema(), page(Outer(one), Outer(other), Outer(None), Outer(one)))
    shown = [item["inner"] for item in answer["items"]]
    assert shown == [{"name": "one"}, {"name": "other"}, None, {"name": "one"}]
    assert InnerSchema.seen == ["one", "other"]


def test_the_next_answer_tells_what_is_then() -> None:
    inner = Inner("before")
    schema = OuterSchema()
    dump_page(schema, page(Outer(inner)))
    inner.name = "after"
    assert dump_page(schema, page(Outer(inner)))["items"] == [{"inner": {"name": "after"}}]
    inner.name = "alone"
    assert schema.dump(Outer(inner)) == {"inner": {"name": "alone"}}
