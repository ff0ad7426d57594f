"""The looks at ``/health`` that the benchmark of 2.11's sockets takes, at a server that does as told."""

from __future__ import annotations

import asyncio
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.unit.documentation import ROOT

PATIENCE = 60


class Health(ThreadingHTTPServer):
    """Keeps connections open, as gunicorn does, and notes over which it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.status = 200
        self.peers: list[Any] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        super().__init__(("127.0.0.1", 0), Asked)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Asked(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Health

    def do_GET(self) -> None:
        self.server.peers.append(self.client_address)
        self.server.may_answer.wait(PATIENCE)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name there
        pass


@pytest.fixture
def health() -> Iterator[Health]:
    with Health() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join(PATIENCE)


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    module = importlib.import_module("websocket_threads")
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    return module


def look(threads: Any, health: Health, until: Callable[[], bool], end: Callable[[], None]) -> list[float]:
    """Look until something is so, and do something as the block ends."""

    async def looking() -> list[float]:
        async with threads.watched(health.url, "now") as took:
            deadline = time.monotonic() + PATIENCE
            while not until():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.1, end)
        found: list[float] = took
        return found

    return asyncio.run(looking())


def nothing() -> None:
    pass


def test_each_look_has_a_connection_of_its_own(threads: Any, health: Health) -> None:
    took = look(threads, health, lambda: len(health.peers) > 5 * threads.ASKERS, nothing)
    assert len(took) == len(health.peers) == len(set(health.peers))


def test_what_is_under_way_at_the_end_counts(threads: Any, health: Health) -> None:
    health.may_answer.clear()
    took = look(threads, health, lambda: len(health.peers) == threads.ASKERS, health.may_answer.set)
    assert len(took) == threads.ASKERS


def test_a_look_that_fails_ends_the_run(threads: Any, health: Health) -> None:
    health.status = 503
    with pytest.raises(httpx.HTTPStatusError, match="503"):
        look(threads, health, lambda: len(health.peers) == threads.ASKERS, nothing)


def test_only_the_phases_with_all_sockets_open_have_a_bar(threads: Any) -> None:
    assert threads.slowest("now", [0.1, 0.6]).met is None
    assert threads.slowest("now", [0.1, 0.6], threads.BAR_HEALTH).met is False
    assert threads.slowest("now", [0.1, 0.5], threads.BAR_HEALTH).met is True
