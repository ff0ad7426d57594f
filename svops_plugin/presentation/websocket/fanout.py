"""From the hub's thread to the sockets of a process: bounded queues, and who gets what.

Hosts differ in how they write what waits in a queue, and in when that has been written; they add ``deliver``.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from svops_plugin.application.event_ports import Census, Message, Topic
from svops_plugin.application.events import is_for_all, may_read, sees_addresses
from svops_plugin.bootstrap import host
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import protocol
from svops_plugin.presentation.websocket.protocol import Close
from svops_plugin.presentation.websocket.topics import Topics

F = TypeVar("F")

ACCOUNT_CHANGES = frozenset({"user.updated", "user.deleted"})
QUEUE = 1000  # frames that wait for a client that reads too slowly


class Writer(Protocol):
    """Who sends what waits in a connection's queue."""

    def wake(self) -> None:
        """Send what waits."""

    def end(self) -> None:
        """Send no more, and close the socket; it may be in the middle of a frame."""


class Connection(Generic[F]):
    """The sending side of one socket, whose client is brought up to date before it joins.

    :param expires_at: when it has to end
    :param known_at: the id up to which events had been handed on before it was known who asks
    """

    def __init__(self, actor: Actor, expires_at: datetime | None, writer: Writer, known_at: int = 0) -> None:
        self.actor = actor
        self.known_at = known_at
        self.sees_addresses = sees_addresses(actor)
        self.expires_at = expires_at
        self.position = 0  # the id of the last event that the client was sent, or that was not for it
        self.topics: set[Topic] = set()
        self.closing: Close | None = None
        self.queue: deque[F] = deque()
        self.sent = 0
        self._wake = writer.wake
        self._end = writer.end
        self._sent_before = -1  # nobody is stuck at the first look

    def push(self, event_id: int, frame: F) -> None:
        """Send an event, unless the client has it."""
        if event_id > self.position:
            self.position = event_id
            self.say(frame)

    def say(self, frame: F) -> None:
        """Send a frame after those that wait; with too many waiting the client is too slow."""
        if self.closing is not None:
            return
        if len(self.queue) >= QUEUE:
            self.close(Close(protocol.TOO_MUCH, f"{QUEUE} messages wait; connect again and resume by id."))
            return
        self.queue.append(frame)
        self._wake()

    def is_stuck(self) -> bool:
        """Tell whether frames wait and none has gone since the last call."""
        stuck = bool(self.queue) and self.sent == self._sent_before
        self._sent_before = self.sent
        return stuck

    def close(self, close: Close) -> None:
        """End the connection; the first reason counts."""
        if self.closing is None:
            self.closing = close
            self.queue.clear()
            self._end()


class Fanout(Generic[F]):
    """All connections of a process, as an audience of the hub.

    ``position`` is the id up to which it is settled who gets the events, and ``told`` the one up to which
    they are in the queues: heartbeats, which may come from another thread, tell that one.

    :param frame: makes a text what a connection's writer sends
    """

    def __init__(self, frame: Callable[[str], F]) -> None:
        self.frame = frame
        self.position = self.told = 0
        self._lock = threading.Lock()  # what is handed on, and who gets it, change one at a time
        self._topics: Topics[Connection[F]] = Topics()
        self._connections: dict[Connection[F], int] = {}
        self._open = self._sent = self._dropped = 0
        self._changed: dict[int, int] = {}  # by user: the last event that told of a change
        self._beats = 0
        self._turns = itertools.count()
        self._stopped = threading.Event()

    def census(self) -> Census:
        """Count, from any thread."""
        present = list(self._connections)
        return Census(
            connections=self._open,
            subscribers=self._topics.census(),
            sent=self._sent + sum(one.sent for one in present),
            dropped=self._dropped + sum(map(_is_dropped, present)),
        )

    @contextmanager
    def place(self, most: int) -> Iterator[None]:
        """Count a socket for as long as the block lasts.

        :raises Close: if there are so many already
        """
        with self._lock:
            if self._open >= most:
                raise Close(protocol.TRY_LATER, "No connection is free; try again later.")
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    def join(self, connection: Connection[F], topic: Topic, position: int | None = None) -> bool:
        """Let a connection get what comes, if it has all there was; nothing happens in between.

        :param position: the id up to which its client has everything; none if it wants what comes only, and
            is to be told where that begins
        :raises Close: if the server stops
        """
        with self._lock:
            if self._stopped.is_set():
                raise _restarting()
            if self._changed.get(connection.actor.user_id or 0, 0) > connection.known_at:
                raise _changed()
            if position is not None and position < self.position:
                return False
            if position is None:
                position = self.position
                connection.say(self.frame(protocol.hello(position)))
            connection.position = position
            self._connections[connection] = next(self._turns)
            self._follow(connection, topic)
        return True

    def follow(self, connection: Connection[F], topic: Topic) -> None:
        """Let a connection get a topic, too."""
        with self._lock:
            self._follow(connection, topic)

    def _follow(self, connection: Connection[F], topic: Topic) -> None:
        connection.topics.add(topic)
        self._topics.follow(topic, connection)

    def leave(self, connection: Connection[F], topic: Topic) -> None:
        """Let a connection get a topic no more."""
        with self._lock:
            connection.topics.discard(topic)
            self._topics.leave(topic, connection)

    def part(self, connection: Connection[F]) -> None:
        """Forget a connection."""
        for topic in list(connection.topics):
            self.leave(connection, topic)
        with self._lock:
            self._connections.pop(connection, None)
            self._sent += connection.sent
            self._dropped += _is_dropped(connection)

    def beat(self) -> None:
        """Give signs of life to those whose turn it is; to be called each second."""
        self._beats += 1
        now, turn = utcnow(), self._beats % protocol.HEARTBEAT_SECONDS
        life = self.frame(protocol.heartbeat(self.told))
        for connection, number in list(self._connections.items()):
            if connection.expires_at is not None and connection.expires_at <= now:
                expired = "The access token has expired; connect with a new one."
                connection.close(Close(protocol.UNAUTHENTICATED, expired))
            elif number % protocol.HEARTBEAT_SECONDS == turn:
                if connection.is_stuck():
                    connection.close(Close(protocol.TOO_MUCH, "The client does not read."))
                connection.say(life)

    def stop(self) -> None:
        """Close every connection and let the hub go."""
        with self._lock:
            self._stopped.set()
        for connection in list(self._connections):
            connection.close(_restarting())

    def _turn_out(self, user_id: int, event_id: int) -> None:
        """Let a user come in again as who they are now, if they still may."""
        host().forget_users()  # this process may have kept who they were
        with self._lock:
            self._changed[user_id] = event_id
            present = list(self._connections)
        for connection in present:
            if connection.actor.user_id == user_id:
                connection.close(_changed())

    def _push(self, message: Message) -> list[Connection[F]]:
        """Put an event into the queues of those who get it, and return them."""
        event, text = message.event, self.frame(message.text)
        discreet = text if message.discreet is message.text else self.frame(message.discreet)
        if event.type in ACCOUNT_CHANGES and event.user_id is not None:
            self._turn_out(event.user_id, event.id)
        with self._lock:
            followers = list(self._topics.followers(event))
            self.position = event.id
        if not is_for_all(event):
            followers = [one for one in followers if may_read(one.actor, event)]
        for connection in followers:
            connection.push(event.id, text if connection.sees_addresses else discreet)
        self.told = event.id
        return followers

    def _reached(self, position: int) -> None:
        """Remember that nothing is missing up to an id, whether or not there was an event for it."""
        with self._lock:
            self.position = self.told = position


def _is_dropped(connection: Connection[F]) -> bool:
    return connection.closing is not None and connection.closing.code == protocol.TOO_MUCH


def _changed() -> Close:
    return Close(protocol.UNAUTHENTICATED, "The account has changed; sign in again.")


def _restarting() -> Close:
    return Close(protocol.RESTARTING, "The server stops; connect again and resume by id.")
