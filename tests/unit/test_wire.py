"""The socket under a WebSocket that two threads write to, and whose client may not read."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from svops_plugin.presentation.websocket import wire as module
from svops_plugin.presentation.websocket.session import run
from svops_plugin.presentation.websocket.wire import Wire

PATIENCE = 60.0
LARGE = 8 * 1024 * 1024  # more than the buffers of any socket


class Inbox(list[str]):
    """Messages whose number is looked at, and how often."""

    looks = 0

    def __len__(self) -> int:
        self.looks += 1
        return super().__len__()


class Pair:
    """A wire and its client."""

    def __init__(self, ours: socket.socket, theirs: socket.socket) -> None:
        self.inbox = Inbox()
        self.idle, self.ended = threading.Event(), threading.Event()
        self.wire = Wire(ours, self.inbox, idle=self.idle.set, ended=self.ended.set)
        self.client = theirs

    def begin(self, data: bytes) -> threading.Thread:
        """Send from a thread of its own."""

        def send() -> None:
            try:
                self.wire.send(data)
            except OSError:
                self.ended.set()

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread

    def receive(self, size: int) -> bytes:
        self.client.settimeout(PATIENCE)
        found = bytearray()
        while len(found) < size:
            found += self.client.recv(65536)
        return bytes(found)


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Pair(ours, theirs)


def test_a_frame_is_whole_whoever_else_sends(pair: Pair) -> None:
    first = pair.begin(b"a" * LARGE)
    assert pair.idle.wait(PATIENCE)
    assert pair.wire.blocked
    second = pair.begin(b"b" * 10)
    assert pair.receive(LARGE + 10) == b"a" * LARGE + b"b" * 10
    for thread in (first, second):
        thread.join(PATIENCE)
    assert not pair.wire.blocked


def test_what_comes_in_at_the_end_is_not_kept(pair: Pair) -> None:
    pair.inbox += ["said"] * module.INBOX
    pair.client.sendall(b"more")
    pair.wire.ending()
    assert pair.wire.recv(10) == b"more"
    assert pair.inbox == []


def test_a_send_that_is_stuck_can_be_given_up(pair: Pair) -> None:
    thread = pair.begin(b"a" * LARGE)
    assert pair.idle.wait(PATIENCE)
    pair.wire.abort()
    assert pair.ended.wait(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_nothing_more_is_read_while_answers_are_due(pair: Pair) -> None:
    pair.client.sendall(b"x")
    pair.inbox.extend(["?"] * module.INBOX)
    read = threading.Event()

    def receive() -> None:
        assert pair.wire.recv(1) == b"x"
        read.set()

    threading.Thread(target=receive, daemon=True).start()
    while pair.inbox.looks < 3:
        assert not read.wait(module.LOOK_SECONDS)
    pair.inbox.clear()
    assert read.wait(PATIENCE)


def test_the_end_comes_after_what_the_client_still_sends(pair: Pair) -> None:
    """An end with something unread is a reset, which can take the good-bye with it."""
    pair.wire.send(b"good-bye")
    closing = threading.Thread(target=pair.wire.close, daemon=True)
    closing.start()
    assert pair.ended.wait(PATIENCE)
    pair.client.sendall(b"y" * 1000)
    assert pair.receive(8) == b"good-bye"
    assert pair.client.recv(1) == b""
    assert closing.is_alive()
    pair.client.shutdown(socket.SHUT_WR)
    closing.join(PATIENCE)
    assert not closing.is_alive()


def test_steps_that_wait_for_an_event_loop_are_refused() -> None:
    class Suspends:
        def __await__(self) -> Iterator[None]:
            yield

    async def steps() -> None:
        await Suspends()

    with pytest.raises(RuntimeError, match="event loop"):
        run(steps())
