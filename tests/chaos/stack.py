"""A stack as ``svops up`` starts it, whose processes can be killed and started again one by one.

It differs from that stack in its DAGs and in how soon Airflow itself takes notice of a dead process
(``SOONER`` and ``UNLOCK``), for SVOps can only tell what Airflow has noticed. These are settings of Airflow's
and of PostgreSQL's.
"""

from __future__ import annotations

import queue
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from svops_plugin.infrastructure.airflow.processes import processes
from svops_plugin.presentation.cli import stack as package
from svops_plugin.presentation.cli.stack import reaper
from svops_plugin.presentation.cli.stack.commands import free_port
from svops_plugin.presentation.cli.stack.environment import (
    LOOPBACK,
    Home,
    base_url,
    environment,
    opened,
)
from svops_plugin.presentation.cli.stack.supervisor import Process, Supervisor
from tests.chaos import checker, gates
from tests.chaos.gates import Gates
from tests.conftest import LABELS, VECTORS
from tests.hosts import hosting

HERE = Path(__file__).parent
CHAIN = ("held_1", "held_2", "held_3")
PATIENCE = 60
POLL = 0.1
JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob"}

SOONER = {
    # A task whose process is gone: 300 s by default.
    **hosting().SOONER,
    # Tasks of a scheduler that is gone: 300 s.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    # Triggers of a triggerer that is gone: 30 s.
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
}

# Where only a scheduler's first process is killed, the orphaned workers of its LocalExecutor keep its
# connection open, and what it had locked stays locked: the next scheduler passes over those DAG runs. So the
# server ends a transaction in which nobody does anything.
UNLOCK = "ALTER DATABASE airflow SET idle_in_transaction_session_timeout = '8s'"
PATIENT = {"options": "-c idle_in_transaction_session_timeout=0"}  # the suite's own locks


class Keeper:
    """Starts, kills and starts again what a supervisor runs, and also what has ended by itself."""

    def __init__(self, supervisor: Supervisor, home: Home) -> None:
        self._supervisor = supervisor
        services = {**processes().first, **processes().later}
        self._commands: dict[str, list[str | Path]] = {
            "postgres": [
                sys.executable,
                "-I",
                Path(package.__file__).with_name("postgres.py"),
                home.database,
                home.sockets,
            ],
            **{name: [sys.executable, "-m", "airflow", *arguments] for name, arguments in services.items()},
        }
        self._variables: dict[str, Mapping[str, str]] = {}
        self._running: dict[str, Process] = {}
        self.revived: Counter[str] = Counter()  # how often what had ended by itself

    @property
    def names(self) -> list[str]:
        return list(self._commands)

    @property
    def running(self) -> list[str]:
        """The names of those that were started and not killed since."""
        return list(self._running)

    def start(self, name: str, variables: Mapping[str, str] | None = None) -> None:
        """Start a process, with these variables beside the stack's."""
        self._variables[name] = variables or {}
        assigned = [f"{variable}={value}" for variable, value in self._variables[name].items()]
        stop_signal = signal.SIGINT if name == "postgres" else signal.SIGTERM
        self._running[name] = self._supervisor.start(
            name, ["env", *assigned, *self._commands[name]], stop_signal=stop_signal
        )

    def kill(self, name: str) -> None:
        """Kill a process and all that it has started, without a word of warning."""
        process = self._running.pop(name)
        members = reaper.members_of([process.leader])
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(members, timeout=PATIENCE)

    def behead(self, name: str) -> None:
        """Kill a process, but nothing of what it has started."""
        process = self._running.pop(name)
        process.popen.kill()
        process.popen.wait(PATIENCE)

    def revive(self) -> None:
        """Start again what has ended by itself, as whoever runs Airflow's processes in earnest does."""
        for name, process in list(self._running.items()):
            if process.popen.poll() is not None:
                self.kill(name)
                self.start(name, self._variables[name])
                self.revived[name] += 1


@dataclass
class Stack:
    """A running stack and an administrator signed in to it.

    :param svops: SVOps' own database
    :param metadata: Airflow's
    """

    keeper: Keeper
    home: Home
    gates: Gates
    api: httpx.Client
    airflow: httpx.Client = field(init=False)
    svops: Engine
    metadata: Engine
    dataset_id: int = 0
    told: set[str] = field(default_factory=set)

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Return the condition's first true value."""
        value = self.await_(condition)
        assert value, f"waited in vain for {what}"
        return value

    def await_(self, condition: Callable[[], Any]) -> Any:
        """Return the condition's first true value, or a false one when the patience is at its end."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()) and time.monotonic() < deadline:
            self.keeper.revive()
            time.sleep(POLL)
        return value

    def execute(self, name: str) -> int:
        """Execute a new task of this name and return its id."""
        task_id = self.new_task(name)
        self.post(f"tasks/{task_id}/execute")
        return task_id

    def ends(self, task_ids: Sequence[int]) -> dict[int, datetime]:
        """Return when the last executions of tasks ended, of those that have."""
        query = text("""
            SELECT t.id, e.ended_at FROM svops_task t JOIN svops_execution e ON e.id = t.last_execution_id
            WHERE t.id = ANY(:task_ids) AND e.ended_at IS NOT NULL""")
        with self.svops.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query, {"task_ids": list(task_ids)})}

    def statuses(self, task_ids: Sequence[int]) -> dict[int, str]:
        """Return what tasks are."""
        query = text("SELECT id, status FROM svops_task WHERE id = ANY(:task_ids)")
        with self.svops.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query, {"task_ids": list(task_ids)})}

    def is_quiet(self) -> bool:
        """Tell whether Airflow has nothing left to run, and no process of a task is alive."""
        left = scalar(self.metadata, "SELECT count(*) FROM dag_run WHERE state IN ('queued', 'running')")
        return not left and not any(start.is_alive for start in self.gates.starts())

    def settle(self, task_ids: Sequence[int]) -> list[str]:
        """Wait for the ends of these tasks, and return what is wrong then and has not been told before.

        What is wrong for good so fails one test, not all that follow; chains that never end are wrong, too.
        """
        self.await_(lambda: len(self.ends(task_ids)) == len(task_ids) and self.is_quiet())
        wrong = [one for one in self.violations() if one not in self.told]
        self.told.update(wrong)
        return wrong

    def violations(self) -> list[str]:
        """Return what is wrong now."""
        with self.svops.connect() as svops, self.metadata.connect() as metadata:
            return checker.violations(svops, metadata, self.gates.starts())

    def new_task(self, name: str) -> int:
        body = {
            "name": name,
            "customer": "chaos",
            "dataset_id": self.dataset_id,
            "log_out_path": str(self.home.output),
        }
        return int(self.post("tasks", body)["id"])

    def post(self, path: str, body: dict[str, Any] | None = None, *, status: int = 201) -> dict[str, Any]:
        answer = self.api.post(path, json=body or {})
        assert answer.status_code == status, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def restart(self, *names: str, **variables: str) -> float:
        """Start processes that were killed, and return when the last of them was back."""
        since = time.time()
        for name in names:
            self.keeper.start(name, variables)
        return max(self.back(name, since) for name in names)

    def back(self, name: str, since: float) -> float:
        """Wait until a process that was started after a time works, and return when it did."""
        conditions: dict[str, Callable[[], bool]] = {
            "postgres": self._accepts_connections,
            hosting().SERVER: self._answers,
            "dag-processor": lambda: self._has_parsed(since),
        }
        self.until(conditions.get(name, lambda: self._beats(JOBS[name], since)), name)
        return time.time()

    def _accepts_connections(self) -> bool:
        try:
            return scalar(self.metadata, "SELECT true") is True
        except OperationalError:
            return False

    def _answers(self) -> bool:
        try:
            return self.api.get("health", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _has_parsed(self, since: float) -> bool:
        query = "SELECT min(last_parsed_time) > to_timestamp(:since) FROM dag"
        return bool(scalar(self.metadata, query, since=since))

    def _beats(self, job_type: str, since: float) -> bool:
        query = """
            SELECT count(*) FROM job WHERE job_type = :job_type AND state = 'running'
            AND start_date > to_timestamp(:since) AND latest_heartbeat >= start_date"""
        return bool(scalar(self.metadata, query, job_type=job_type, since=since))


def scalar(engine: Engine, query: str, **values: Any) -> Any:
    """Return the first column of the first row."""
    with engine.connect() as connection:
        return connection.scalar(text(query), values)


@contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Run a stack in a folder; nothing of it is left afterwards, also if this process is killed."""
    with opened(folder) as home:
        port = free_port(LOOPBACK, 0)
        notes = home.path / "gates"
        notes.mkdir()
        variables = {
            **environment(home, LOOPBACK, port),
            **SOONER,
            "AIRFLOW__CORE__DAGS_FOLDER": str(HERE / "dags"),
            "AIRFLOW__SVOPS__CHAIN": ",".join(CHAIN),
            "PYTHONPATH": str(HERE.parents[1]),
            gates.VARIABLE: str(notes),
        }
        with Supervisor(queue.SimpleQueue(), home.logs, variables, lock=home.lock) as supervisor:
            keeper = Keeper(supervisor, home)
            password = prepared(supervisor, keeper)
            url, metadata = (
                base_url(LOOPBACK, port),
                make_url(variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]),
            )
            with httpx.Client(base_url=f"{url}/svops/api/v1", timeout=120, trust_env=False) as api:
                svops, airflows = (
                    create_engine(
                        metadata.set(database=name), poolclass=NullPool, connect_args=PATIENT, future=True
                    )
                    for name in ("svops", "airflow")
                )
                stack = Stack(keeper, home, Gates(notes), api, svops, airflows)
                with stack.metadata.begin() as connection:
                    for statement in (UNLOCK, *hosting().PREPARE_TO_HOLD):
                        connection.execute(text(statement))
                stack.restart(*keeper.names[1:])
                token = settle_in(stack, password)
                with hosting().airflow_api(url, token, password) as stack.airflow:
                    yield stack


def prepared(supervisor: Supervisor, keeper: Keeper) -> str:
    """Start PostgreSQL, make its databases, and return the administrator's password."""
    keeper.start("postgres")
    password = secrets.token_urlsafe(12)
    command: Sequence[str] = [sys.executable, "-m", f"{package.__name__}.prepare"]
    supervisor.finish(supervisor.begin("prepare", command, {"SVOPS_ADMIN_PASSWORD": password}))
    return password


def settle_in(stack: Stack, password: str) -> str:
    """Sign in, keep a dataset, and return the access token."""
    credentials = {"username": "admin", "password": password}
    token = str(stack.post("auth/login", credentials, status=200)["access_token"])
    stack.api.headers["Authorization"] = f"Bearer {token}"
    folder = stack.home.data / "small"
    folder.mkdir()
    (folder / "table.csv").write_text(VECTORS)
    (folder / "labels.csv").write_text(LABELS)
    dataset = {"name": "small", "path": str(folder), "data_type": "Vector"}
    stack.dataset_id = int(stack.post("datasets", dataset)["id"])
    return token
