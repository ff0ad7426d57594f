"""The repositories of what happened and of who tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from svops_plugin.application.event_ports import HubRow, Recorded, Topic
from svops_plugin.infrastructure.database import tables


class SqlEvents:
    """The outbox."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def newest(self) -> int:
        """Return the highest id."""
        return int(self.session.scalar(select(func.max(tables.event.c.id))) or 0)

    def oldest(self) -> int:
        """Return the lowest id that is kept."""
        return int(self.session.scalar(select(func.min(tables.event.c.id))) or 0)

    def between(self, after: int, until: int, limit: int, topic: Topic) -> Sequence[Recorded]:
        """Return the first of those with ``after < id <= until``."""
        c = tables.event.c
        wanted = [c[name] == value for name, value in asdict(topic).items() if value is not None]
        columns = [c[name] for name in Recorded._fields]
        query = select(*columns).where(c.id > after, c.id <= until, *wanted).order_by(c.id).limit(limit)
        return [Recorded(*row) for row in self.session.execute(query)]

    def delete_before(self, time: datetime, limit: int) -> int:
        """Delete the oldest that were made before a time, never the newest one.

        What is kept stays without gaps, because the first young event ends what is deleted even where a
        clock that was set back has put older ones behind it.
        """
        c = tables.event.c
        first_kept = self.session.scalar(select(func.min(c.id)).where(c.created_at >= time)) or self.newest()
        doomed = select(c.id).where(c.id < first_kept).order_by(c.id).limit(limit)
        found: Any = self.session.execute(
            delete(tables.event).where(c.id.in_(doomed)).execution_options(synchronize_session=False)
        )
        return int(found.rowcount)


class SqlHubs:
    """The hubs of all processes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def save(self, row: HubRow) -> None:
        """Write what a hub says of itself, in one statement."""
        insert = postgresql_insert if self.session.get_bind().dialect.name == "postgresql" else sqlite_insert
        values = asdict(row)
        self.session.execute(
            insert(tables.hub).values(values).on_conflict_do_update(index_elements=["id"], set_=values)
        )

    def delete(self, hub_id: str) -> None:
        """Forget a hub that ends."""
        self.session.execute(delete(tables.hub).where(tables.hub.c.id == hub_id))

    def alive(self, since: datetime) -> Sequence[HubRow]:
        """Return those that were heard of since a time, and forget the others."""
        c = tables.hub.c
        self.session.execute(delete(tables.hub).where(c.heartbeat_at < since))
        rows = self.session.execute(select(tables.hub).order_by(c.host, c.pid, c.id)).mappings()
        return [HubRow(**row) for row in rows]
