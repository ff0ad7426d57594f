"""What housekeeping needs of the database: finding and deleting what is old, whatever it is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Protocol

# Every table that grows with use, by its name without prefix; what belongs to a row goes with it.
TABLES = (
    "event",
    "notification_delivery",
    "idempotency_key",
    "refresh_token",
    "execution",
    "workflow_run",
)


class Old(Protocol):
    """Rows that are older than a time and that nothing depends on which is under way.

    Events by when they were made, but never the newest, whose id tells how far the outbox has come, and none
    behind one that is kept; notifications that have ended; idempotency keys, but not those of messages whose
    signature tells no time; expired refresh tokens; executions that have ended, but not the last of their
    task, nor one that a running one goes on from; workflow runs outside any chain that have ended.

    :raises KeyError: at every call, for a table that is not in ``TABLES``
    """

    def count(self, table: str, before: datetime) -> int:
        """Return how many there are."""

    def some(self, table: str, before: datetime, after: int, limit: int) -> Sequence[int]:
        """Return the first ids after one, their rows held until the transaction ends."""

    def delete(self, table: str, ids: Collection[int]) -> None:
        """Delete rows with all that belongs to them."""
