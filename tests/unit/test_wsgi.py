"""Flask's answers on an event loop: short ones at once, long ones as they are made."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from svops_plugin.presentation.rest import bridge
from svops_plugin.presentation.rest.wsgi import PARTS, FlaskBridge

MANY = 3 * PARTS
PATIENCE = 60
Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]


def ask(app: Any, took: Callable[[dict[str, Any]], None], root: str = "/base/svops/api/v1") -> None:
    """Let the bridge serve a request by a WSGI application, and hand on what it sends."""
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": f"{root}/tasks",
        "root_path": root,
        "query_string": b"",
        "headers": [],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        took(message)

    bridge.serve(app)
    serving: Any = FlaskBridge("/svops/api/v1")
    asyncio.run(asyncio.wait_for(serving(scope, receive, send), PATIENCE))


@pytest.fixture(autouse=True)
def _served_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge, "_served", [])


@pytest.mark.parametrize("chunks", [[], [b"whole"], [b"one ", b"", b"by one"], [b"."] * (PARTS - 3)])
def test_a_short_answer_comes_at_once(chunks: list[bytes]) -> None:
    def app(_: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("X-Is", "there")])
        return chunks

    sent: list[dict[str, Any]] = []
    ask(app, sent.append)
    head, body = sent
    assert (head["status"], head["headers"]) == (200, [(b"x-is", b"there")])
    assert body == {"type": "http.response.body", "body": b"".join(chunks)}


def test_a_long_answer_comes_while_it_is_made() -> None:
    begun = threading.Event()

    def app(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for number in range(MANY):
            if number == PARTS:
                assert begun.wait(PATIENCE)
            yield b"%d " % number

    sent: list[dict[str, Any]] = []

    def took(message: dict[str, Any]) -> None:
        sent.append(message)
        begun.set()

    ask(app, took)
    assert sent[0]["type"] == "http.response.start"
    assert b"".join(part["body"] for part in sent[1:]) == b"".join(b"%d " % number for number in range(MANY))
    assert [part.get("more_body", False) for part in sent[1:]] == [True] * MANY + [False]


def test_of_an_answer_that_fails_nothing_is_sent() -> None:
    def app(_: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield b"half"
        raise ZeroDivisionError

    sent: list[dict[str, Any]] = []
    with pytest.raises(ZeroDivisionError):
        ask(app, sent.append)
    assert sent == []


def test_the_base_path_stays_and_the_mount_returns_to_the_path() -> None:
    seen: list[tuple[str, str]] = []

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        seen.append((environ["SCRIPT_NAME"], environ["PATH_INFO"]))
        start_response("204 NO CONTENT", [])
        return []

    ask(app, lambda _: None)
    assert seen == [("/base", "/svops/api/v1/tasks")]
