"""What several test modules say alike."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import httpx
from sqlalchemy.engine import Engine
from sqlalchemy.event import listen, remove

from svops_plugin.application.airflow_ports import (
    ENDED,
    DagParam,
    DagProblem,
    DagRunState,
    Hindrance,
    RunTaken,
    SeenRun,
    TaskInstanceState,
)
from svops_plugin.bootstrap import host
from svops_plugin.domain.entities import Dataset, DataType, Json, Task, utcnow
from svops_plugin.domain.errors import Unavailable

T = TypeVar("T")

MEDIA_TYPE = "application/problem+json"


def in_airflow(dag_id: str, run_id: str) -> SeenRun:
    """Return a DAG run as Airflow has it."""
    runs = host().DagRuns().new_runs({dag_id: 0}, 100_000)
    (found,) = (run for run in runs if run.run_id == run_id)
    return cast("SeenRun", found)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Return the body of a refusal after a look at what all refusals have in common."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert "Traceback" not in answer.text
    assert "sqlalchemy" not in answer.text.lower()
    return body


def ok(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).utcoffset() == timedelta(0)


def status(client: httpx.Client, task_id: int) -> str:
    return str(client.get(f"tasks/{task_id}").json()["status"])


def is_empty(client: httpx.Client, path: str) -> bool:
    return bool(client.get(path).json()["total"] == 0)


def at_once(number: int, call: Callable[[int], T]) -> list[T | Exception]:
    """Call from so many threads at the same moment, and return what each got: a value or an exception."""
    barrier = threading.Barrier(number)

    def one(index: int) -> T | Exception:
        barrier.wait()
        try:
            return call(index)
        except Exception as error:
            return error

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(one, range(number)))


def a_dataset(name: str = "digits", **values: Any) -> Dataset:
    return Dataset(**{"name": name, "path": "/data/digits", "data_type": DataType.VECTOR, **values})


def a_task(name: str = "train", **values: Any) -> Task:
    return Task(**{"name": name, "customer": "acme", "log_out_path": "/out", **values})


@dataclass
class Run:
    """A DAG run as Airflow keeps it.

    :param began: whether it has a start date, which one that is stopped in the queue never gets
    :param ended: its end date
    """

    conf: Json
    username: str
    state: str = "queued"
    began: bool = False
    done: int = 0
    total: int = 0
    ended: datetime | None = None

    @property
    def started(self) -> datetime | None:
        """Its start date."""
        return (self.ended or utcnow()) - timedelta(seconds=5) if self.began else None


@dataclass
class MemoryAirflow:
    """The port ``Airflow`` over a dictionary of runs, for whatever does not need Airflow itself.

    :param hindrances: what keeps which DAG from being run
    :param errors: what the log of a run tells of its failure
    :param paused: the DAGs that somebody has paused
    :param tasks: how many tasks which DAG has
    :param down: whether its database does not answer
    """

    runs: dict[tuple[str, str], Run] = field(default_factory=dict)
    hindrances: dict[str, Hindrance] = field(default_factory=dict)
    errors: dict[tuple[str, str], Json] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)
    tasks: dict[str, int] = field(default_factory=dict)
    down: bool = False

    def problems(self, dag_ids: Iterable[str]) -> list[DagProblem]:
        self._answer()
        known = self.hindrances
        return [DagProblem(dag_id, known[dag_id]) for dag_id in dag_ids if dag_id in known]

    def task_counts(self, dag_ids: Collection[str]) -> dict[str, int]:
        self._answer()
        return {dag_id: self.tasks[dag_id] for dag_id in dag_ids if dag_id in self.tasks}

    def trigger(self, dag_id: str, run_id: str, conf: Json, username: str) -> None:
        self._answer()
        if (dag_id, run_id) in self.runs:
            raise RunTaken(run_id)
        self.runs[dag_id, run_id] = Run(conf, username)

    def stop(self, dag_id: str, run_id: str) -> bool:
        self._answer()
        run = self.runs.get((dag_id, run_id))
        if run is None or run.state in ENDED:
            return False
        run.state, run.ended = "failed", utcnow()
        return True

    def run_conf(self, dag_id: str, run_id: str) -> Json | None:
        self._answer()
        run = self.runs.get((dag_id, run_id))
        return run.conf if run else None

    def params(self, dag_id: str) -> list[DagParam]:  # noqa: ARG002
        self._answer()
        return []

    def check_conf(self, dag_id: str, conf: Json) -> None:  # noqa: ARG002
        self._answer()

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstanceState]:  # noqa: ARG002
        self._answer()
        return []

    def run_url(self, dag_id: str, run_id: str) -> str:
        return f"http://airflow.example/dags/{dag_id}/runs/{run_id}"

    def new_runs(self, after: Mapping[str, int], limit: int) -> list[SeenRun]:
        """Return the runs of the wanted DAGs; their numbers are their places in the dictionary."""
        self._answer()
        found = [
            SeenRun(
                number, dag_id, run_id, "manual", run.state, run.started, run.ended, run.conf, run.username
            )
            for number, ((dag_id, run_id), run) in enumerate(self.runs.items(), start=1)
            if number > after.get(dag_id, number)
        ]
        return found[:limit]

    def cause(self, dag_id: str, run_id: str) -> Json | None:
        """Return what went wrong in a run: its log is what ``errors`` holds."""
        self._answer()
        return self.errors.get((dag_id, run_id))

    def states(self, runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], DagRunState]:
        self._answer()
        return {
            key: replace(self._state(self.runs[key]), paused=key[0] in self.paused)
            for key in runs
            if key in self.runs
        }

    def set(self, dag_id: str, run_id: str, state: str, done: int = 0, total: int = 0) -> None:
        """Move a run, made first if there is none, as Airflow or somebody in its UI would."""
        run = self.runs.setdefault((dag_id, run_id), Run({}, ""))
        run.state, run.done, run.total = state, done, total
        run.began = run.began or state != "queued"
        run.ended = utcnow() if state in ENDED else None

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("Airflow's database does not answer; try again later.")

    @staticmethod
    def _state(run: Run) -> DagRunState:
        return DagRunState(run.state, run.started, run.ended, run.done, run.total)


@contextmanager
def counted(engine: Engine) -> Iterator[list[str]]:
    """Give the statements that are sent to a database within the ``with`` block."""
    sent: list[str] = []

    def note(*arguments: Any) -> None:
        sent.append(arguments[2])

    listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        remove(engine, "before_cursor_execute", note)
