"""What reading events needs from outside: the outbox, and what each process's hub says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

from svops_plugin.domain.entities import Json


@dataclass(frozen=True)
class Topic:
    """Which events somebody wants: everybody's, or those of one user, of one workflow, of one task."""

    user_id: int | None = None
    workflow_id: int | None = None
    task_id: int | None = None


class Recorded(NamedTuple):
    """An event as it is read: the fields of :class:`svops_plugin.domain.entities.Event` and no row behind it.

    Readers load thousands, and a tuple costs a twentieth of what a mapped entity does.
    """

    id: int
    type: str
    task_id: int | None
    execution_id: int | None
    workflow_id: int | None
    run_id: int | None
    user_id: int | None
    actor: str
    data: Json
    created_at: datetime


class Events(Protocol):
    """The outbox, in the order of ids, which is the order of commits."""

    def newest(self) -> int:
        """Return the highest id, 0 where nothing has ever happened."""

    def oldest(self) -> int:
        """Return the lowest id that is kept, 0 where nothing has ever happened."""

    def get(self, event_id: int) -> Recorded | None:
        """Return the event with this id, if it is kept."""

    def between(self, after: int, until: int, limit: int, topic: Topic) -> Sequence[Recorded]:
        """Return the first of those with ``after < id <= until``."""

    def before(self, before: int, limit: int, topic: Topic) -> Sequence[Recorded]:
        """Return the last of those with ``id < before``, the newest first."""


@dataclass
class HubRow:
    """What one process's hub last said of itself.

    :param subscribers: ``{"global": n, "user": {id: n}, "workflow": {id: n}}``
    :param sent: frames handed to sockets since the process began
    :param dropped: connections closed because they were too slow
    :param lag: the longest that an event waited to be handed on since the row before, in seconds
    """

    id: str
    host: str
    pid: int
    heartbeat_at: datetime
    last_event_id: int = 0
    connections: int = 0
    subscribers: Json = field(default_factory=dict)
    sent: int = 0
    dropped: int = 0
    lag: float = 0.0


@dataclass(frozen=True)
class Message:
    """An event with its frames, which are encoded once however many get them.

    :param discreet: the frame for those who may not know addresses
    """

    event: Recorded
    text: str
    discreet: str


@dataclass(frozen=True)
class Census:
    """Who listens in one process, and what they got; see :class:`HubRow`."""

    connections: int = 0
    subscribers: Json = field(default_factory=dict)
    sent: int = 0
    dropped: int = 0


class Audience(Protocol):
    """Those in one process who want events."""

    def deliver(self, messages: Sequence[Message], position: int) -> None:
        """Hand on what happened, in order; returns when whoever keeps up has it.

        :param position: the id up to which everything has been handed on then
        """

    def census(self) -> Census:
        """Count."""


class Hubs(Protocol):
    """The hubs of all processes."""

    def save(self, row: HubRow) -> None:
        """Write what a hub says of itself."""

    def delete(self, hub_id: str) -> None:
        """Forget a hub that ends."""

    def alive(self, since: datetime) -> Sequence[HubRow]:
        """Return those that were heard of since a time, and forget the others."""
