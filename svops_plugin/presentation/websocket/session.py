"""A socket from its handshake to its end, whatever serves it.

The steps are written once, as coroutines. On an event loop they are awaited; where a socket has a thread of
its own, what its link does blocks, and :func:`run` takes them from their begin to their end in one go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from svops_plugin.application.event_log import Slice, require_topic
from svops_plugin.application.event_ports import Audience, Topic
from svops_plugin.application.events import encode
from svops_plugin.bootstrap import host, services
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import NotAuthenticated, SVOpsError
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import protocol
from svops_plugin.presentation.websocket.fanout import Connection, Fanout, Writer
from svops_plugin.presentation.websocket.protocol import Close, Conversation
from svops_plugin.presentation.websocket.questions import UseCaseQuestions

log = logging.getLogger(__name__)
T = TypeVar("T")
F = TypeVar("F")

READY_SECONDS = 10.0  # how long a socket waits for the hub of a process that has just begun
REPLAY = 1000  # events at a time
REPLAY_SECONDS = 60.0  # for so many, to a client that reads slowly


class Hub(Protocol):
    """What hands events to audiences."""

    def join(self, audience: Audience) -> None:
        """Hand events to an audience."""

    def leave(self, audience: Audience) -> None:
        """Hand them to it no more."""


@dataclass(frozen=True)
class Handshake:
    """How a client asked for its socket.

    :param request: the host's own view of it, with ``headers`` and ``cookies``
    :param params: of the path
    """

    request: Any
    path: str
    params: Mapping[str, Any]
    query_string: str
    client: str


@dataclass(frozen=True)
class Session(Generic[F]):
    """A socket whose client is up to date: both sides of it."""

    fanout: Fanout[F]
    connection: Connection[F]
    conversation: Conversation


class Link(Writer, Protocol[F]):
    """A socket whose handshake is done. All but :meth:`ask` end with OSError when the client is gone."""

    async def receive(self, seconds: float) -> str | None:
        """Return what the client says next; none if it is not text.

        :raises TimeoutError: if it says nothing in time
        """

    async def send(self, texts: Sequence[str], seconds: float) -> None:
        """Send messages, past what waits in a queue.

        :raises TimeoutError: if the client does not read them in time
        """

    async def ask(self, question: Callable[[], T]) -> T:
        """Ask where blocking is allowed, and return or raise what that does."""

    async def ready(self, seconds: float) -> None:
        """Wait until the hub has begun.

        :raises TimeoutError: if it does not in time
        """

    async def converse(self, session: Session[F]) -> None:
        """Let events out and answer what comes in, until either end has enough.

        :raises Close: if it is this end
        """

    async def close(self, close: Close) -> None:
        """Say good-bye, without waiting for ever for a client that does not read."""


def run(steps: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine does whose awaits block rather than suspend."""
    try:
        steps.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # it is what the coroutine returns
    raise RuntimeError(f"{steps} waits for an event loop.")


async def serve(link: Link[F], fanout: Fanout[F] | None, most: int, handshake: Handshake) -> None:
    """Serve one socket.

    :param fanout: none where no hub runs (any more)
    :param most: how many sockets there may be
    """
    try:
        try:
            await _hold(link, fanout, most, handshake)
        except Close as close:
            await _close(link, handshake, close)
        except OSError:
            raise
        except Exception:
            log.exception("Serving %s failed.", handshake.path)
            await link.close(Close(protocol.FAILED, "SVOps failed; the server's log says why."))
    except OSError:
        log.debug("The client of %s is gone.", handshake.path)


async def _hold(link: Link[F], fanout: Fanout[F] | None, most: int, handshake: Handshake) -> None:
    """Let a socket have a place until it is closed.

    :raises Close: if none is free
    """
    if fanout is None:
        raise Close(protocol.TRY_LATER, "Live events have not begun here; try again later.")
    with fanout.place(most):
        try:
            await link.converse(await _begin(link, fanout, handshake))
        except Close as close:
            await _close(link, handshake, close)
        except SVOpsError as refusal:
            await _close(link, handshake, protocol.close_for(refusal))


async def _close(link: Link[F], handshake: Handshake, close: Close) -> None:
    log.info("WebSocket %s of %s closed: %s %s", handshake.path, handshake.client, close.code, close)
    await link.close(close)


async def answer(link: Link[F], session: Session[F], frame: str | None) -> None:
    """Answer what a client says; none is a frame that is not text.

    :raises Close: if that is too much
    """
    found = session.conversation.receive(frame)
    reply = await link.ask(found) if callable(found) else found
    if reply.follow is not None:
        session.fanout.follow(session.connection, reply.follow)
    if reply.leave is not None:
        session.fanout.leave(session.connection, reply.leave)
    session.connection.say(session.fanout.frame(reply.text))


def stats(request: Any) -> Json:
    """Return who is connected, in all processes, to whom the request comes from.

    :raises NotAuthenticated: if it comes from nobody
    :raises PermissionDenied: if it comes from somebody who may not know
    """
    shown = services(pooled=True).accounts.token_of(request)
    if shown is None:
        raise NotAuthenticated("Sign in: send an access token as 'Authorization: Bearer …'.")
    actor, _ = _identify(shown[0])
    return UseCaseQuestions().stats(actor)


async def _begin(link: Link[F], fanout: Fanout[F], handshake: Handshake) -> Session[F]:
    """Find out who wants what, and bring them up to date.

    :raises Close: for what is not to be had
    :raises SVOpsError: for what the use cases refuse
    """
    address = _topic(handshake.params)
    since = protocol.parse_since(handshake.query_string)
    token = await _token(link, handshake.request)
    known_at = fanout.position
    actor, expires_at = await link.ask(partial(_identify, token))
    questions = UseCaseQuestions()
    require_topic(actor, address)
    if address.workflow_id is not None:
        await link.ask(partial(questions.require_workflow, actor, address.workflow_id))
    try:
        await link.ready(READY_SECONDS)
    except TimeoutError:
        raise Close(protocol.TRY_LATER, "Events cannot be read now.") from None
    connection: Connection[F] = Connection(actor, expires_at, link, known_at)
    if since is None:
        fanout.join(connection, address)
    else:
        await _catch_up(link, fanout, connection, since, address)
    return Session(fanout, connection, Conversation(actor, address, questions))


async def _catch_up(
    link: Link[F], fanout: Fanout[F], connection: Connection[F], since: int, address: Topic
) -> None:
    """Send what happened since an id until nothing is missing, and join.

    What comes next begins where this ends. Nothing queues up meanwhile, however long it takes.
    """
    found, texts = await link.ask(partial(_read, connection.actor, since, address))
    texts = [protocol.hello(found.newest), *texts]
    while True:
        try:
            await link.send(texts, REPLAY_SECONDS)
        except TimeoutError:
            raise Close(protocol.TOO_MUCH, "The client does not read.") from None
        if found.complete and fanout.join(connection, address, found.last_event_id):
            return
        found, texts = await link.ask(partial(_read, connection.actor, found.last_event_id, address))


async def _token(link: Link[F], request: Any) -> str:
    """Return the token that the client shows.

    :raises Close: if it shows none in time, or a page of another site makes the browser show it
    """
    shown = services(pooled=True).accounts.token_of(request)
    if shown is not None:
        token, ambient = shown
        if ambient:
            headers = request.headers
            protocol.check_origin(headers.get("origin"), headers.get("host"), host().allowed_origins())
        return token
    try:
        return protocol.parse_auth(await link.receive(protocol.AUTH_SECONDS) or "")
    except TimeoutError:
        late = f"Nobody signed in within {protocol.AUTH_SECONDS:.0f} s."
        raise Close(protocol.AUTH_TIMEOUT, late) from None


def _topic(params: Mapping[str, Any]) -> Topic:
    user, workflow = params.get("user_id"), params.get("workflow_id")
    return Topic(
        user_id=None if user is None else protocol.parse_number("", user),
        workflow_id=None if workflow is None else protocol.parse_number("wf_", workflow),
    )


def _identify(token: str) -> tuple[Actor, datetime | None]:
    """Return whose token this is, and when it expires."""
    own = services(pooled=True)
    return own.auth.actor(own.accounts.by_token(token)), own.accounts.expiry(token)


def _read(actor: Actor, since: int, address: Topic) -> tuple[Slice, list[str]]:
    """Return what came after an id, also as frames, which begin with a resync if some of it is gone."""
    found = services(pooled=True).events.after(actor, since, REPLAY, address)
    return found, [*([protocol.RESYNC] if found.resync else []), *map(encode, found.events)]
