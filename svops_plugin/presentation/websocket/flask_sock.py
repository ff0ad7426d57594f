"""The sockets on Airflow 2.11's webserver: flask-sock under the protocol, and a thread for each socket."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TypeVar

from flask import Blueprint, Response, current_app, jsonify, request
from flask_sock import Sock  # type: ignore[import-untyped]  # has no types
from simple_websocket import ConnectionClosed, Server  # type: ignore[import-untyped]  # nor has this
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from svops_plugin.application.event_ports import Message
from svops_plugin.bootstrap import host
from svops_plugin.presentation.rest.errors import install, problem
from svops_plugin.presentation.websocket import protocol, session
from svops_plugin.presentation.websocket.fanout import Fanout
from svops_plugin.presentation.websocket.protocol import Close
from svops_plugin.presentation.websocket.session import Handshake, Hub, Session, run, serve
from svops_plugin.presentation.websocket.wire import Wire

T = TypeVar("T")

STEP = 200  # events handed to sockets before their threads are waited for
PATIENCE = 5.0  # seconds that the threads may need for them
CLOSE_SECONDS = 5.0  # to say good-bye to a client that may not listen
LINGER_SECONDS = 5.0  # for the client to read that and to say its own
REFUSED_SECONDS = 1.0  # the same for one that was let in nowhere, and holds a thread of those for pages
LOOK_SECONDS = 0.1  # from one look at what is still open to the next
TOO_FEW_THREADS = (
    'Poll: live events need AIRFLOW__WEBSERVER__WORKER_CLASS=gthread, GUNICORN_CMD_ARGS="--threads 128".'
)
PATHS = {
    "everything": "/ws",
    "of_user": "/ws/user/<user_id>",
    "of_workflow": "/ws/workflow/<workflow_id>",
    "of_both": "/ws/user/<user_id>/workflow/<workflow_id>",
}


class ThreadLink:
    """See :class:`svops_plugin.presentation.websocket.session.Link`. What it does blocks, nothing suspends.

    :param release: gives back what the request has borrowed, which ends when the socket does
    """

    def __init__(self, ws: Server, ready: threading.Event, release: Callable[[], None]) -> None:
        self._ws = ws
        self._hub = ready
        self._release = release
        self.idle = threading.Event()  # nothing waits for this thread, or it waits for the client
        self.idle.set()
        self._conversed = False
        self.wire = Wire(ws.sock, ws.input_buffer, idle=self.idle.set, ended=ws.event.set)
        ws.sock = self.wire
        ws.max_message_size = protocol.LONGEST_FRAME

    def wake(self) -> None:
        """Let the socket's thread send what waits."""
        if not self.wire.blocked:
            self.idle.clear()
        self._ws.event.set()

    def end(self) -> None:
        """Let it close the socket, and fail if it is sending and the client does not read."""
        self.wire.within(CLOSE_SECONDS)
        self.idle.set()
        self._ws.event.set()

    async def receive(self, seconds: float) -> str | None:
        """Return what the client says next."""
        try:
            said = self._ws.receive(seconds)
        except ConnectionClosed:
            raise ConnectionResetError from None
        if said is None:
            raise TimeoutError
        return _text(said)

    async def send(self, texts: Sequence[str], seconds: float) -> None:
        """Send messages, past what waits in a queue."""
        self.wire.within(seconds)
        for text in texts:
            self._send(text)
        self.wire.deadline = float("inf")

    async def ask(self, question: Callable[[], T]) -> T:
        """Ask here; connections to databases are not kept for as long as the socket lasts."""
        try:
            return question()
        finally:
            self._release()

    async def ready(self, seconds: float) -> None:
        """Wait until the hub has begun."""
        if not self._hub.wait(seconds):
            raise TimeoutError

    async def converse(self, session: Session[str]) -> None:
        """Let events out and answer what comes in, until either end has enough."""
        self._conversed = True
        try:
            await self._converse(session)
        except OSError:
            if session.connection.closing is None:
                raise
            raise session.connection.closing from None
        finally:
            session.fanout.part(session.connection)
            self.idle.set()

    async def close(self, close: Close) -> None:
        """Say good-bye, without waiting for ever."""
        self.wire.within(CLOSE_SECONDS)
        self.wire.ending()
        with suppress(ConnectionClosed, LocalProtocolError, OSError):
            self._ws.close(close.code, close.reason)

    def finish(self) -> None:
        """Wait a while for the client's end, then end it."""
        self.wire.ending()
        self._ws.thread.join(LINGER_SECONDS if self._conversed else REFUSED_SECONDS)
        self.wire.abort()

    async def _converse(self, one: Session[str]) -> None:
        ws, connection = self._ws, one.connection
        while True:
            ws.event.clear()
            while connection.closing is None and (text := _first(connection.queue)) is not None:
                self._send(text)
                connection.sent += 1
            if connection.closing is not None:
                raise connection.closing
            if ws.input_buffer:
                await session.answer(self, one, _text(ws.receive(0)))
            elif not (ws.connected and ws.thread.is_alive()):
                raise ConnectionResetError
            elif not connection.queue:
                self.idle.set()
                ws.event.wait()

    def _send(self, text: str) -> None:
        try:
            self._ws.send(text)
        except (ConnectionClosed, LocalProtocolError):
            raise ConnectionResetError from None


class ThreadFanout(Fanout[str]):
    """All connections of a process whose sockets have a thread each."""

    def __init__(self) -> None:
        super().__init__(str)
        self.ready = threading.Event()
        self.links: set[ThreadLink] = set()

    def deliver(self, messages: Sequence[Message], position: int) -> None:
        """Hand on what happened, from the hub's thread.

        Returns when every socket's thread has sent it or waits for its client, so that what waits in a queue
        then waits for its client, too.
        """
        for begin in range(0, len(messages), STEP):
            for message in messages[begin : begin + STEP]:
                self._push(message)
            deadline = time.monotonic() + PATIENCE
            for link in list(self.links):
                link.idle.wait(max(0.0, deadline - time.monotonic()))
        self._reached(position)
        self.ready.set()

    def beat_each_second(self, stop: threading.Event) -> None:
        """Give signs of life until stopped."""
        while not stop.wait(1):
            self.beat()

    def beat(self) -> None:
        """Give signs of life, and give up sockets that take too long."""
        super().beat()
        now = time.monotonic()
        for link in list(self.links):
            if link.wire.deadline < now:
                link.wire.abort()

    def stop(self) -> None:
        """Close every connection, and wait until the sockets are closed."""
        super().stop()
        deadline = time.monotonic() + CLOSE_SECONDS
        while self.links and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
        for link in list(self.links):
            link.wire.abort()


class Sockets:
    """All sockets of a process. Nobody is served before :meth:`serving`."""

    def __init__(self) -> None:
        self._fanout: ThreadFanout | None = None
        self._most = 0

    @contextmanager
    def serving(self, hub: Hub, most: int) -> Iterator[ThreadFanout]:
        """Serve what the hub reads for as long as the block lasts.

        :param most: how many sockets there may be; none where they would leave no thread for anything else
        """
        self._most = most
        fanout = self._fanout = ThreadFanout()
        hub.join(fanout)
        try:
            yield fanout
        finally:
            hub.leave(fanout)
            fanout.stop()
            self._fanout = None

    def blueprint(self) -> Blueprint:
        """Return the routes of the sockets, and of what is to be known of them."""
        blueprint, sock = Blueprint("svops_live", __name__, url_prefix="/svops"), Sock()
        install(blueprint)
        blueprint.register_error_handler(RemoteProtocolError, _no_handshake)
        blueprint.record(lambda state: host().attach(state.app, state.blueprint))
        for endpoint, path in PATHS.items():
            sock.route(path, bp=blueprint, endpoint=endpoint)(self.serve)
        blueprint.add_url_rule("/ws/stats", "stats", lambda: jsonify(session.stats(request)))
        return blueprint

    def serve(self, ws: Server, **params: str) -> None:
        """Serve one socket from its handshake to its end."""
        fanout = self._fanout
        ready = fanout.ready if fanout else threading.Event()
        link = ThreadLink(ws, ready, release=current_app.do_teardown_appcontext)
        handshake = Handshake(
            request=request,
            path=request.path,
            params=params,
            query_string=request.query_string.decode("latin-1"),
            client=request.remote_addr or "unknown",
        )
        links = fanout.links if fanout else set[ThreadLink]()
        links.add(link)
        try:
            if fanout is not None and not self._most:
                run(link.close(Close(protocol.NO_THREADS, TOO_FEW_THREADS)))
            else:
                run(serve(link, fanout, self._most, handshake))
        finally:
            link.finish()
            links.discard(link)


def _first(queue: deque[str]) -> str | None:
    """Take the first text, unless another thread has just emptied the queue."""
    try:
        return queue.popleft()
    except IndexError:
        return None


def _text(said: str | bytes) -> str | None:
    return said if isinstance(said, str) else None


def _no_handshake(refusal: RemoteProtocolError) -> Response:
    return problem(HTTPStatus.BAD_REQUEST, f"This is no handshake of a WebSocket: {refusal}.")
