"""Real targets of notifications, and a desk that sends to them."""

from __future__ import annotations

import email
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from svops_plugin.application.dispatcher import Dispatcher
from svops_plugin.application.messages import Writer
from svops_plugin.application.notifications import NotificationService
from svops_plugin.application.ports import Query
from svops_plugin.domain.entities import Event, utcnow
from svops_plugin.domain.notifications import NotificationConfig, NotificationDelivery
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.infrastructure.airflow.fernet import FernetCipher
from svops_plugin.infrastructure.notifications.guard import Reach
from svops_plugin.infrastructure.notifications.sender import ChannelSender
from svops_plugin.infrastructure.notifications.signatures import WebhookSignatures
from svops_plugin.infrastructure.notifications.targets import CheckedTargets
from tests.integration.desk import Desk
from tests.integration.live import eventually

LOOPBACK = ("127.0.0.0/8",)


@dataclass(frozen=True)
class Hit:
    """A request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: datetime = field(default_factory=utcnow)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass(frozen=True)
class Answer:
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)


class Receiver:
    """An HTTP server that keeps what it gets, and answers as it is told to; a 204 by default."""

    def __init__(self, answer: Callable[[Hit], Answer] = lambda _: Answer()) -> None:
        self.answer = answer
        self.hits: list[Hit] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # whoever sent it was killed meanwhile
                headers = {name.lower(): value for name, value in self.headers.items()}
                hit = Hit(self.path, headers, body)
                receiver.hits.append(hit)
                answer = receiver.answer(hit)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Hit]:
        return [hit for hit in self.hits if hit.path == path]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class AnyPort(Controller):
    """Serves at a port that the system chooses."""

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Mailbox:
    """An SMTP server that keeps what it gets, and when."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.arrived: list[datetime] = []
        self._controller = AnyPort(self, hostname="127.0.0.1", port=0)
        self._controller.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's
        self.arrived.append(utcnow())
        self.mails.append(email.message_from_bytes(envelope.content, policy=default))
        return "250 OK"

    @property
    def url(self) -> str:
        port = self._controller.port
        return f"mailto://127.0.0.1:{port}?to=ops@svops.example&from=svops@svops.example&smtp=127.0.0.1"

    def close(self) -> None:
        self._controller.stop()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


@dataclass
class Office:
    """Notifications of a desk's database, with a dispatcher that is not running yet."""

    desk: Desk
    reach: Reach = field(default_factory=lambda: Reach(LOOPBACK))

    def __post_init__(self) -> None:
        self.service = NotificationService(
            self.desk.transactions, CheckedTargets(self.reach), FernetCipher(), WebhookSignatures()
        )

    def dispatcher(self) -> Dispatcher:
        writer = Writer(self.desk.airflow.run_url, "http://airflow.example/svops/tasks/{}".format)
        return Dispatcher(self.desk.transactions, ChannelSender(self.reach), FernetCipher(), writer)

    def tell(self, name: str, channel: str, url: str, *types: str, **values: Any) -> NotificationConfig:
        return self.service.create(
            OPERATOR,
            {
                "name": name,
                "channel": channel,
                "webhook_url": url,
                "notification_types": list(types),
                **values,
            },
        ).config

    def deliveries(self, name: str) -> list[NotificationDelivery]:
        return self.service.deliveries(OPERATOR, name, Query(limit=1000, order_by="event_id")).items

    def standing(self, name: str) -> list[tuple[str, str, int]]:
        return [(one.event_type, str(one.status), one.attempts) for one in self.deliveries(name)]

    def attempts(self, name: str) -> int:
        """Return how many were made at the first delivery, 0 before there is one."""
        return next((one.attempts for one in self.deliveries(name)), 0)

    @contextmanager
    def open(self) -> Iterator[Dispatcher]:
        """Let a dispatcher run as long as the block lasts."""
        stop, dispatcher = threading.Event(), self.dispatcher()
        thread = threading.Thread(target=dispatcher.run, args=(stop,))
        thread.start()
        try:
            yield dispatcher
        finally:
            stop.set()
            thread.join()

    def settled(self, *names: str) -> None:
        """Wait until everything that has happened has been told, or given up."""
        last = self.desk.last_event()

        def nothing_pending() -> bool:
            configs = [self.service.get(OPERATOR, name) for name in names]
            ended = all(one.status != "pending" for name in names for one in self.deliveries(name))
            return ended and all(config.last_event_id >= last for config in configs)

        eventually(nothing_pending, f"the deliveries of {names}")


def happen(office: Office, *types: str) -> list[int]:
    data = {"dag_id": "d", "dag_run_id": "r", "component": "c", "message": "m"}
    events = [Event(type=kind, actor="tests", data=data) for kind in types]
    with office.desk.transactions() as uow:
        for event in events:
            uow.record(event)
    return [event.id for event in events]
