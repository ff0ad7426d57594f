"""PostgreSQL's notifications, as a hint that the outbox has something new."""

from __future__ import annotations

import logging
import select
import threading
from typing import Any

from sqlalchemy.engine import Connection, Engine

from svops_plugin.infrastructure.database.unit_of_work import EVENT_CHANNEL

log = logging.getLogger(__name__)


class Listener:
    """Waits on a connection of its own, and for a time at most.

    It is only ever a hint: behind a pooler such as PgBouncer LISTEN succeeds and nothing comes, and while the
    connection is lost nothing comes either.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: Connection | None = None

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Return when something was announced, at once after (re)connecting, or after so many seconds."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
                self._connection.exec_driver_sql(f"LISTEN {EVENT_CHANNEL}")
            else:
                _wait_for_notice(self._connection.connection.driver_connection, seconds)
        except Exception as lost:  # the driver's own errors; SQLAlchemy does not see these waits
            log.info("Events are polled until PostgreSQL can be listened to again (%s).", type(lost).__name__)
            self.close()
            stop.wait(seconds)

    def close(self) -> None:
        """Give up the connection, which the pool must not hand to anybody while it listens."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _wait_for_notice(connection: Any, seconds: float) -> None:
    """Wait on psycopg 3, whose notifications are an iterator, or psycopg2, whose are a list."""
    if callable(connection.notifies):
        for _ in connection.notifies(timeout=seconds, stop_after=1):
            pass
        return
    waiting = select.poll()  # select() takes no descriptor above 1023, as it is among many sockets
    waiting.register(connection, select.POLLIN)
    waiting.poll(seconds * 1000)
    connection.poll()
    connection.notifies.clear()
