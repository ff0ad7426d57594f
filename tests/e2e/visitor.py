"""People at the pages of a running stack: a browser each, and what it asked for and complained of."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    BrowserContext,
    ConsoleMessage,
    FrameLocator,
    Page,
    StorageState,
    WebError,
    expect,
    sync_playwright,
)

from tests.e2e.conftest import Stack
from tests.e2e.test_chain import CHROMIUM
from tests.hosts import hosting

PATIENCE_MS = 300_000  # of what a page waits for; chains take as long as the machine lets them
OWN = "/svops/"  # what SVOps serves, on either host; complaints about Airflow's own files are Airflow's


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in."""

    username: str
    password: str


class Visitor:
    """A browser, from Airflow's login form on."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.context, self.address = context, address
        self.hosts: set[str] = set()
        self.complaints: list[str] = []
        context.on("request", lambda request: self._asked(request.url))
        context.on("page", lambda page: page.on("websocket", lambda socket: self._asked(socket.url)))
        context.on("console", self._heard)
        context.on("weberror", self._failed)
        self.page = context.new_page()

    def _asked(self, url: str) -> None:
        if urlsplit(url).scheme in {"http", "https", "ws", "wss"}:
            self.hosts.add(urlsplit(url).netloc)

    def _heard(self, message: ConsoleMessage) -> None:
        where = message.location.get("url", "")
        if message.type == "error" and OWN in where:
            self.complaints.append(f"{where}: {message.text}")

    def _failed(self, failure: WebError) -> None:
        if OWN in str(failure.error.stack):
            self.complaints.append(str(failure.error.stack))

    def url(self, path: str) -> str:
        """Return the address of a page of SVOps'."""
        return f"{self.address}{hosting().PAGES}/{path}"

    def open(self, path: str) -> Page:
        """Open a page of SVOps' without what Airflow puts around it."""
        self.page.goto(self.url(path))
        return self.page

    def sign_in(self, person: Person, desk: Page | FrameLocator | None = None) -> None:
        """Fill in Airflow's login form, which is there already."""
        form = desk or self.page
        form.locator("[name=username]").fill(person.username)
        form.locator("[name=password]").fill(person.password)
        form.locator("[type=submit]").click()

    def forgive(self, *texts: str) -> None:
        """Take back each complaint that is about one of these; there has to be one about each."""
        for text in texts:
            assert any(text in complaint for complaint in self.complaints), (text, self.complaints)
        self.complaints[:] = [one for one in self.complaints if not any(text in one for text in texts)]


@pytest.fixture(scope="session")
def address(stack: Stack) -> str:
    """Where the stack's pages are."""
    return str(stack.api.base_url.copy_with(path="/")).rstrip("/")


@pytest.fixture(scope="session")
def people(stack: Stack) -> dict[str, Person]:
    """Somebody of each role, by its name."""
    made = {role: Person(f"desk-{role.lower()}", secrets.token_urlsafe(12)) for role in ("Admin", "Viewer")}
    for role, person in made.items():
        account = {"email": f"{person.username}@svops.example", "name": f"{role} at the desk"}
        stack.post("users", {**asdict(person), **account, "roles": [role]})
    return made


@pytest.fixture(scope="session")
def sessions() -> dict[str, StorageState]:
    """What browsers keep of people who have signed in, by role; Airflow lets nobody sign in too often."""
    return {}


Visit = Callable[..., Visitor]


@pytest.fixture
def visit(address: str, people: dict[str, Person], sessions: dict[str, StorageState]) -> Iterator[Visit]:
    """Returns a function that opens a browser, signed in as somebody of a role, or as nobody.

    At the end none may have complained, and none asked another host for anything.
    """
    visitors: list[Visitor] = []
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)

        def visit(role: str | None = None, by: str = address) -> Visitor:
            kept = sessions.get(role or "")
            context = browser.new_context(locale="en", storage_state=kept)
            context.set_default_timeout(PATIENCE_MS)
            visitors.append(Visitor(context, by))
            if role and kept is None:
                visitors[-1].open("board")
                visitors[-1].sign_in(people[role])
                visitors[-1].page.wait_for_url("**/svops/board")
                sessions[role] = context.storage_state()
            return visitors[-1]

        yield visit
        browser.close()
    for visitor in visitors:
        assert visitor.complaints == [], visitor.complaints
        assert visitor.hosts <= {urlsplit(visitor.address).netloc}, visitor.hosts
