"""What all resources' schemas share: fields of our own, and lists."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, missing, validate

from svops_plugin.application.ports import Page, Query

MAX_LIMIT = 1000
MAX_ID = 2**31 - 1


class Whole(fields.Nested):
    """A nested object that is made of the outer object's own attributes."""

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = missing) -> Any:  # noqa: ARG002
        """Return the outer object."""
        return obj


class PrefixedId(fields.Field):  # type: ignore[type-arg]  # generic in marshmallow 4 only
    """An integer id that goes as ``wf_1`` or ``run_1`` over the wire."""

    def __init__(self, prefix: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> str | None:  # noqa: ARG002
        return None if value is None else f"{self.prefix}_{value}"


def name_field(maximum: int = 255, **kwargs: Any) -> fields.String:
    """Return a text that has to say something, in so many characters at the most."""
    return text_field(maximum, minimum=1, **kwargs)


def text_field(maximum: int | None = None, *, minimum: int | None = None, **kwargs: Any) -> fields.String:
    """Return a text without NUL, which PostgreSQL cannot hold."""
    return fields.String(
        validate=[
            validate.Length(min=minimum, max=maximum),
            validate.ContainsNoneOf("\0", error="The character NUL is not allowed."),
        ],
        **kwargs,
    )


def tags_field(**kwargs: Any) -> Any:
    """Return a short list of short words."""
    return fields.List(name_field(64), validate=validate.Length(max=32), **kwargs)


def id_field(**kwargs: Any) -> fields.Integer:
    """Return the id of something."""
    return fields.Integer(strict=True, validate=validate.Range(1, MAX_ID), **kwargs)


class ListQuery(Schema):
    """What every list takes. A subclass adds filters, which are all that is not declared here."""

    skip = fields.Integer(load_default=0, validate=validate.Range(0, MAX_ID))
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    order_by = fields.String(load_default="-created_at", validate=validate.Length(max=64))

    def as_query(self, values: dict[str, Any]) -> Query:
        """Return the loaded values as the application's query."""
        paging = {name: values[name] for name in ("skip", "limit", "order_by")}
        filters = {name: value for name, value in values.items() if name not in paging}
        return Query(**paging, filters=filters)


def dump_page(schema: Schema, page: Page[Any]) -> dict[str, Any]:
    """Return a page as every list answers."""
    return {
        "items": schema.dump(page.items, many=True),
        "total": page.total,
        "skip": page.query.skip,
        "limit": page.query.limit,
    }
