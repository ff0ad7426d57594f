"""Statements that both databases have, each in a dialect of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


def insert_into(session: Session, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can be told what to do about rows that are there."""
    if session.get_bind().dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def insert_missing(session: Session, table: Table, row: Mapping[str, Any]) -> None:
    """Insert a row unless another transaction has: one statement that never fails on the unique key."""
    session.execute(insert_into(session, table).values(row).on_conflict_do_nothing())
