"""Every WebSocket endpoint for everybody, and the type of each event as clients get it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from svops_plugin.domain.entities import Event
from svops_plugin.domain.events import EVENT_TYPES
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import flask_sock, protocol, starlette
from tests.contract.table import SOCKETS
from tests.hosts import hosting
from tests.integration.live import Client, Server, a_workflow, happen, serve, server
from tests.server import Clients

__all__ = ["serve", "server"]
ROLES = {"viewer": "Viewer", "user": "User", "op": "Op", "admin": "Admin"}
WELCOME = "hello"


def test_every_socket_has_a_row() -> None:
    expected = {path.format(user="", workflow="").replace("wf_", "") for path in SOCKETS}
    for paths in (starlette.PATHS, flask_sock.PATHS.values()):
        assert {_without_parameters(path) for path in paths} == expected


def _without_parameters(path: str) -> str:
    steps = ("" if step[:1] in {"{", "<"} else step for step in path.split("/"))
    return "/".join(steps)


def outcome(client: Client) -> str | int:
    """Return the type of the first message, or how the server closed instead."""
    try:
        return str(client.next()["type"])
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else 0


@pytest.mark.parametrize("path", SOCKETS)
def test_everybody_gets_what_the_permission_table_says(server: Server, client: Clients, path: str) -> None:
    workflow = a_workflow()
    ids = {name: server.user_id(name) for name in (*ROLES, "other")}
    for owner in ("user", "other"):
        address = path.format(user=ids[owner], workflow=workflow)
        with server.connected(address, name=None) as nobody:
            nobody.send({"type": "auth", "token": "of nobody"})
            assert outcome(nobody) == protocol.UNAUTHENTICATED
        for name, role in ROLES.items():
            actor = Actor(ids[name], name, frozenset({role}))
            own = "{user}" not in path or ids[name] == ids[owner] or actor.may("user", "read")
            expected = WELCOME if own and actor.may("event", "read") else protocol.FORBIDDEN
            with server.connected(address, name) as bearer:
                assert outcome(bearer) == expected, (name, owner)
            browser = client(None)
            hosting().sign_in(browser, name)
            cookie = "; ".join(f"{key}={value}" for key, value in browser.cookies.items())
            same, foreign = f"http://{server.address}", "http://elsewhere.example"
            for origin, wanted in ((same, expected), (foreign, protocol.FORBIDDEN)):
                with server.connected(address, None, {"Cookie": cookie, "Origin": origin}) as page:
                    assert outcome(page) == wanted, (name, owner, origin)


def of_schema(schema: Any) -> Any:
    """Return the least that a schema allows."""
    kind = schema["type"]
    if kind == "object":
        return {name: of_schema(schema["properties"][name]) for name in schema.get("required", ())}
    plain: dict[str, Any] = {"string": "x", "integer": 1, "array": [], "boolean": True}
    return plain[kind if isinstance(kind, str) else kind[0]]


def test_every_type_of_event_arrives_as_it_was_written(server: Server) -> None:
    written = [
        Event(type=kind, actor="tests", data=json.loads(json.dumps(of_schema(schema))))
        for kind, schema in EVENT_TYPES.items()
    ]
    with server.listening(name="admin") as client:
        happen(*written)
        told = client.events(len(written))
    assert [(event["type"], event["data"]) for event in told] == [(one.type, one.data) for one in written]
    polled = server.rest("admin").get("api/v1/events", params={"limit": 1000}).json()["items"]
    assert polled == told
