"""Nobody misses anything and nobody gets anything twice, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.sync.client import ClientConnection, connect

from svops_plugin.bootstrap import services
from svops_plugin.domain.errors import Unavailable
from tests.conftest import PostgreSQL, connection
from tests.integration.live import PATIENCE, Serve, an_event, eventually, serve

__all__ = ["serve"]

CLIENTS, WRITERS, MOST_AT_ONCE = 3, 3, 40


class Follower(threading.Thread):
    """A client that connects again and resumes by id whenever it is cut off, as the documented ones do."""

    def __init__(self, address: Callable[[], str], token: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._token = token
        self._socket: ClientConnection | None = None
        self._done = threading.Event()
        self.connections = 0
        self.seen: list[int] = []
        self.start()

    def run(self) -> None:
        while not self._done.is_set():
            with suppress(OSError, WebSocketException, InvalidHandshake, TimeoutError):
                self._follow()
            self._done.wait(0.01)

    def _follow(self) -> None:
        since = self.seen[-1] if self.seen else 0
        headers = {"Authorization": f"Bearer {self._token}"}
        with connect(
            f"{self._address()}?since={since}", additional_headers=headers, compression=None, proxy=None
        ) as opened:
            self.connections += 1
            self._socket = opened
            for frame in opened:
                message = json.loads(frame)
                assert message.get("type") != "resync"
                if "id" in message:
                    self.seen.append(message["id"])

    def cut(self) -> int:
        """Lose the connection without a word, and return its number, from 1; 0 if there was none."""
        number = self.connections
        if self._socket is not None:
            with suppress(OSError):
                self._socket.socket.shutdown(2)
                return number
        return 0

    def stop(self) -> None:
        self._done.set()
        self.cut()
        self.join(PATIENCE)


class Writer(threading.Thread):
    """Lets things happen, a few at a time, some of which are rolled back, until stopped."""

    def __init__(self, seed: int) -> None:
        super().__init__(daemon=True)
        self._random = random.Random(seed)
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._done.wait(self._random.random() / 50):
            with (
                suppress(Unavailable, InterruptedError),
                services(pooled=True).transactions() as uow,
            ):
                for number in range(self._random.randint(1, MOST_AT_ONCE)):
                    uow.record(an_event(number))
                if self._random.random() < 0.1:
                    uow._write_events()  # takes ids that nobody will ever see
                    raise InterruptedError

    def stop(self) -> None:
        self._done.set()
        self.join(PATIENCE)


def recorded() -> list[int]:
    """Return the ids in the table; none while the database does not answer."""
    try:
        with services().engine.connect() as connected:
            return list(connected.scalars(text("SELECT id FROM svops_event ORDER BY id")))
    except Exception:
        return []


@pytest.fixture(params=["postgresql", "sqlite"])
def database(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    api_server: Any,  # noqa: ARG001
    clean_services: None,  # noqa: ARG001
) -> str:
    """Let this process's services work on a database of each kind; return which."""
    if request.param == "postgresql":
        name = request.getfixturevalue("postgresql_database")
        monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", connection(name))
    else:
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "svops.sqlite")
        monkeypatch.setenv("AIRFLOW__SVOPS__SQL_ALCHEMY_CONN", f"sqlite:///{tmp_path}/svops.sqlite")
    return str(request.param)


class World:
    """A server that can be restarted, writers, and clients that follow."""

    def __init__(self, cleanup: ExitStack, serve: Serve, token: str) -> None:
        self._cleanup = cleanup
        self._serve = serve
        self._server = cleanup.enter_context(ExitStack())
        self._port = 0
        self.restart()
        self.followers = [
            Follower(lambda: f"ws://127.0.0.1:{self._port}/svops/ws", token) for _ in range(CLIENTS)
        ]
        self.writers = [Writer(number) for number in range(WRITERS)]
        for thread in (*self.followers, *self.writers):
            cleanup.callback(thread.stop)

    def _address(self) -> str:
        return f"ws://127.0.0.1:{self._port}/svops/ws"

    def restart(self) -> None:
        """End the server with its hub, and start another one."""
        self._server.close()
        self._port = self._server.enter_context(self._serve())

    def settle(self) -> list[int]:
        """Stop writing, wait until every client has what is in the table, and return that."""
        for writer in self.writers:
            writer.stop()
        last = eventually(recorded, "the table")
        for follower in self.followers:
            eventually(lambda one=follower: one.seen and one.seen[-1] >= last[-1], "a client")
        return recorded()

    def wait_for(self, number: int) -> None:
        """Wait until so many more events are in the table."""
        before = len(eventually(recorded, "the table"))
        eventually(lambda: len(recorded()) >= before + number, "more events")


ACTIONS = st.lists(
    st.sampled_from(["restart", "database", "cut 0", "cut 1", "cut 2", "wait"]), min_size=2, max_size=7
)


@settings(
    max_examples=6,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(actions=ACTIONS)
def test_every_client_has_what_the_table_has(
    actions: list[str], database: str, postgresql: PostgreSQL, serve: Serve, tokens: dict[str, str]
) -> None:
    """Writers, restarts of the server and of the database, and cut connections in any order."""
    with ExitStack() as cleanup:
        world = World(cleanup, serve, tokens["viewer"])
        for action in ["wait", *actions, "wait"]:
            if action == "restart":
                world.restart()
            elif action == "database" and database == "postgresql":
                postgresql.close("svops")
                postgresql.open("svops")
            elif action.startswith("cut"):
                follower = world.followers[int(action[-1])]
                lost = eventually(follower.cut, "a connection to cut")
                eventually(lambda one=follower, lost=lost: one.connections > lost, "a new connection")
            world.wait_for(30)
        table = world.settle()
        for follower in world.followers:
            assert follower.seen == table


@pytest.fixture
def killable(airflow_metadata: None, svops_database: str) -> Iterator[Callable[[int], tuple[Any, int]]]:  # noqa: ARG001
    """Returns a function that starts an API server in a process of its own; all get SIGKILL at the end."""
    started: list[subprocess.Popen[bytes]] = []
    program = "import sys, uvicorn; uvicorn.run('airflow.api_fastapi.main:app', port=int(sys.argv[1]))"

    def start(port: int) -> tuple[Any, int]:
        started.append(subprocess.Popen([sys.executable, "-c", program, str(port)], env=os.environ))
        return started[-1], port

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.only_on("airflow3", "Server")
def test_a_killed_server_loses_nothing(
    killable: Callable[[int], tuple[Any, int]],
    tokens: dict[str, str],
) -> None:
    from svops_plugin.presentation.cli.stack.commands import free_port

    process, port = killable(free_port("127.0.0.1", 0))
    with ExitStack() as cleanup:
        follower = Follower(lambda: f"ws://127.0.0.1:{port}/svops/ws", tokens["viewer"])
        writer = Writer(1)
        for thread in (follower, writer):
            cleanup.callback(thread.stop)
        eventually(lambda: len(follower.seen) > 100, "events")
        process.send_signal(signal.SIGKILL)
        process.wait()
        seen = len(follower.seen)
        killable(port)
        eventually(lambda: len(follower.seen) > seen + 100, "events after the kill")
        writer.stop()
        last = recorded()[-1]
        eventually(lambda: follower.seen[-1] == last, "the last event")
        assert follower.seen == recorded()
