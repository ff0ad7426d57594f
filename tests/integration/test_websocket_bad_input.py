"""What must not hurt: the documented close code, a line in the log, and nothing for the others to notice."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from websockets.exceptions import ConnectionClosed

from svops_plugin.presentation import webserver
from svops_plugin.presentation.websocket import fanout, protocol, session, starlette
from tests.conftest import PostgreSQL
from tests.hosts import hosting
from tests.integration.live import Client, Server, an_event, eventually, happen, hub, ids, serve, server
from tests.server import BASE, PASSWORD

__all__ = ["serve", "server"]

LONE = r'{"type": "auth", "token": "\ud800"}'


@pytest.fixture
def witness(server: Server) -> Iterator[Client]:
    """Another client, who must notice nothing."""
    with server.listening() as client:
        yield client
        made = happen(an_event())
        assert ids(client, 1) == made


@pytest.mark.parametrize("since", ["-1", "x", "", "1.5", "9" * 11, "%00", "99999", "\u0663"])
@pytest.mark.usefixtures("witness")
def test_since(server: Server, since: str) -> None:
    assert server.close_code(f"/ws?since={quote(since)}") == protocol.BAD_REQUEST


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/ws/workflow/wf_12345", protocol.UNKNOWN),
        ("/ws/workflow/x", protocol.UNKNOWN),
        ("/ws/user/12345", protocol.FORBIDDEN),
        ("/ws/user/12345/workflow/1", protocol.FORBIDDEN),
        ("/ws/user/x", protocol.UNKNOWN),
        ("/ws/user/0", protocol.UNKNOWN),
    ],
)
@pytest.mark.usefixtures("witness")
def test_addresses(server: Server, path: str, code: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "svops_plugin.presentation.websocket"):
        assert server.close_code(path) == code
    assert str(code) in caplog.text


@pytest.mark.usefixtures("witness")
def test_tokens(server: Server, tokens: dict[str, str]) -> None:
    assert server.close_code(name=None, Authorization="Bearer x") == protocol.UNAUTHENTICATED
    for first in ("{", "[]", '{"type": "ping"}', '{"type": "auth"}', '{"type": "auth", "token": "x"}', LONE):
        with server.connected(name=None) as client:
            client.send(first)
            assert client.close_code() == protocol.UNAUTHENTICATED
    with server.connected(f"/ws?token={tokens['admin']}", None) as client:
        client.send(b"\x00")
        assert client.close_code() == protocol.UNAUTHENTICATED
    with server.connected(name=None) as client:
        client.send({"type": "auth", "token": tokens["viewer"]})
        assert client.next()["type"] == "hello"


# Users are kept by Airflow's own server, not by the one that stands in for another host's.
@pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)
@pytest.mark.usefixtures("witness")
def test_who_may_not_any_more_is_turned_out(server: Server) -> None:
    with server.rest("admin") as admin:
        body = {"username": "leaving", "email": "l@svops.example", "name": "Lea Ving", "password": PASSWORD}
        user = admin.post("api/v1/users", json=body).json()
        login = {"username": "leaving", "password": PASSWORD}
        token = admin.post("api/v1/auth/login", json=login).json()["access_token"]
        with server.connected(name=None) as client:
            client.send({"type": "auth", "token": token})
            client.next()
            assert admin.put(f"api/v1/users/{user['id']}", json={"is_active": False}).status_code == 200
            assert client.close_code() == protocol.UNAUTHENTICATED
    assert server.close_code(name=None, Authorization=f"Bearer {token}") == protocol.UNAUTHENTICATED


@pytest.mark.usefixtures("witness")
def test_nobody_signs_in(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "AUTH_SECONDS", 0.1)
    assert server.close_code(name=None) == protocol.AUTH_TIMEOUT


@pytest.mark.usefixtures("witness")
def test_cookies_are_good_for_this_sites_pages(server: Server, api_server: Any) -> None:
    browser = hosting().client(api_server, BASE, {})
    hosting().sign_in(browser, "viewer")
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert server.close_code(name=None, Cookie=cookie, **headers) == protocol.FORBIDDEN
    own = {"Cookie": cookie, "Origin": f"http://{server.address}"}
    with server.connected(name=None, headers=own) as client:
        assert client.next()["type"] == "hello"


@pytest.mark.usefixtures("witness")
def test_a_token_expires(server: Server) -> None:
    token = hosting().token("viewer", seconds=2)
    assert server.close_code(name=None, Authorization=f"Bearer {token}") == protocol.UNAUTHENTICATED


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", "null", '"x"', "[" * 50_000, '{"type": ["ping"]}', '{"type": "x"}', b"\xff"]
)
@pytest.mark.usefixtures("witness")
def test_garbage_is_an_error_and_no_end(server: Server, garbage: str | bytes) -> None:
    with server.listening() as client:
        assert set(client.ask(garbage)) == {"error"}
        assert client.ask({"type": "ping"})["type"] == "pong"


@pytest.mark.usefixtures("witness")
def test_a_frame_of_a_megabyte(server: Server) -> None:
    with server.listening() as client:
        client.send("x" * 1024 * 1024)
        assert client.close_code() == protocol.TOO_BIG


@pytest.mark.usefixtures("witness")
def test_thousands_of_frames(server: Server) -> None:
    with server.listening() as client:
        with suppress(ConnectionClosed):
            for _ in range(5000):
                client.send({"type": "ping"})
        assert client.close_code() == protocol.TOO_MUCH


def test_a_client_that_never_reads(server: Server, witness: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed when its queue is full; the others get everything."""
    monkeypatch.setattr(fanout, "QUEUE", 20)
    with socket.create_connection(("127.0.0.1", server.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(server.handshake("viewer"))
        eventually(lambda: hub().connections == 2, "the connection")
        made: list[int] = []
        while hub().dropped == 0:
            made += happen(an_event(data={"much": "x" * 100_000}))
            assert ids(witness, 1) == made[-1:]
        assert len(made) > 20
    eventually(lambda: hub().connections == 1, "the end")


@pytest.mark.usefixtures("witness")
def test_a_defect_is_no_mystery(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def defect(*_: Any) -> None:
        raise LookupError("a defect")

    monkeypatch.setattr(session, "_read", defect)
    assert server.close_code("/ws?since=0") == protocol.FAILED
    assert "a defect" in caplog.text


@pytest.mark.usefixtures("witness")
def test_the_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starlette, "MOST_CONNECTIONS", 2)
    monkeypatch.setattr(webserver.sockets, "_most", 2)
    with server.listening():
        assert server.close_code() == protocol.TRY_LATER
    with server.listening():
        pass


def test_while_the_database_is_away(server: Server, postgresql: PostgreSQL, svops_database: str) -> None:
    """A socket that is open stays so, one that wants the past is told to come later, nothing is missed."""
    with server.listening() as client:
        first = happen(an_event())
        assert ids(client, 1) == first
        postgresql.close(svops_database)
        assert server.close_code("/ws?since=0") == protocol.TRY_LATER
        assert client.ask({"type": "ping"})["type"] == "pong"
        postgresql.open(svops_database)
        second = happen(an_event())
        assert ids(client, 1) == second
    with server.listening(f"/ws?since={first[0]}") as client:
        assert ids(client, 1) == second
