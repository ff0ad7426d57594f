"""The hub: one thread per process that reads the outbox for all who listen there."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from sqlalchemy.engine import Engine

from svops_plugin.application.event_ports import Audience, Census, HubRow, Recorded, Topic
from svops_plugin.application.events import message
from svops_plugin.application.ports import Transactions
from svops_plugin.domain.entities import LARGEST_ID, Json, utcnow
from svops_plugin.domain.errors import SVOpsError
from svops_plugin.infrastructure.events.listener import Listener

log = logging.getLogger(__name__)

READ_SECONDS = 1.0  # from one read to the next on PostgreSQL, where nothing is announced meanwhile
POLL_SECONDS = 0.5  # on SQLite, which announces nothing
BATCH = 200  # small, so that other work of the process's gets its turn in between
ROW_SECONDS = 5.0
ALIVE = timedelta(seconds=30)
EVERYTHING = Topic()


class Hub:
    """Reads what is new and hands it on.

    :param engine: returns the engine, which a deployment that is not set up yet has none of

    The outbox's ids become visible in their order, so remembering the last one is enough to miss nothing; a
    database that was away changes nothing about that.
    """

    def __init__(self, transactions: Transactions, engine: Callable[[], Engine]) -> None:
        self._transactions = transactions
        self._engine = engine
        self._listener: Listener | None = None
        self._audiences: tuple[Audience, ...] = ()
        self._position: int | None = None
        self._lag = 0.0
        self._row_due = 0.0
        self._complained = False
        self.id = secrets.token_hex(8)

    def join(self, audience: Audience) -> None:
        """Hand events to an audience, too; before :meth:`run`."""
        self._audiences = (*self._audiences, audience)

    def leave(self, audience: Audience) -> None:
        """Hand events to an audience no more; after :meth:`run`."""
        self._audiences = tuple(one for one in self._audiences if one is not audience)

    def run(self, stop: threading.Event) -> None:
        """Hand on what happens from now on until stopped; failures are logged and outlived."""
        self._position = None
        try:
            while not stop.is_set():
                self._outlive(stop)
                self._wait(stop)
        finally:
            if self._listener is not None:
                self._listener.close()
            self._forget_row()

    def row(self) -> HubRow:
        """Return what this hub has to say of itself now."""
        counts = [audience.census() for audience in self._audiences]
        return HubRow(
            id=self.id,
            host=socket.gethostname()[:250],
            pid=os.getpid(),
            heartbeat_at=utcnow(),
            last_event_id=self._position or 0,
            connections=sum(count.connections for count in counts),
            subscribers=_added(counts),
            sent=sum(count.sent for count in counts),
            dropped=sum(count.dropped for count in counts),
            lag=self._lag,
        )

    def all_rows(self) -> Sequence[HubRow]:
        """Return what the hubs of all processes last said, this one's as of now.

        :raises Unavailable: if the database does not answer
        """
        own = self.row()
        with self._transactions() as uow:
            others = uow.hubs.alive(utcnow() - ALIVE)
        return [own, *(row for row in others if row.id != self.id)]

    def _outlive(self, stop: threading.Event) -> None:
        try:
            if self._position is None:
                self._begin()
            while not stop.is_set() and self._pass_on():
                pass
            self._save_row()
            self._complained = False
        except SVOpsError as refusal:
            if not self._complained:
                log.warning("Live events wait: %s", refusal)
            self._complained = True
        except Exception:
            log.exception("The hub failed; it goes on after event %s.", self._position)

    def _begin(self) -> None:
        with self._transactions() as uow:
            newest = uow.events.newest()
        if self._engine().dialect.name == "postgresql":
            self._listener = Listener(self._engine())
        self._deliver([], newest)

    def _wait(self, stop: threading.Event) -> None:
        if self._listener is None:
            stop.wait(POLL_SECONDS)
        else:
            self._listener.wait(READ_SECONDS, stop)

    def _pass_on(self) -> bool:
        """Hand on the next few events, and tell whether there may be more."""
        with self._transactions() as uow:
            events = uow.events.between(self._position or 0, LARGEST_ID, BATCH, EVERYTHING)
        if events:
            self._deliver(events, events[-1].id)
            oldest = min(event.created_at for event in events)
            self._lag = max(self._lag, (utcnow() - oldest).total_seconds())
        return len(events) == BATCH

    def _deliver(self, events: Sequence[Recorded], position: int) -> None:
        messages = [message(event) for event in events]
        for audience in self._audiences:
            audience.deliver(messages, position)
        self._position = position

    def _save_row(self) -> None:
        now = time.monotonic()
        if now < self._row_due:
            return
        self._row_due = now + ROW_SECONDS
        with self._transactions() as uow:
            uow.hubs.save(self.row())
        self._lag = 0.0

    def _forget_row(self) -> None:
        try:
            with self._transactions() as uow:
                uow.hubs.delete(self.id)
        except SVOpsError as refusal:
            log.info("This process's row in svops_hub stays until others find it old: %s", refusal)


def _added(counts: Sequence[Census]) -> Json:
    added: Json = {"global": 0, "user": {}, "workflow": {}}
    for count in counts:
        added["global"] += count.subscribers["global"]
        for kind in ("user", "workflow"):
            for key, number in count.subscribers[kind].items():
                added[kind][key] = added[kind].get(key, 0) + number
    return added
