"""Entities that are only read, made of rows of columns.

Loading them into a session, which would notice what is changed, takes as long again as the query does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import inspect, select
from sqlalchemy.sql import ColumnElement

E = TypeVar("E")


class _Part(NamedTuple):
    """The columns of a row that have an entity which the row's own names.

    :param attribute: what names it
    """

    attribute: str
    kind: type[Any]
    names: tuple[str, ...]
    columns: slice


class Reading(Generic[E]):
    """How entities of a mapped kind are read.

    :ivar query: selects their columns, and those of the entities that they name
    """

    def __init__(self, kind: type[E]) -> None:
        columns = _columns(kind)
        self.query = select(*columns.values())
        self._kind, self._names, self._parts = kind, tuple(columns), list[_Part]()
        end = len(columns)
        for one in inspect(kind).relationships:
            target, start = one.mapper.class_, end
            columns = _columns(target)
            end += len(columns)
            self.query = self.query.outerjoin(one.mapper.local_table, one.primaryjoin)
            self.query = self.query.add_columns(*columns.values())
            self._parts.append(_Part(one.key, target, tuple(columns), slice(start, end)))

    def entities(self, rows: Iterable[Sequence[Any]]) -> list[E]:
        """Return the entities of the query's rows; what several name is one object."""
        found, named = [], {}
        for row in rows:
            entity = _make(self._kind, self._names, row)
            for attribute, kind, names, columns in self._parts:
                values = row[columns]
                key = attribute, values[names.index("id")]
                if key not in named:
                    named[key] = None if key[1] is None else _make(kind, names, values)
                vars(entity)[attribute] = named[key]
            found.append(entity)
        return found


@cache
def reading(kind: Any) -> Reading[Any]:
    """Return how entities of a kind are read."""
    return Reading(kind)


def _columns(kind: type[Any]) -> dict[str, ColumnElement[Any]]:
    return {one.key: one.expression for one in inspect(kind).column_attrs}


def _make(kind: type[E], names: Sequence[str], values: Sequence[Any]) -> E:
    """Return an entity that SQLAlchemy does not follow, and whose attributes therefore cannot be set."""
    entity = kind.__new__(kind)
    vars(entity).update(zip(names, values, strict=False))  # a row goes on with what the entity names
    return entity
