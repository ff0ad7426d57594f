"""What all resources' schemas share: fields of our own, and lists."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, missing, pre_load, validate

from svops_plugin.application.ports import Page, Query

MAX_LIMIT = 1000
MAX_ID = 2**31 - 1
MAX_DEPTH = 32


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


class InputSchema(Schema):
    """What is sent: only values that every database can hold, and that JSON can say again."""

    @pre_load
    def refuse_unstorable(self, data: Any, **_kwargs: Any) -> Any:
        """Refuse NUL, lone surrogates, numbers that are not finite, and very deep nesting."""
        if isinstance(data, Mapping):
            for name in data:
                _check_value(data[name], str(name), 0)
        return data


def _check_value(value: Any, field: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ValidationError(f"Nested deeper than {MAX_DEPTH} levels.", field)
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise ValidationError("The character NUL and lone surrogates are not allowed.", field)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValidationError("Only finite numbers are allowed.", field)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_value(str(key), field, depth + 1)
            _check_value(inner, field, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check_value(inner, field, depth + 1)


def name_field(maximum: int = 255, **kwargs: Any) -> fields.String:
    """Return a text that has to say something, in so many characters at the most."""
    return text_field(maximum, minimum=1, **kwargs)


def text_field(maximum: int, *, minimum: int | None = None, **kwargs: Any) -> fields.String:
    """Return a text of so many characters at the most."""
    return fields.String(validate=validate.Length(min=minimum, max=maximum), **kwargs)


def tags_field(**kwargs: Any) -> Any:
    """Return a short list of short words."""
    return fields.List(name_field(64), validate=validate.Length(max=32), **kwargs)


def id_field(*, strict: bool = True, **kwargs: Any) -> fields.Integer:
    """Return the id of something; ``strict`` takes numbers only, and a query string has none."""
    return fields.Integer(strict=strict, validate=validate.Range(1, MAX_ID), **kwargs)


class ListQuery(InputSchema):
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
