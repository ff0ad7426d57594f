"""Swagger UI and ReDoc in a browser, under the policy that they are served with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.e2e.test_chain import CHROMIUM
from tests.hosts import hosting
from tests.integration.live import Server, serve, server
from tests.server import PASSWORD

__all__ = ["serve", "server"]

# Passwords are known to Airflow's own server only, not to the one that stands in for another host's.
pytestmark = pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        yield browser.new_context().new_page()
        browser.close()


def visit(page: Page, server: Server, name: str) -> tuple[set[str], list[str]]:
    """Open a page, and return the hosts it was answered by and the errors in it from then on."""
    hosts: set[str] = set()
    failures: list[str] = []
    page.on("response", lambda answer: hosts.add(answer.url.split("/")[2]))
    page.on("pageerror", lambda failure: failures.append(str(failure)))
    page.goto(f"http://{server.address}/svops/api/v1/{name}")
    return hosts, failures


def test_swagger_ui_asks_the_server(server: Server, page: Page) -> None:
    hosts, failures = visit(page, server, "docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator("#oauth_username").fill("user")
    page.locator("#oauth_password").fill(PASSWORD)
    page.locator(".auth-container:has(#oauth_username) button.authorize").click()
    page.locator(".auth-container button", has_text="Logout").wait_for()
    page.locator(".btn-done").first.click()
    operation = page.locator("#operations-auth-auth_me")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Try it out").click()
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert '"user@svops.example"' in operation.locator(".live-responses-table").inner_text()
    assert hosts == {server.address}
    assert failures == []


def test_redoc_shows_every_operation(server: Server, page: Page) -> None:
    hosts, failures = visit(page, server, "redoc")
    page.get_by_role("heading", name="Run the chain for a task").wait_for()
    described = server.rest(None).get("api/v1/openapi.json").json()
    for methods in described["paths"].values():
        for operation in methods.values():
            assert page.locator(f"[id$='/operation/{operation['operationId']}']").count() == 1
    assert hosts == {server.address}
    assert failures == []
