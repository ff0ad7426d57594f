"""The repository of what is old."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from itertools import takewhile

from sqlalchemy import Table, and_, delete, func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from svops_plugin.application.housekeeping_ports import TABLES
from svops_plugin.domain.notifications import UNDATED, DeliveryStatus
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus
from svops_plugin.infrastructure.database import notification_tables, tables

TABLE: dict[str, Table] = {
    **{name: tables.metadata.tables[f"svops_{name}"] for name in TABLES},
    "notification_delivery": notification_tables.delivery,
}


class SqlOld:
    """Finds and deletes; see :class:`svops_plugin.application.housekeeping_ports.Old`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def count(self, table: str, before: datetime) -> int:
        """Return how many there are."""
        c = TABLE[table].c
        if table == "event":
            first_kept = self.session.scalar(select(func.min(c.id)).where(c.created_at >= before))
            old = c.id < (first_kept or self._newest_event())
        else:
            old = _old(table, before)
        return int(self.session.scalar(select(func.count()).select_from(TABLE[table]).where(old)) or 0)

    def some(self, table: str, before: datetime, after: int, limit: int) -> Sequence[int]:
        """Return the first ids after one, their rows held."""
        c = TABLE[table].c
        if table == "event":
            newest = self._newest_event()
            query = select(c.id, c.created_at).where(c.id > after, c.id < newest).order_by(c.id).limit(limit)
            rows = self.session.execute(query)
            return [row[0] for row in takewhile(lambda row: row[1] < before, rows)]
        old = select(c.id).where(_old(table, before), c.id > after).order_by(c.id).limit(limit)
        return list(self.session.scalars(old.with_for_update(of=TABLE[table])))

    def delete(self, table: str, ids: Collection[int]) -> None:
        """Delete rows; foreign keys take what belongs to them along."""
        statement = delete(TABLE[table]).where(TABLE[table].c.id.in_(ids))
        self.session.execute(statement.execution_options(synchronize_session=False))

    def _newest_event(self) -> int:
        return int(self.session.scalar(select(func.max(tables.event.c.id))) or 0)


def _old(table: str, before: datetime) -> ColumnElement[bool]:
    """Return the condition on a table other than that of events, each of which has a place in an order."""
    c = TABLE[table].c
    if table == "notification_delivery":
        return and_(c.created_at < before, c.status != DeliveryStatus.PENDING)
    if table == "idempotency_key":
        return and_(c.created_at < before, ~c.scope.startswith(UNDATED))
    if table == "refresh_token":
        return c.expires_at < before
    if table == "workflow_run":
        return and_(c.execution_id.is_(None), c.end_date < before, c.status.not_in(ACTIVE_RUNS))
    other = tables.execution.alias()
    needed = select(other.c.resumed_from_id).where(
        other.c.status == ExecutionStatus.RUNNING, other.c.resumed_from_id == c.id
    )
    last = select(tables.task.c.id).where(
        tables.task.c.last_execution_id == c.id, tables.task.c.id == c.task_id
    )
    return and_(c.ended_at < before, c.status != ExecutionStatus.RUNNING, ~needed.exists(), ~last.exists())
