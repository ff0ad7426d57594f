"""The webserver of Airflow 2.11 as it is run: gunicorn, which loads the application once and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import httpx
import psutil
import pytest
from playwright.sync_api import expect
from websockets.exceptions import ConnectionClosed

from svops_plugin.application import dispatcher, monitor
from svops_plugin.application.event_ports import HubRow
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import utcnow
from svops_plugin.presentation.cli.stack.commands import free_port
from svops_plugin.presentation.websocket import protocol
from tests.integration.browser import Desk, api, keep, row, sit_down
from tests.integration.live import PATIENCE, Client, Server, an_event, eventually, happen, ids

__all__ = ["api", "sit_down"]
pytestmark = pytest.mark.only_on("airflow2", "Server")
THREADS = ("--worker-class", "gthread", "--threads", "24")


class Webserver:
    """A webserver with two workers, as the ``airflow webserver`` command starts it."""

    def __init__(self, tokens: dict[str, str], *options: str) -> None:
        port = free_port("127.0.0.1", 0)
        gunicorn = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2"]
        config = ["--config", "python:airflow.www.gunicorn_config", "airflow.www.app:cached_app()"]
        self.process = subprocess.Popen([*gunicorn, *options, *config], env=os.environ)
        self.server = Server(port, tokens)

    def hubs(self) -> list[HubRow]:
        """Return what the hubs of all processes have said lately."""
        with services(pooled=True).transactions() as uow:
            return list(uow.hubs.alive(utcnow() - timedelta(seconds=30)))

    def holder(self, lease: str) -> int | None:
        """Return the pid of the process that a lease says may act, or none."""
        with services(pooled=True).transactions() as uow:
            holders = {one.name: one.holder for one in uow.leases.held()}
        return int(holders[lease].split(":")[-2]) if lease in holders else None

    def begun(self) -> list[int]:
        """Wait for both workers, and return their pids."""
        return sorted(row.pid for row in eventually(self._both, "the hubs"))

    def _both(self) -> list[HubRow]:
        assert self.process.poll() is None
        found = self.hubs()
        return found if len(found) >= 2 else []

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)


@pytest.fixture
def start(svops_database: str, tokens: dict[str, str]) -> Iterator[Callable[..., Webserver]]:  # noqa: ARG001
    """Returns a function that starts a webserver with options of gunicorn."""
    started: list[Webserver] = []

    def start(*options: str) -> Webserver:
        started.append(Webserver(tokens, *options))
        return started[-1]

    yield start
    for one in started:
        family = (
            psutil.Process(one.process.pid).children(recursive=True) if one.process.poll() is None else []
        )
        one.process.kill()
        for process in family:
            process.kill()
        one.process.wait()


@pytest.mark.parametrize(
    "options", [(*THREADS, "--preload"), THREADS, ("--worker-class", "sync", "--threads", "24")]
)
def test_each_worker_begins_once_and_ends_politely(
    start: Callable[..., Webserver], options: tuple[str, ...]
) -> None:
    webserver = start(*options)
    workers = webserver.begun()
    children = [process.pid for process in psutil.Process(webserver.process.pid).children()]
    assert workers == sorted(children)
    with ExitStack() as sockets:
        clients = [sockets.enter_context(webserver.server.listening()) for _ in range(6)]
        made = happen(an_event(), an_event())
        assert [ids(client, 2) for client in clients] == [made] * 6
        webserver.process.send_signal(signal.SIGTERM)
        assert {client.close_code() for client in clients} == {protocol.RESTARTING}
    assert webserver.process.wait(PATIENCE) == 0
    assert webserver.hubs() == []


def test_a_worker_that_is_killed_is_replaced(start: Callable[..., Webserver]) -> None:
    webserver = start(*THREADS, "--preload")
    before = webserver.begun()
    os.kill(before[0], signal.SIGKILL)

    def another() -> bool:
        return any(row.pid not in before for row in webserver.hubs())

    eventually(another, "a worker in its place")
    webserver.stop()


@pytest.mark.parametrize("lease", [monitor.LEASE, dispatcher.LEASE])
def test_another_worker_takes_over_from_one_that_is_killed(
    start: Callable[..., Webserver], lease: str
) -> None:
    webserver = start(*THREADS, "--preload")
    workers = webserver.begun()
    first = eventually(lambda: webserver.holder(lease), f"a holder of {lease}")
    assert first in workers
    os.kill(first, signal.SIGKILL)

    def another() -> int | None:
        found = webserver.holder(lease)
        return None if found == first else found

    second = eventually(another, f"another holder of {lease}")
    assert second in {child.pid for child in psutil.Process(webserver.process.pid).children()}
    webserver.stop()


def test_workers_end_when_their_master_is_killed(start: Callable[..., Webserver]) -> None:
    webserver = start(*THREADS, "--preload")
    workers = [psutil.Process(pid) for pid in webserver.begun()]
    with webserver.server.listening() as client:
        webserver.process.kill()
        assert client.close_code() == protocol.RESTARTING
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []


@pytest.mark.parametrize("options", [(), ("--worker-class", "gthread", "--threads", "4")])
def test_sockets_that_would_freeze_the_pages_are_refused(
    start: Callable[..., Webserver], options: tuple[str, ...]
) -> None:
    webserver = start("--preload", *options)
    webserver.begun()
    for _ in range(4):
        with webserver.server.connected() as client:
            assert client.close_code() == protocol.NO_THREADS
            assert "gthread" in client.socket.close_reason
    assert httpx.get(f"http://{webserver.server.address}/health", trust_env=False).is_success
    webserver.stop()


@pytest.fixture
def server(start: Callable[..., Webserver]) -> Server:
    """A webserver as Airflow starts it by default: its workers have one thread each."""
    webserver = start("--preload", "--worker-class", "sync")
    webserver.begun()
    return webserver.server


def test_pages_poll_where_sockets_would_freeze_them(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    desk = sit_down()
    sockets: list[str] = []
    desk.page.on("websocket", lambda socket: sockets.append(socket.url))
    page = desk.open("board")
    expect(page.locator("#sv-connection")).to_have_text("Polling", timeout=PATIENCE * 1000)
    told = row(page, keep(api, "Told at the next look"))
    expect(told).to_contain_text("Told at the next look", timeout=PATIENCE * 1000)
    with page.expect_response(lambda answer: "/api/v1/events" in answer.url, timeout=PATIENCE * 1000):
        pass  # a look later
    expect(page.locator("#sv-connection")).to_have_text("Polling")
    assert len(sockets) == 1


def is_greeted(client: Client) -> bool:
    """Tell whether a client got a place."""
    try:
        return bool(client.next()["type"] == "hello")
    except ConnectionClosed:
        return False


def test_a_connection_lasts_though_nobody_looks_at_what_was_sent(start: Callable[..., Webserver]) -> None:
    """Gunicorn 25 reads what a view has left unread after the answer, at times with the next request."""
    webserver = start(*THREADS, "--preload")
    webserver.begun()
    with webserver.server.rest("admin") as client, webserver.server.rest(None) as stranger:
        for _ in range(200):
            assert client.post("api/v1/tasks/1/stop", json={}).status_code == 404
            assert stranger.post("api/v1/tasks/1/stop", json={}).status_code == 401
    webserver.stop()


def test_a_full_server_still_has_pages(start: Callable[..., Webserver]) -> None:
    """Two workers of 24 threads keep 16 each for everything else."""
    webserver = start(*THREADS, "--preload")
    webserver.begun()
    with ExitStack() as sockets:
        taken = 0
        while taken < 16:
            taken += is_greeted(sockets.enter_context(webserver.server.connected()))
        assert webserver.server.close_code() == protocol.TRY_LATER
        assert httpx.get(f"http://{webserver.server.address}/health", trust_env=False).is_success
    webserver.stop()


@pytest.mark.usefixtures("airflow_metadata", "svops_database")
def test_the_command_line_begins_nothing() -> None:
    """It makes the same application, to keep users in."""
    program = (
        "import threading; from airflow.cli.cli_parser import get_parser; "
        "roles = get_parser().parse_args(['roles', 'list']); roles.func(roles); "
        "assert [one.name for one in threading.enumerate()] == ['MainThread'], threading.enumerate()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
