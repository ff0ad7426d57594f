"""Queues, and what becomes of a client that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from svops_plugin.application.event_ports import Message, Topic
from svops_plugin.bootstrap import host
from svops_plugin.domain.entities import Event
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import fanout as module
from svops_plugin.presentation.websocket import protocol
from svops_plugin.presentation.websocket.fanout import Connection, Fanout
from svops_plugin.presentation.websocket.protocol import Close
from svops_plugin.presentation.websocket.starlette import AsgiLink, Frame, LoopFanout, frame

VIEWER = Actor(7, "viewer", frozenset({"Viewer"}))


def message(event_id: int) -> Message:
    event = Event(type="task.updated")
    event.id = event_id
    return Message(event, str(event_id), str(event_id))


def run(scenario: Callable[[LoopFanout], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario(LoopFanout(asyncio.get_running_loop()))

    asyncio.run(main())


class Socket:
    """A socket that frames are sent to."""

    def __init__(self, send: Callable[[Frame], Awaitable[None]]) -> None:
        self._link = AsgiLink(_silence, send, ThreadPoolExecutor(1), asyncio.Event())
        self.connection: Connection[Frame] = Connection(VIEWER, None, self._link)

    def join(self, fanout: LoopFanout) -> None:
        assert fanout.join(self.connection, Topic(), fanout.position)

    def start(self) -> asyncio.Task[None]:
        self._link._writer = asyncio.create_task(self._link.write(self.connection))
        return self._link._writer


async def _silence() -> Frame:
    await asyncio.Event().wait()
    return {}


def changed(event_id: int, user_id: int) -> Message:
    event = Event(type="user.updated", user_id=user_id)
    event.id = event_id
    return Message(event, str(event_id), str(event_id))


async def deliver(fanout: LoopFanout, *event_ids: int) -> None:
    """Hand on events as the hub does, from another thread."""
    await asyncio.to_thread(fanout.deliver, [message(one) for one in event_ids], event_ids[-1])


class Reader:
    """A client that gets frames; one that is deaf never does."""

    def __init__(self, *, deaf: bool = False) -> None:
        self.got: list[str] = []
        self._deaf = deaf

    async def send(self, sent: dict[str, Any]) -> None:
        if self._deaf:
            await asyncio.Event().wait()
        self.got.append(sent["text"])


def test_whoever_keeps_up_has_it_all_when_the_hub_goes_on() -> None:
    async def scenario(fanout: LoopFanout) -> None:
        readers = [Reader() for _ in range(50)]
        await deliver(fanout, 1, 2, 3)
        for reader in readers:
            socket = Socket(reader.send)
            socket.join(fanout)
            socket.start()
        numbers = list(range(4, 3 * module.QUEUE))
        await deliver(fanout, 3, *numbers)
        assert fanout.position == numbers[-1]
        for reader in readers:
            assert reader.got == [str(number) for number in numbers]
        assert fanout.census().sent == 50 * len(numbers)

    run(scenario)


def test_a_queue_that_is_full_ends_its_connection_only() -> None:
    async def scenario(fanout: LoopFanout) -> None:
        deaf, reader = Reader(deaf=True), Reader()
        sockets = [Socket(one.send) for one in (deaf, reader)]
        writers = []
        for socket in sockets:
            socket.join(fanout)
            writers.append(socket.start())
        slow = sockets[0].connection
        await deliver(fanout, *range(1, module.QUEUE + 2))
        assert slow.closing is None
        await deliver(fanout, module.QUEUE + 2)
        assert slow.closing is not None
        assert slow.closing.code == protocol.TOO_MUCH
        assert fanout.census().dropped == 1
        await asyncio.wait([writers[0]])
        fanout.part(slow)
        assert fanout.census().dropped == 1
        assert len(reader.got) == module.QUEUE + 2

    run(scenario)


def test_a_client_that_stops_reading_is_noticed() -> None:
    async def scenario(_: LoopFanout) -> None:
        sockets = [Socket(one.send) for one in (Reader(deaf=True), Reader())]
        stuck, quiet = (socket.connection for socket in sockets)
        for socket, connection in zip(sockets, (stuck, quiet), strict=True):
            socket.start()
            connection.say(frame("a"))
            connection.say(frame("b"))
            assert not connection.is_stuck()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert stuck.is_stuck()
        assert not quiet.is_stuck()

    run(scenario)


def test_the_hub_does_not_wait_for_a_loop_that_has_stopped() -> None:
    async def scenario(fanout: LoopFanout) -> None:
        fanout.stop()

        def blocked() -> None:
            fanout.deliver([message(1)], 1)

        hub = asyncio.get_running_loop().run_in_executor(None, blocked)
        await asyncio.wait_for(hub, 60)

    run(scenario)


def test_who_has_changed_since_it_was_known_who_they_are_does_not_join(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgotten: list[bool] = []
    monkeypatch.setattr(host(), "forget_users", lambda: forgotten.append(True))

    async def scenario(fanout: LoopFanout) -> None:
        late, other = Socket(_swallow), Socket(_swallow)
        other.connection.actor = Actor(8, "other", frozenset({"Viewer"}))
        await asyncio.to_thread(fanout.deliver, [changed(5, 7)], 5)
        assert forgotten == [True]
        with pytest.raises(Close, match="account has changed"):
            late.join(fanout)
        other.join(fanout)
        late.connection.known_at = fanout.position
        late.join(fanout)
        await asyncio.to_thread(fanout.deliver, [changed(6, 7)], 6)
        assert late.connection.closing is not None
        assert other.connection.closing is None

    run(scenario)


async def _swallow(_: Frame) -> None:
    pass


class BeatsBetween:
    """A writer that lets a heartbeat come between two clients' frames of an event, as a thread may."""

    def __init__(self, fanout: Fanout[str]) -> None:
        self._fanout = fanout

    def wake(self) -> None:
        beat, self._fanout.beat = self._fanout.beat, lambda: None  # type: ignore[method-assign]
        beat()

    def end(self) -> None:
        raise AssertionError("nobody is too slow here")


def test_a_heartbeat_does_not_overtake_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 1)
    fanout: Fanout[str] = Fanout(str)
    connections: list[Connection[str]] = [Connection(VIEWER, None, BeatsBetween(fanout)) for _ in range(2)]
    for connection in connections:
        assert fanout.join(connection, Topic(), 0)
    fanout._push(message(5))
    nothing_yet = protocol.heartbeat(0)
    assert sorted(list(one.queue) for one in connections) == [["5", nothing_yet], [nothing_yet, "5"]]
    assert (fanout.position, fanout.told) == (5, 5)
