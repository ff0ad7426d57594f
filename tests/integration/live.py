"""A server on a real socket, and clients of its WebSockets."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
from flask import Flask
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from werkzeug.serving import make_server

from svops_plugin.application.event_ports import HubRow
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import Event
from svops_plugin.presentation import webserver
from svops_plugin.presentation.background import Background, jobs
from svops_plugin.presentation.websocket.flask_sock import Sockets
from tests.hosts import hosting

PATIENCE = 180.0
MOST = 50  # sockets of a server with a thread for each


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Return the condition's first true value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return value


@contextmanager
def serving(app: Any, port: int = 0) -> Iterator[int]:
    """Serve an ASGI application with its lifespan, as Airflow's own server does, and give the port."""
    import uvicorn

    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, lifespan="on", log_config=None, timeout_graceful_shutdown=10
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="api-server")
    thread.start()
    try:
        eventually(lambda: server.started or not thread.is_alive(), "the API server")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


@contextmanager
def serving_with_threads(app: Flask, sockets: Sockets, port: int = 0) -> Iterator[int]:
    """Serve a WSGI application with a thread for each request, and what runs in the background."""
    own = services(pooled=True)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, name="webserver")
    with sockets.serving(own.hub, MOST) as fanout:
        background = Background({**jobs(own), "heartbeat": fanout.beat_each_second}, own.transactions)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(PATIENCE)
            background.stop()


Serve = Callable[..., AbstractContextManager[int]]


@pytest.fixture(params=hosting().SOCKETS)
def serve(request: pytest.FixtureRequest, api_server: Any) -> Iterator[Serve]:
    """Returns a function that serves SVOps, sockets and all, at a port as long as a block lasts."""
    if request.param == "starlette":
        yield partial(serving, api_server)
        return
    sockets = webserver.sockets
    with hosting().flask_app(sockets) as app:
        yield partial(serving_with_threads, app, sockets)


class Client:
    """A WebSocket client that reads messages as objects."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def send(self, message: Any) -> None:
        self.socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    def next(self) -> dict[str, Any]:
        """Return the next message that is no heartbeat."""
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            message: dict[str, Any] = json.loads(self.socket.recv(left))
            if message.get("type") != "heartbeat":
                return message
        raise TimeoutError

    def ask(self, message: Any) -> dict[str, Any]:
        self.send(message)
        return self.next()

    def events(self, number: int) -> list[dict[str, Any]]:
        return [self.next() for _ in range(number)]

    def close_code(self) -> int | None:
        """Read to the end and return how the server closed."""
        try:
            while True:
                self.socket.recv(PATIENCE)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else None


def happen(*events: Event) -> list[int]:
    """Let things happen in one transaction, and return their ids."""
    with services(pooled=True).transactions() as uow:
        for event in events:
            uow.record(event)
    return [event.id for event in events]


def an_event(number: int = 0, **values: Any) -> Event:
    return Event(**{"type": "task.updated", "actor": "tests", "data": {"number": number}, **values})


def a_workflow(dag_id: str = "some_dag") -> int:
    with services(pooled=True).transactions() as uow:
        return uow.workflows.for_dags([dag_id])[dag_id].id


def ids(client: Client, number: int) -> list[int]:
    return [event["id"] for event in client.events(number)]


def hub() -> HubRow:
    """Return what this process's hub says of itself."""
    return services(pooled=True).hub.row()


class Server:
    """The API server and how to connect to it."""

    def __init__(self, port: int, tokens: dict[str, str]) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._tokens = tokens

    @contextmanager
    def connected(
        self, path: str = "/ws", name: str | None = "viewer", headers: dict[str, str] | None = None
    ) -> Iterator[Client]:
        """Connect as somebody, or as nobody."""
        sent = {"Authorization": f"Bearer {self._tokens[name]}"} if name else {}
        with connect(
            f"ws://{self.address}/svops{path}",
            additional_headers={**sent, **(headers or {})},
            compression=None,
            proxy=None,
            max_size=None,
        ) as socket:
            yield Client(socket)

    def rest(self, name: str | None) -> httpx.Client:
        """Return a client of what is below ``/svops``."""
        headers = {"Authorization": f"Bearer {self._tokens[name]}"} if name else {}
        return httpx.Client(base_url=f"http://{self.address}/svops/", headers=headers, trust_env=False)

    def user_id(self, name: str) -> int:
        return int(self.rest(name).get("api/v1/auth/me").json()["id"])

    def handshake(self, name: str) -> bytes:
        """Return what a client sends to open a socket."""
        lines = [
            "GET /svops/ws HTTP/1.1",
            f"Host: {self.address}",
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
            f"Authorization: Bearer {self._tokens[name]}",
        ]
        return "\r\n".join([*lines, "", ""]).encode()

    @contextmanager
    def listening(self, path: str = "/ws", name: str | None = "viewer") -> Iterator[Client]:
        """Connect and read the greeting."""
        with self.connected(path, name) as client:
            assert client.next()["type"] == "hello"
            yield client

    def close_code(self, path: str = "/ws", name: str | None = "viewer", **headers: str) -> int | None:
        with self.connected(path, name, headers) as client:
            return client.close_code()


@pytest.fixture
def server(serve: Serve, svops_database: str, tokens: dict[str, str]) -> Iterator[Server]:  # noqa: ARG001
    """Airflow's server with SVOps in it, whole: its background threads run, too."""
    with serve() as port:
        yield Server(port, tokens)
