"""A browser at the desk, for the tests of the pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

from tests.conftest import OUTPUT
from tests.e2e.test_chain import CHROMIUM
from tests.hosts import hosting
from tests.integration.live import Server, serve, server
from tests.server import BASE

__all__ = ["api", "dataset", "serve", "server", "sit_down"]

AXE = (Path(__file__).parents[1] / "axe" / "axe.min.js").read_text()
HOSTS_OWN = "setting 'autocomplete'"  # what Airflow 2.11's bar fails in on each of its pages
CUT = """
    window.cut = true;
    const Uncut = WebSocket;
    window.WebSocket = function (url) {
        if (!window.cut) return new Uncut(url);
        const refused = {};
        setTimeout(() => refused.onclose({ code: 1006 }));
        return refused;
    };
"""
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"  # than the window


class Desk:
    """A browser at the desk of somebody who is signed in, and what it was asked and complained of."""

    def __init__(self, page: Page, server: Server, app: Any, name: str) -> None:
        self.page, self.server = page, server
        self.requests: list[str] = []
        self.complaints: list[str] = []
        client = hosting().client(
            app, BASE, {}
        )  # not entered, which would begin and end the server's lifespan
        hosting().sign_in(client, name)
        cookies = [
            {"name": one, "value": value, "url": f"http://{server.address}"}
            for one, value in client.cookies.items()
        ]
        page.context.add_cookies(cookies)  # type: ignore[arg-type]  # plain dictionaries will do
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda failure: self._complain(str(failure)))
        page.on("console", lambda said: self._complain(said.text) if said.type == "error" else None)

    def _complain(self, text: str) -> None:
        if HOSTS_OWN not in text:
            self.complaints.append(text)

    def open(self, path: str) -> Page:
        self.page.goto(f"http://{self.server.address}{hosting().PAGES}/{path}")
        return self.page

    def asked(self, path: str) -> int:
        """Return how often the API was asked for something."""
        return sum(f"/api/v1/{path}" in url for url in self.requests)

    def serious(self) -> list[str]:
        """Return what axe finds seriously wrong with SVOps' own part of the page."""
        found = self.page.evaluate(f"async () => {{ {AXE}; return await axe.run('.sv-desk'); }}")
        return [
            f"{one['id']}: {[node['html'] for node in one['nodes']]}"
            for one in found["violations"]
            if one["impact"] in {"serious", "critical"}
        ]


@pytest.fixture
def sit_down(server: Server, api_server: Any) -> Iterator[Callable[..., Desk]]:
    """Returns a function that opens a browser for somebody; nothing may have gone wrong in it at the end."""
    desks: list[Desk] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)

        def sit_down(name: str = "admin", **options: Any) -> Desk:
            desks.append(
                Desk(browser.new_context(locale="en", **options).new_page(), server, api_server, name)
            )
            return desks[-1]

        yield sit_down
        browser.close()
    for desk in desks:
        assert desk.complaints == []
        assert {url.split("/")[2] for url in desk.requests if url.startswith("http")} == {server.address}


@pytest.fixture
def api(server: Server) -> httpx.Client:
    return server.rest("admin")


def keep(api: httpx.Client, name: str, **fields: Any) -> int:
    body = {"name": name, "customer": "tests", "log_out_path": str(OUTPUT), **fields}
    answer = api.post("api/v1/tasks", json=body)
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


@pytest.fixture
def dataset(api: httpx.Client, dataset_body: dict[str, Any]) -> int:
    return int(api.post("api/v1/datasets", json=dataset_body).json()["id"])


def row(page: Page, task_id: int) -> Any:
    return page.locator(f"tr[data-task='{task_id}']")
