"""From the hub's thread to the sockets of an event loop: bounded queues, and a writer for each socket."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

from svops_plugin.application.event_ports import Census, Message, Topic
from svops_plugin.application.events import may_read
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import protocol
from svops_plugin.presentation.websocket.protocol import Close
from svops_plugin.presentation.websocket.topics import Topics

log = logging.getLogger(__name__)

Frame = dict[str, Any]
Send = Callable[[Frame], Awaitable[None]]

QUEUE = 1000  # frames that wait for a client that reads too slowly
STEP = 2000  # frames handed to sockets before the loop has a look at its other work
GIVE_UP_SECONDS = 1.0  # how soon the hub notices that the loop is gone


def frame(text: str) -> Frame:
    """Return the ASGI message that sends a text."""
    return {"type": "websocket.send", "text": text}


class Connection:
    """The sending side of one socket, whose client has been brought up to date.

    :param position: the id of the last event that the client was sent, or that was not for it
    """

    def __init__(self, actor: Actor, position: int, send: Send) -> None:
        self.actor = actor
        self.position = position
        self.topics: set[Topic] = set()
        self.closing: Close | None = None
        self.sent = 0
        self._send = send
        self._queue: deque[Frame] = deque()
        self._filled = asyncio.Event()
        self._sent_before = -1  # nobody is stuck at the first look
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Let frames go out, and return the task that sends them.

        It ends with OSError when the client is gone, and is cancelled by :meth:`close`.
        """
        self._writer = asyncio.create_task(self._write())
        return self._writer

    def push(self, event_id: int, event_frame: Frame) -> None:
        """Send an event, unless the client has it."""
        if event_id > self.position:
            self.position = event_id
            self.say(event_frame)

    def say(self, one: Frame) -> None:
        """Send a frame after those that wait; with too many waiting the client is too slow."""
        if self.closing is not None:
            return
        if len(self._queue) >= QUEUE:
            self.close(Close(protocol.TOO_MUCH, f"{QUEUE} messages wait; connect again and resume by id."))
            return
        self._queue.append(one)
        self._filled.set()

    def is_stuck(self) -> bool:
        """Tell whether frames wait and none has gone since the last call."""
        stuck = bool(self._queue) and self.sent == self._sent_before
        self._sent_before = self.sent
        return stuck

    def close(self, close: Close) -> None:
        """End the connection; the first reason counts."""
        if self.closing is None:
            self.closing = close
            self._queue.clear()
            if self._writer is not None:
                self._writer.cancel()

    async def _write(self) -> None:
        while True:
            while self._queue:
                await self._send(self._queue.popleft())
                self.sent += 1
            self._filled.clear()
            await self._filled.wait()


class Fanout:
    """All connections of an event loop, as an audience of the hub.

    Everything but :meth:`deliver` and :meth:`census` belongs to the loop. ``position`` is the id up to which
    events have been handed on; a connection that has got everything up to there may join.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._topics: Topics[Connection] = Topics()
        self._connections: dict[Connection, int] = {}
        self._sent = self._dropped = 0
        self._stopped = threading.Event()
        self._beats = 0
        self._turns = itertools.cycle(range(protocol.HEARTBEAT_SECONDS))
        self.open = 0
        self.position = 0
        self.ready = asyncio.Event()

    def deliver(self, messages: Sequence[Message], position: int) -> None:
        """Hand on what happened, from the hub's thread.

        Returns when every writer has had its turn, so that what waits in a queue then waits for its client:
        a loop that has too much to do makes the hub wait, not the clients seem slow.
        """
        done = threading.Event()
        self._loop.call_soon_threadsafe(self._step, deque(messages), position, done)
        while not done.wait(GIVE_UP_SECONDS):
            if self._stopped.is_set():
                return

    def census(self) -> Census:
        """Count, from any thread."""
        sent = self._sent + sum(connection.sent for connection in list(self._connections))
        return Census(self.open, self._topics.census(), sent, self._dropped)

    def join(self, connection: Connection, topic: Topic) -> None:
        """Let a connection that is up to date get what comes."""
        self._connections[connection] = next(self._turns)
        self.follow(connection, topic)

    def follow(self, connection: Connection, topic: Topic) -> None:
        """Let a connection get a topic, too."""
        connection.topics.add(topic)
        self._topics.follow(topic, connection)

    def leave(self, connection: Connection, topic: Topic) -> None:
        """Let a connection get a topic no more."""
        connection.topics.discard(topic)
        self._topics.leave(topic, connection)

    def part(self, connection: Connection) -> None:
        """Forget a connection."""
        for topic in list(connection.topics):
            self.leave(connection, topic)
        self._sent += connection.sent
        self._connections.pop(connection, None)
        if connection.closing is not None and connection.closing.code == protocol.TOO_MUCH:
            self._dropped += 1

    async def beat(self) -> None:
        """Give every connection a sign of life in its turn, a part of them each second, until cancelled."""
        while True:
            await asyncio.sleep(1)
            self._beats += 1
            life = frame(protocol.heartbeat(self.position))
            for connection in self._due():
                if connection.is_stuck():
                    connection.close(Close(protocol.TOO_MUCH, "The client does not read."))
                connection.say(life)

    def stop(self) -> None:
        """Close every connection and let the hub go."""
        self._stopped.set()
        for connection in list(self._connections):
            connection.close(Close(protocol.RESTARTING, "The server stops; connect again and resume by id."))

    def _due(self) -> Iterator[Connection]:
        turn = self._beats % protocol.HEARTBEAT_SECONDS
        return iter([one for one, its_turn in self._connections.items() if its_turn == turn])

    def _step(self, messages: deque[Message], position: int, done: threading.Event) -> None:
        """Queue some frames; the writers that this wakes have their turn before the next call."""
        frames = 0
        while messages and frames < STEP:
            frames += self._push(messages.popleft())
        if messages:
            self._loop.call_soon(self._step, messages, position, done)
            return
        self.position = position
        self.ready.set()
        self._loop.call_soon(done.set)

    def _push(self, message: Message) -> int:
        event, once = message.event, frame(message.text)
        followers = self._topics.followers(event)
        if event.type.startswith("user."):
            followers = [one for one in followers if may_read(one.actor, event)]
        for connection in followers:
            connection.push(event.id, once)
        self.position = event.id
        return len(followers)
