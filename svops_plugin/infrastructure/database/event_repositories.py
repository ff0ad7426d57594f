"""The repositories of what happened and of who tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import Select

from svops_plugin.application.event_ports import HubRow, Recorded, Topic
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.statements import insert_into


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

    def get(self, event_id: int) -> Recorded | None:
        """Return the event with this id, if it is kept."""
        return next(iter(self.between(event_id - 1, event_id, 1, Topic())), None)

    def between(self, after: int, until: int, limit: int, topic: Topic) -> Sequence[Recorded]:
        """Return the first of those with ``after < id <= until``."""
        c = tables.event.c
        query = _of_topic(topic).where(c.id > after, c.id <= until).order_by(c.id).limit(limit)
        return [Recorded(*row) for row in self.session.execute(query)]

    def before(self, before: int, limit: int, topic: Topic) -> Sequence[Recorded]:
        """Return the last of those with ``id < before``, the newest first."""
        c = tables.event.c
        query = _of_topic(topic).where(c.id < before).order_by(c.id.desc()).limit(limit)
        return [Recorded(*row) for row in self.session.execute(query)]


def _of_topic(topic: Topic) -> Select[Any]:
    c = tables.event.c
    wanted = [c[name] == value for name, value in asdict(topic).items() if value is not None]
    return select(*(c[name] for name in Recorded._fields)).where(*wanted)


class SqlHubs:
    """The hubs of all processes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def save(self, row: HubRow) -> None:
        """Write what a hub says of itself, in one statement."""
        values = asdict(row)
        insert = insert_into(self.session, tables.hub).values(values)
        self.session.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))

    def delete(self, hub_id: str) -> None:
        """Forget a hub that ends."""
        self.session.execute(delete(tables.hub).where(tables.hub.c.id == hub_id))

    def alive(self, since: datetime) -> Sequence[HubRow]:
        """Return those that were heard of since a time, and forget the others."""
        c = tables.hub.c
        self.session.execute(delete(tables.hub).where(c.heartbeat_at < since))
        rows = self.session.execute(select(tables.hub).order_by(c.host, c.pid, c.id)).mappings()
        return [HubRow(**row) for row in rows]
