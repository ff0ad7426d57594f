"""The clients in docs/events.md, as they stand there."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e.test_chain import CHROMIUM
from tests.hosts import hosting
from tests.integration.live import Serve, an_event, eventually, happen, serve
from tests.server import BASE

__all__ = ["serve"]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "events.md").read_text()


def block(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def documented_follow() -> Any:
    """Return the function of the Python client."""
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102  # it is ours
    return names["follow"]


class Restartable:
    """The API server, which comes back at the same address."""

    def __init__(self, serving: Serve) -> None:
        self._serve = serving
        self._running = ExitStack()
        self.port = 0
        self.start()

    def start(self) -> None:
        self.port = self._running.enter_context(self._serve(self.port))

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def server(serve: Serve, svops_database: str) -> Iterator[Restartable]:  # noqa: ARG001
    server = Restartable(serve)
    yield server
    server.stop()


def test_the_python_client(server: Restartable, tokens: dict[str, str]) -> None:
    follow_events, seen = documented_follow(), list[int]()

    def follow() -> None:
        for event in follow_events(f"ws://127.0.0.1:{server.port}/svops/ws", tokens["viewer"], since=0):
            seen.append(event["id"])
            if event["data"] == {"number": -1}:
                return

    client = threading.Thread(target=follow, daemon=True)
    client.start()
    made = happen(an_event(1), an_event(2))
    eventually(lambda: seen == made, "the first events")
    server.stop()
    made += happen(an_event(3))
    server.start()
    eventually(lambda: seen == made, "what happened meanwhile")
    made += happen(an_event(-1))
    client.join(60)
    assert seen == made


@pytest.fixture
def page(server: Restartable, api_server: Any) -> Iterator[Page]:
    """A page of the server's, of somebody who is signed in."""
    address = f"http://127.0.0.1:{server.port}"
    signed_in = hosting().client(api_server, BASE, {})
    hosting().sign_in(signed_in, "viewer")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        context = browser.new_context()
        context.add_cookies(
            [{"name": name, "value": value, "url": address} for name, value in signed_in.cookies.items()]
        )
        page = context.new_page()
        page.goto(f"{address}/api/v2/nothing")  # SVOps' own answers allow no script to connect
        yield page
        browser.close()


def test_the_browser_client(server: Restartable, page: Page) -> None:
    page.evaluate(
        f"""() => {{
            {block("javascript")}
            window.seen = []; window.resyncs = 0;
            follow("/svops/ws", (event) => seen.push(event.id), () => resyncs++);
        }}"""
    )
    (first,) = happen(an_event())
    while not page.evaluate("seen.length"):  # its connection may have come after the first
        (first,) = happen(an_event())
    begin = page.evaluate("seen[0]")
    made = list(range(begin, first + 1))
    server.stop()
    made += happen(an_event(), an_event())
    server.start()
    made += happen(an_event())
    page.wait_for_function("(last) => seen.at(-1) === last", arg=made[-1], timeout=60_000)
    assert page.evaluate("seen") == made
    assert page.evaluate("resyncs") == 0
