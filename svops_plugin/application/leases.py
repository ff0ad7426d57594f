"""Taking turns: of several processes that could do a job, one does."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import datetime
from typing import NamedTuple, Protocol

LONGEST_HOST = 40


class Lease(NamedTuple):
    """Who may act until when, unless they say that they still do."""

    name: str
    holder: str
    expires_at: datetime


class Leases(Protocol):
    """Who of several processes may act; they expire, so that another takes over from one that died."""

    def held(self) -> list[Lease]:
        """Return those that have not expired."""

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take or keep a lease for so long; tell whether it is the holder's now."""

    def position(self, name: str) -> int | None:
        """Return how far the holders of a lease have come; none if nobody has said."""

    def advance(self, name: str, position: int) -> None:
        """Write down how far the holder of a lease has come."""


def this_process() -> str:
    """Return what tells people which process on which machine this is."""
    return f"{socket.gethostname()[:LONGEST_HOST]}:{os.getpid()}"


def new_holder() -> str:
    """Return a name for a holder of leases that nobody else has, and that tells people where it is."""
    return f"{this_process()}:{secrets.token_hex(4)}"
