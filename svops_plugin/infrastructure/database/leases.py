"""The repository of leases."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from svops_plugin.application.leases import Lease
from svops_plugin.domain.entities import utcnow
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.statements import insert_missing


class SqlLeases:
    """Who of several processes may act."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take a lease that is free, expired or one's own, for so long from now."""
        now = utcnow()
        expires_at = now + timedelta(seconds=seconds)
        insert_missing(self.session, tables.lease, {"name": name, "holder": holder, "expires_at": expires_at})
        c = tables.lease.c
        taken = self.session.execute(
            update(tables.lease)
            .where(c.name == name, or_(c.holder == holder, c.expires_at < now))
            .values(holder=holder, expires_at=expires_at)
        )
        return bool(taken.rowcount)  # type: ignore[attr-defined]  # a cursor result, as of any UPDATE

    def held(self) -> list[Lease]:
        """Return those that have not expired."""
        c = tables.lease.c
        query = select(c.name, c.holder, c.expires_at).where(c.expires_at > utcnow()).order_by(c.name)
        return [Lease(*row) for row in self.session.execute(query)]

    def position(self, name: str) -> int | None:
        """Return how far the holders of a lease have come; none if nobody has said."""
        c = tables.lease.c
        found: int | None = self.session.scalar(select(c.position).where(c.name == name))
        return found

    def advance(self, name: str, position: int) -> None:
        """Write down how far the holder of a lease has come."""
        c = tables.lease.c
        self.session.execute(update(tables.lease).where(c.name == name).values(position=position))
