"""What the columns of all tables are made of."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum as PythonEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import JSON, Column, DateTime, Enum, Integer, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect

if TYPE_CHECKING:
    DateTimeDecorator = TypeDecorator[datetime]
else:
    DateTimeDecorator = TypeDecorator  # SQLAlchemy 1.4 has no generic one


class UtcDateTime(DateTimeDecorator):
    """An aware time in UTC on every database; SQLite itself keeps none of the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Refuse a naive time, write the others in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"A naive time cannot be stored: {value!r}")
        return value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read times as aware ones in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


def json_type() -> Any:
    """Return the type of JSON that PostgreSQL can look into."""
    return JSON().with_variant(JSONB(), "postgresql")


def enum_type(kind: type[PythonEnum], name: str) -> Enum:
    """Return a string column with a CHECK on the values; no native enum, which could not be altered."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=16,
        name=name,
        values_callable=lambda members: [member.value for member in members],
    )


def id_column() -> Column[Any]:
    """Return a key that the database gives out."""
    return Column("id", Integer, primary_key=True)


def created_column() -> Column[Any]:
    """Return when a row was made."""
    return Column("created_at", UtcDateTime, nullable=False)
