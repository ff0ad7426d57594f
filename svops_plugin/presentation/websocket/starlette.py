"""The sockets on Airflow 3's API server: ASGI under the protocol.

Plain ASGI rather than Starlette's WebSocket class, whose checks cost a tenth of what there is to send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from svops_plugin.application.event_log import Slice, require_topic
from svops_plugin.application.event_ports import Audience, Topic
from svops_plugin.application.events import encode
from svops_plugin.bootstrap import host, services
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import NotAuthenticated, SVOpsError
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.rest.bridge import problem
from svops_plugin.presentation.rest.errors import STATUS
from svops_plugin.presentation.websocket import protocol
from svops_plugin.presentation.websocket.fanout import Connection, Fanout, Send, frame
from svops_plugin.presentation.websocket.protocol import Close, Conversation
from svops_plugin.presentation.websocket.questions import UseCaseQuestions

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_CONNECTIONS = 10_000  # in one process
THREADS = 8  # that ask databases for sockets; the API has others
READY_SECONDS = 10.0  # how long a socket waits for the hub of a process that has just begun
REPLAY = 1000  # events at a time
REPLAY_SECONDS = 60.0  # for so many, to a client that reads slowly
CLOSE_SECONDS = 5.0  # to say good-bye to a client that may not listen
PATHS = (
    "/ws",
    "/ws/user/{user_id}",
    "/ws/workflow/{workflow_id}",
    "/ws/user/{user_id}/workflow/{workflow_id}",
)


class Hub(Protocol):
    """What hands events to audiences."""

    def join(self, audience: Audience) -> None:
        """Hand events to an audience."""

    def leave(self, audience: Audience) -> None:
        """Hand them to it no more."""


class Sockets:
    """All sockets of a process. Nobody is served before :meth:`serving`."""

    def __init__(self) -> None:
        self._fanout: Fanout | None = None
        self._pool = ThreadPoolExecutor(THREADS, "svops-websocket")

    @asynccontextmanager
    async def serving(self, hub: Hub) -> AsyncIterator[None]:
        """Serve what the hub reads for as long as the block lasts."""
        fanout = self._fanout = Fanout(asyncio.get_running_loop())
        hub.join(fanout)
        beat = asyncio.create_task(fanout.beat())
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

        try:
            shown = services(pooled=True).accounts.token_of(request)
            if shown is None:
                raise NotAuthenticated("Sign in: send an access token as 'Authorization: Bearer …'.")
            actor, _ = await self._offload(lambda: _identify(shown[0]))
            return JSONResponse(await self._offload(lambda: UseCaseQuestions().stats(actor)))
        except SVOpsError as refusal:
            return problem(request, STATUS[type(refusal)], str(refusal))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket from its handshake to its end."""
        await receive()  # websocket.connect
        fanout = self._fanout
        try:
            await send({"type": "websocket.accept"})
            if fanout is None or fanout.open >= MOST_CONNECTIONS:
                await _close(
                    scope, send, Close(protocol.TRY_LATER, "No connection is free; try again later.")
                )
                return
            fanout.open += 1
            try:
                await self._serve(fanout, scope, receive, send)
            except Close as close:
                await _close(scope, send, close)
            except SVOpsError as refusal:
                await _close(scope, send, protocol.close_for(refusal))
            finally:
                fanout.open -= 1
        except OSError:
            log.debug("The client of %s is gone.", scope["path"])

    async def _serve(self, fanout: Fanout, scope: Scope, receive: Receive, send: Send) -> None:
        params = scope["path_params"]
        address = Topic(
            user_id=protocol.parse_number("", params["user_id"]) if "user_id" in params else None,
            workflow_id=protocol.parse_number("wf_", params["workflow_id"])
            if "workflow_id" in params
            else None,
        )
        since = protocol.parse_since(scope["query_string"].decode("latin-1"))
        token = await self._token(scope, receive)
        actor, expires_at = await self._offload(lambda: _identify(token))
        questions = UseCaseQuestions()
        require_topic(actor, address)
        if address.workflow_id is not None:
            await self._offload(lambda: questions.require_workflow(actor, address.workflow_id or 0))
        await _soon(
            fanout.ready.wait(), READY_SECONDS, Close(protocol.TRY_LATER, "Events cannot be read now.")
        )
        position = None if since is None else await self._catch_up(fanout, actor, since, address, send)
        connection = Connection(actor, fanout.position if position is None else position, send)
        fanout.join(connection, address)
        if since is None:
            connection.say(frame(protocol.hello(connection.position)))
        conversation = Conversation(actor, address, questions)
        await self._converse(fanout, connection, conversation, receive, expires_at)

    async def _token(self, scope: Scope, receive: Receive) -> str:
        """Return the token that the client shows.

        :raises Close: if it shows none in time, or a page of another site makes the browser show it
        """
        from starlette.requests import HTTPConnection

        connection = HTTPConnection(scope)
        shown = services(pooled=True).accounts.token_of(connection)
        if shown is not None:
            token, ambient = shown
            if ambient:
                headers = connection.headers
                protocol.check_origin(headers.get("origin"), headers.get("host"), host().allowed_origins())
            return str(token)
        late = Close(protocol.AUTH_TIMEOUT, f"Nobody signed in within {protocol.AUTH_SECONDS:.0f} s.")
        first = await _soon(receive(), protocol.AUTH_SECONDS, late)
        if first["type"] == "websocket.disconnect":
            raise OSError
        return protocol.parse_auth(first.get("text") or "")

    async def _catch_up(self, fanout: Fanout, actor: Actor, since: int, address: Topic, send: Send) -> int:
        """Send what happened since an id until nothing is missing, and return the id of the last event.

        The hub's position and the client's are compared without a pause before the client joins, so that
        what comes next begins where this ends. Nothing queues up meanwhile, however long it takes.
        """
        found, frames = await self._offload(partial(_read, actor, since, address))
        frames = [protocol.hello(found.newest), *([protocol.RESYNC] if found.resync else []), *frames]
        while True:
            late = Close(protocol.TOO_MUCH, "The client does not read.")
            await _soon(_send_all(send, frames), REPLAY_SECONDS, late)
            position = found.last_event_id
            if found.complete and fanout.position <= position:
                return position
            found, frames = await self._offload(partial(_read, actor, position, address))

    async def _converse(
        self,
        fanout: Fanout,
        connection: Connection,
        conversation: Conversation,
        receive: Receive,
        expires_at: datetime | None,
    ) -> None:
        """Let events out and answer what comes in, until either end has enough."""
        loop = asyncio.get_running_loop()
        expired = Close(protocol.UNAUTHENTICATED, "The access token has expired; connect with a new one.")
        seconds = (expires_at - utcnow()).total_seconds() if expires_at else None
        expiry = None if seconds is None else loop.call_later(seconds, connection.close, expired)
        writer = connection.start()
        reader = loop.create_task(self._read(fanout, connection, conversation, receive))
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if expiry is not None:
                expiry.cancel()
            writer.cancel()
            reader.cancel()
            ends = await asyncio.gather(writer, reader, return_exceptions=True)
            fanout.part(connection)
        for end in [connection.closing, *ends]:
            if isinstance(end, Exception):
                raise end

    async def _read(
        self, fanout: Fanout, connection: Connection, conversation: Conversation, receive: Receive
    ) -> None:
        """Answer what the client says until it is gone."""
        while (message := await receive())["type"] != "websocket.disconnect":
            answer = conversation.receive(message.get("text"))
            reply = await self._offload(answer) if callable(answer) else answer
            if reply.follow is not None:
                fanout.follow(connection, reply.follow)
            if reply.leave is not None:
                fanout.leave(connection, reply.leave)
            connection.say(frame(reply.text))

    async def _offload(self, ask: Callable[[], T]) -> T:
        """Ask where blocking is allowed."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, ask)


def _identify(token: str) -> tuple[Actor, datetime | None]:
    """Return whose token this is, and when it expires."""
    own = services(pooled=True)
    return own.auth.actor(own.accounts.by_token(token)), own.accounts.expiry(token)


def _read(actor: Actor, since: int, address: Topic) -> tuple[Slice, list[str]]:
    """Return what came after an id, also as frames."""
    found = services(pooled=True).events.after(actor, since, REPLAY, address)
    return found, [encode(event) for event in found.events]


async def _send_all(send: Send, texts: list[str]) -> None:
    for text in texts:
        await send(frame(text))


async def _soon(waiting: Awaitable[T], seconds: float, late: Close) -> T:
    """Return what comes in time.

    :raises Close: if nothing does
    """
    try:
        return await asyncio.wait_for(waiting, seconds)
    except asyncio.TimeoutError:
        raise late from None


async def _close(scope: Scope, send: Send, close: Close) -> None:
    """Close a socket, without waiting for ever for a client that does not read."""
    client = scope.get("client") or ("unknown",)
    log.info("WebSocket %s of %s closed: %s %s", scope["path"], client[0], close.code, close)
    with suppress(asyncio.TimeoutError):
        message = {"type": "websocket.close", "code": close.code, "reason": close.reason}
        await asyncio.wait_for(send(message), CLOSE_SECONDS)
