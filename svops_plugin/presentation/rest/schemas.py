"""What all resources' schemas share: fields of our own, and lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from functools import cache
from operator import attrgetter
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, missing, pre_load, validate

from svops_plugin.application.ports import Page, Query
from svops_plugin.domain.entities import LARGEST_ID, number_of

MAX_LIMIT = 1000
MAX_DEPTH = 32
MAX_KEY = 250
SOMETIMES = {"x-sometimes": True}  # a field that not every answer has
PLAIN = frozenset({fields.String, fields.Integer, fields.Boolean, fields.Dict})


class Attributes:
    """An entity's attributes as a mapping, for one that has no ``__dict__`` or works some of them out."""

    def __init__(self, entity: Any) -> None:
        self._entity = entity

    def __getitem__(self, name: str) -> Any:
        return attrgetter(name)(self._entity)


Reader = Callable[[Any, Any], Any]  # takes the attributes and the entity that has them


class EntitySchema(Schema):
    """What is answered of an entity, whose attributes are of the fields' own types already.

    Most fields of an entity are answered as they are. They are only read, from where the entity itself keeps
    them: asking each field in turn was a seventh of what a page of tasks took.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        attributes = {name: field.attribute or name for name, field in self.dump_fields.items()}
        readers = {name: self._reader(name, attribute) for name, attribute in attributes.items()}
        self._plain = [(name, attributes[name]) for name, reader in readers.items() if reader is None]
        self._made = [(name, reader) for name, reader in readers.items() if reader is not None]

    def _reader(self, name: str, attribute: str) -> Reader | None:
        """Return what makes the answer for a field; none if it is the attribute itself."""
        field: Any = self.dump_fields[name]
        kind = type(field)
        if kind in PLAIN or (kind is fields.List and type(field.inner) in PLAIN):
            return None
        if kind is fields.DateTime and field.format == "iso":
            return lambda kept, _: None if (at := kept[attribute]) is None else at.isoformat()
        if kind is fields.Enum and field.by_value:
            return lambda kept, _: None if (member := kept[attribute]) is None else member.value
        if kind is Whole:
            return lambda _, entity: field.schema.dump(entity)
        if kind is Shared:
            return lambda kept, entity: field._serialize(kept[attribute], name, entity)
        return lambda _, entity: field.serialize(name, entity, accessor=self.get_attribute)

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        """Return an attribute."""
        return getattr(obj, attr, default)

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """Return what is answered of an entity, or of many."""
        if self.many if many is None else many:
            return [self.dump(one, many=False) for one in obj]
        try:
            return self._dump_from(vars(obj), obj)
        except (TypeError, KeyError):
            return self._dump_from(Attributes(obj), obj)

    def _dump_from(self, kept: Any, entity: Any) -> dict[str, Any]:
        dumped = {name: kept[attribute] for name, attribute in self._plain}
        for name, reader in self._made:
            dumped[name] = reader(kept, entity)
        return dumped


_dumped: ContextVar[dict[int, Any] | None] = ContextVar("dumped", default=None)  # by id, while a page lasts


class Shared(fields.Nested):
    """A nested entity that many items of a page have in common; a page dumps it once."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:  # type: ignore[override]  # two names
        known = _dumped.get()
        dumped = None if known is None else known.get(id(value))
        if dumped is None:
            dumped = super()._serialize(value, attr, obj, **kwargs)  # type: ignore[no-untyped-call]
            if known is not None:
                known[id(value)] = dumped
        return dumped


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


class Flag(fields.Boolean):
    """True or false as JSON has them; marshmallow would take many a word and number for one of the two."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:  # noqa: ARG002
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Ids(fields.String):
    """Ids with commas between, each once.

    :param least: how many there are at the least
    :param most: how many there are at the most
    """

    def __init__(self, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(required=True, **kwargs)
        self.least, self.most = least, most

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        parts = super()._deserialize(value, attr, data, **kwargs).split(",")
        ids = [number_of(part) for part in parts]
        if None in ids:
            raise ValidationError("Ids with commas between are expected, as in 1,2.")
        if len(set(ids)) < len(ids):
            raise ValidationError("An id stands there twice.")
        if not self.least <= len(ids) <= self.most:
            raise ValidationError(f"{self.least} to {self.most} ids are expected.")
        return ids


class Count(fields.Integer):
    """How many items an attribute has."""

    def _serialize(self, value: Any, attr: Any, obj: Any, **kwargs: Any) -> Any:
        return super()._serialize(len(value), attr, obj, **kwargs)


class MessageSchema(Schema):
    """What was done, in words."""

    message = fields.String()


class ProblemSchema(Schema):
    """Problem details (RFC 9457)."""

    type = fields.String()
    title = fields.String()
    status = fields.Integer()
    detail = fields.String()
    instance = fields.String()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()), metadata=SOMETIMES)
    current = fields.Dict(metadata=SOMETIMES)


class InputSchema(Schema):
    """What is sent: only values that every database can hold, and that JSON can say again."""

    class Meta:
        """Marshmallow's options: a field that nobody knows is refused."""

        unknown = RAISE

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
    return fields.Integer(strict=strict, validate=validate.Range(1, LARGEST_ID), **kwargs)


class ListQuery(InputSchema):
    """What every list takes. A subclass adds filters, which are all that is not declared here."""

    skip = fields.Integer(load_default=0, validate=validate.Range(0, LARGEST_ID))
    limit = fields.Integer(load_default=100, validate=validate.Range(1, MAX_LIMIT))
    order_by = fields.String(load_default="-created_at", validate=validate.Length(max=64))

    def as_query(self, values: dict[str, Any]) -> Query:
        """Return the loaded values as the application's query."""
        paging = {name: values[name] for name in ("skip", "limit", "order_by")}
        filters = {name: value for name, value in values.items() if name not in paging}
        return Query(**paging, filters=filters)


@cache
def list_schema(item: type[Schema]) -> type[Schema]:
    """Return the schema of a page of items."""
    name = f"{item.__name__.removesuffix('Schema')}List"
    page: type[Schema] = Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item)),
            "total": fields.Integer(),
            "skip": fields.Integer(),
            "limit": fields.Integer(),
        },
        name=name,
    )
    page.__name__ = name
    return page


def dump_page(schema: Schema, page: Page[Any]) -> dict[str, Any]:
    """Return a page as every list answers."""
    page_lasts = _dumped.set({})
    try:
        items = schema.dump(page.items, many=True)
    finally:
        _dumped.reset(page_lasts)
    return {
        "items": items,
        "total": page.total,
        "skip": page.query.skip,
        "limit": page.query.limit,
    }
