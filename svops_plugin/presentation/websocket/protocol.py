"""What is said on a WebSocket, whatever carries it: no framework, no thread, no event loop.

A host accepts the socket, finds out who asks (by header, cookie or :func:`parse_auth`), where to begin
(:func:`parse_since`) and gives each frame that comes in to :meth:`Conversation.receive`. What that returns is
either a reply or, where the database has to be asked, a function to call where blocking is allowed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

from svops_plugin.application.event_log import require_topic
from svops_plugin.application.event_ports import Topic
from svops_plugin.domain.entities import Json, number_of, utcnow
from svops_plugin.domain.errors import InvalidInput, NotAuthenticated, NotFound, PermissionDenied, SVOpsError
from svops_plugin.domain.permissions import Actor

BAD_REQUEST, UNAUTHENTICATED, FORBIDDEN, UNKNOWN, AUTH_TIMEOUT, TOO_MUCH = 4400, 4401, 4403, 4404, 4408, 4429
NO_THREADS = 4501  # never here: the server would freeze
TOO_BIG, FAILED, RESTARTING, TRY_LATER = 1009, 1011, 1012, 1013  # of RFC 6455 and its registry

HEARTBEAT_SECONDS = 20
AUTH_SECONDS = 5.0
LONGEST_FRAME = 64 * 1024  # characters
BURST, RATE = 200, 20.0  # frames at once, and per second, that a client may send
MOST_SUBSCRIPTIONS = 100
LONGEST_NUMBER = 10


class Close(Exception):
    """The socket has to be closed.

    :param code: of the close frame
    :param reason: for people, at most 123 bytes of it go over the wire
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:123].decode(errors="ignore")


class Questions(Protocol):
    """What clients ask that only the database knows; each raises what the use cases do."""

    def require_workflow(self, actor: Actor, workflow_id: int) -> None:
        """Refuse a workflow that does not exist."""

    def run_status(self, actor: Actor, workflow_id: int, run_id: int) -> Json:
        """Return how a run stands."""

    def stats(self, actor: Actor) -> Json:
        """Return who is connected."""


@dataclass(frozen=True)
class Reply:
    """An answer to a client, and which topic it follows, or follows no more, from before the answer on."""

    text: str
    follow: Topic | None = None
    leave: Topic | None = None


Answer = Reply | Callable[[], Reply]


def encode(message: Mapping[str, Any]) -> str:
    """Return a message as a frame."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def hello(last_event_id: int) -> str:
    """Return what is said first: up to which event everything had happened."""
    return encode({"type": "hello", "last_event_id": last_event_id, "heartbeat_seconds": HEARTBEAT_SECONDS})


def heartbeat(last_event_id: int) -> str:
    """Return the sign of life; its id is good as ``since``."""
    return encode({"type": "heartbeat", "last_event_id": last_event_id})


RESYNC = encode({"type": "resync"})


def close_for(refusal: SVOpsError) -> Close:
    """Return how a socket is closed for what the use cases refuse."""
    codes: dict[type[SVOpsError], int] = {
        InvalidInput: BAD_REQUEST,
        NotAuthenticated: UNAUTHENTICATED,
        PermissionDenied: FORBIDDEN,
        NotFound: UNKNOWN,
    }
    return Close(codes.get(type(refusal), TRY_LATER), str(refusal))


def parse_number(prefix: str, text: str) -> int:
    """Return the number in an id such as ``wf_1``; the bare number is good too.

    :raises Close: for anything else
    """
    number = number_of(text, prefix)
    if number is None:
        raise Close(UNKNOWN, f"There is no {text[:40]!r}; ids look like {prefix}1.")
    return number


def parse_since(query_string: str) -> int | None:
    """Return where to begin; none to begin now.

    :raises Close: if it is not a number from 0 on
    """
    values = parse_qs(query_string, keep_blank_values=True).get("since")
    if values is None:
        return None
    digits = values[-1]
    if digits.isascii() and digits.isdigit() and len(digits) <= LONGEST_NUMBER:
        return int(digits)
    raise Close(BAD_REQUEST, f"since has to be the id of an event, not {digits[:40]!r}.")


def check_origin(origin: str | None, host: str | None, allowed: Collection[str]) -> None:
    """Refuse a cookie that a page of another site has made the browser send.

    :param allowed: origins that Airflow lets use its own API
    :raises Close: if it did
    """
    if origin is None or (origin.partition("://")[2] != host and origin not in allowed):
        raise Close(FORBIDDEN, "A cookie is good for this site's own pages only.")


def parse_auth(frame: str) -> str:
    """Return the token of a first message.

    :raises Close: if the message is another one
    """
    message = _object(frame) if len(frame) <= LONGEST_FRAME else None
    token = message.get("token") if message and message.get("type") == "auth" else None
    if not isinstance(token, str) or not token or not token.isascii():
        raise Close(UNAUTHENTICATED, 'Sign in first: {"type": "auth", "token": …}')
    return token


def _object(frame: str) -> dict[str, Any] | None:
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


class Conversation:
    """One client's side of it, from when it is known who asks.

    :param address: the topic that the socket's path names, which it follows in any case
    """

    def __init__(
        self,
        actor: Actor,
        address: Topic,
        questions: Questions,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.actor = actor
        self._address = address
        self._questions = questions
        self._subscriptions: set[Topic] = set()
        self._clock = clock
        self._allowance, self._counted_at = float(BURST), clock()

    def receive(self, frame: str | None) -> Answer:
        """Answer what the client sent; none stands for a frame that is not text.

        :raises Close: for a frame that is too big, or one too many
        """
        self._count()
        if frame is None:
            return _error("Send text, not bytes.")
        if len(frame) > LONGEST_FRAME:
            raise Close(TOO_BIG, f"A message may have {LONGEST_FRAME} characters.")
        message = _object(frame)
        if message is None:
            return _error("Send a JSON object.")
        answers: Mapping[str, Callable[[Json], Answer]] = {
            "ping": _pong,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "get_status": self._status,
        }
        kind = message.get("type")
        answer = answers.get(kind) if isinstance(kind, str) else None
        return answer(message) if answer else _error(f"Known types are {', '.join(answers)}.")

    def _count(self) -> None:
        """Let a client say so much at a time (a token bucket)."""
        now = self._clock()
        self._allowance = min(float(BURST), self._allowance + (now - self._counted_at) * RATE) - 1
        self._counted_at = now
        if self._allowance < 0:
            raise Close(TOO_MUCH, f"More than {RATE:.0f} messages a second are too many.")

    def _subscribe(self, message: Json) -> Answer:
        topic = _topic(message)
        if topic is None:
            return _error('Name a "subscription_type" (workflow or user) and its id as "target".')
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS and topic not in self._subscriptions:
            return _error(f"A connection has {MOST_SUBSCRIPTIONS} subscriptions at most.")

        def check() -> Reply:
            require_topic(self.actor, topic)
            if topic.workflow_id is not None:
                self._questions.require_workflow(self.actor, topic.workflow_id)
            self._subscriptions.add(topic)
            return Reply(_confirmation("subscription_confirmed", message), follow=topic)

        return _refusing(check)

    def _unsubscribe(self, message: Json) -> Answer:
        topic = _topic(message)
        if topic is None or topic not in self._subscriptions:
            return _error("There is no such subscription on this connection.")
        self._subscriptions.discard(topic)
        confirmation = _confirmation("unsubscription_confirmed", message)
        return Reply(confirmation, leave=None if topic == self._address else topic)

    def _status(self, message: Json) -> Answer:
        request_type = message.get("request_type")
        if request_type == "connection_stats":
            return _refusing(lambda: _status_response(message, stats=self._questions.stats(self.actor)))
        if request_type != "workflow_status":
            return _error('Known values of "request_type" are workflow_status and connection_stats.')
        try:
            workflow_id = parse_number("wf_", str(message.get("workflow_id")))
            run_id = parse_number("run_", str(message.get("run_id")))
        except Close as wrong:
            return _error(wrong.reason)
        return _refusing(
            lambda: _status_response(message, run=self._questions.run_status(self.actor, workflow_id, run_id))
        )


def _pong(_message: Json) -> Reply:
    return Reply(encode({"type": "pong", "timestamp": utcnow().isoformat()}))


def _topic(message: Json) -> Topic | None:
    kind, target = message.get("subscription_type"), str(message.get("target"))
    try:
        if kind == "workflow":
            return Topic(workflow_id=parse_number("wf_", target))
        return Topic(user_id=parse_number("", target)) if kind == "user" else None
    except Close:
        return None


def _confirmation(kind: str, message: Json) -> str:
    return encode(
        {
            "type": kind,
            "subscription_type": message["subscription_type"],
            "target": message["target"],
            "timestamp": utcnow().isoformat(),
        }
    )


def _status_response(message: Json, **found: Json) -> Reply:
    asked: Json = {key: message[key] for key in ("request_type", "workflow_id", "run_id") if key in message}
    return Reply(encode({"type": "status_response", **asked, **found}))


def _error(words: str) -> Reply:
    return Reply(encode({"error": words}))


def _refusing(ask: Callable[[], Reply]) -> Callable[[], Reply]:
    """Return a question whose refusal is an answer, too."""

    def answer() -> Reply:
        try:
            return ask()
        except SVOpsError as refusal:
            return _error(str(refusal))

    return answer
