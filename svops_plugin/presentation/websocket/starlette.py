"""The sockets on Airflow 3's API server: ASGI under the protocol.

Plain ASGI rather than Starlette's WebSocket class, whose checks cost a tenth of what there is to send.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from svops_plugin.application.event_ports import Message
from svops_plugin.domain.errors import SVOpsError
from svops_plugin.presentation.rest.bridge import problem
from svops_plugin.presentation.rest.errors import STATUS
from svops_plugin.presentation.websocket import session
from svops_plugin.presentation.websocket.fanout import Connection, Fanout
from svops_plugin.presentation.websocket.protocol import Close
from svops_plugin.presentation.websocket.session import Handshake, Hub, Session, serve

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope

T = TypeVar("T")
Frame = dict[str, Any]
Send = Callable[[Frame], Awaitable[None]]

MOST_CONNECTIONS = 10_000  # in one process
THREADS = 8  # that ask databases for sockets; the API has others
STEP = 2000  # frames handed to sockets before the loop has a look at its other work
GIVE_UP_SECONDS = 1.0  # how soon the hub notices that the loop is gone
CLOSE_SECONDS = 5.0  # to say good-bye to a client that may not listen
PATHS = (
    "/ws",
    "/ws/user/{user_id}",
    "/ws/workflow/{workflow_id}",
    "/ws/user/{user_id}/workflow/{workflow_id}",
)


def frame(text: str) -> Frame:
    """Return the ASGI message that sends a text; one serves all who get it."""
    return {"type": "websocket.send", "text": text}


class LoopFanout(Fanout[Frame]):
    """All connections of an event loop. Everything but :meth:`deliver` and the census belongs to the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(frame)
        self._loop = loop
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

    async def beat_each_second(self) -> None:
        """Give signs of life until cancelled."""
        while True:
            await asyncio.sleep(1)
            self.beat()

    def _step(self, messages: deque[Message], position: int, done: threading.Event) -> None:
        """Queue some frames; the writers that this wakes have their turn before the next call."""
        frames = 0
        while messages and frames < STEP:
            frames += len(self._push(messages.popleft()))
        if messages:
            self._loop.call_soon(self._step, messages, position, done)
            return
        self._reached(position)
        self.ready.set()
        self._loop.call_soon(done.set)


class AsgiLink:
    """See :class:`svops_plugin.presentation.websocket.session.Link`."""

    def __init__(self, receive: Receive, send: Send, pool: ThreadPoolExecutor, ready: asyncio.Event) -> None:
        self._receive = receive
        self._send = send
        self._pool = pool
        self._hub = ready
        self._filled = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self.wake = self._filled.set

    def end(self) -> None:
        """Send no more."""
        if self._writer is not None:
            self._writer.cancel()

    async def receive(self, seconds: float) -> str | None:
        """Return what the client says next."""
        return _said(await _soon(self._receive(), seconds))

    async def send(self, texts: Sequence[str], seconds: float) -> None:
        """Send messages, past what waits in a queue."""

        async def send_all() -> None:
            for text in texts:
                await self._send(frame(text))

        await _soon(send_all(), seconds)

    async def ask(self, question: Callable[[], T]) -> T:
        """Ask where blocking is allowed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, question)

    async def ready(self, seconds: float) -> None:
        """Wait until the hub has begun."""
        await _soon(self._hub.wait(), seconds)

    async def converse(self, session: Session[Frame]) -> None:
        """Let events out and answer what comes in, until either end has enough."""
        loop, connection = asyncio.get_running_loop(), session.connection
        self._writer = writer = loop.create_task(self.write(connection))
        reader = loop.create_task(self._read(session))
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            writer.cancel()
            reader.cancel()
            ends = await asyncio.gather(writer, reader, return_exceptions=True)
            session.fanout.part(connection)
        for end in [connection.closing, *ends]:
            if isinstance(end, Exception):
                raise end

    async def close(self, close: Close) -> None:
        """Say good-bye, without waiting for ever."""
        message = {"type": "websocket.close", "code": close.code, "reason": close.reason}
        with suppress(TimeoutError):
            await _soon(self._send(message), CLOSE_SECONDS)

    async def write(self, connection: Connection[Frame]) -> None:
        """Send what is in a queue, and what comes, until cancelled."""
        queue = connection.queue
        while True:
            while queue:
                await self._send(queue.popleft())
                connection.sent += 1
            self._filled.clear()
            await self._filled.wait()

    async def _read(self, one: Session[Frame]) -> None:
        """Answer what the client says until it is gone."""
        while True:
            await session.answer(self, one, _said(await self._receive()))


class Sockets:
    """All sockets of a process. Nobody is served before :meth:`serving`."""

    def __init__(self) -> None:
        self._fanout: LoopFanout | None = None
        self._pool = ThreadPoolExecutor(THREADS, "svops-websocket")

    @asynccontextmanager
    async def serving(self, hub: Hub) -> AsyncIterator[None]:
        """Serve what the hub reads for as long as the block lasts."""
        fanout = self._fanout = LoopFanout(asyncio.get_running_loop())
        hub.join(fanout)
        beat = asyncio.create_task(fanout.beat_each_second())
        try:
            yield
        finally:
            beat.cancel()
            hub.leave(fanout)
            fanout.stop()
            self._fanout = None

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the sockets, and of what is to be known of them."""
        from starlette.routing import Route, WebSocketRoute

        return [
            Route("/ws/stats", self.stats),
            *(WebSocketRoute(path, self) for path in PATHS),
        ]

    async def stats(self, request: Request) -> Response:
        """Tell who is connected, in all processes."""
        from starlette.responses import JSONResponse

        loop = asyncio.get_running_loop()
        try:
            return JSONResponse(await loop.run_in_executor(self._pool, partial(session.stats, request)))
        except SVOpsError as refusal:
            return problem(request, STATUS[type(refusal)], str(refusal))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        from starlette.requests import HTTPConnection

        await receive()  # websocket.connect
        with suppress(OSError):
            await send({"type": "websocket.accept"})
            fanout = self._fanout
            ready = fanout.ready if fanout else asyncio.Event()
            handshake = Handshake(
                request=HTTPConnection(scope),
                path=scope["path"],
                params=scope["path_params"],
                query_string=scope["query_string"].decode("latin-1"),
                client=(scope.get("client") or ("unknown",))[0],
            )
            await serve(AsgiLink(receive, send, self._pool, ready), fanout, MOST_CONNECTIONS, handshake)


def _said(message: Any) -> str | None:
    """Return the text of an ASGI message.

    :raises OSError: if the client is gone
    """
    if message["type"] == "websocket.disconnect":
        raise ConnectionResetError
    text: str | None = message.get("text")
    return text


async def _soon(waiting: Awaitable[T], seconds: float) -> T:
    """Return what comes in time.

    :raises TimeoutError: if nothing does
    """
    try:
        return await asyncio.wait_for(waiting, seconds)
    except asyncio.TimeoutError:
        raise TimeoutError from None  # Python 3.10 tells the two apart
