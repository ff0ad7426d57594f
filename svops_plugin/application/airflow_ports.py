"""What the use cases need of Airflow, as a protocol that infrastructure fulfils."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Protocol

from svops_plugin.application.ports import Page, Query
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import Conflict

ENDED = frozenset({"success", "failed"})  # of Airflow's states of DAG runs


class RunTaken(Exception):
    """Airflow has a run of this id already."""


def foreign_run(dag_id: str, run_id: str) -> Conflict:
    """Return the refusal to adopt a run that somebody else made."""
    return Conflict(f"run id taken: {dag_id} has a foreign run {run_id}.")


@dataclass(frozen=True)
class DagRunState:
    """What Airflow knows of a DAG run: its state, times, and how many of its tasks have ended.

    :param paused: whether somebody has paused its DAG, so that nothing more of it begins
    """

    state: str
    start_date: datetime | None = None
    end_date: datetime | None = None
    done: int = 0
    total: int = 0
    paused: bool = False

    def took(self, time: timedelta) -> bool:
        """Tell whether it has ended and was that long under way."""
        if self.start_date is None or self.end_date is None:
            return False
        return self.end_date - self.start_date >= time


@dataclass(frozen=True)
class TaskInstanceState:
    """What Airflow knows of one task of a DAG run; ``duration`` in seconds."""

    task_id: str
    state: str | None
    start_date: datetime | None
    end_date: datetime | None
    duration: float | None
    try_number: int
    operator: str | None
    log_url: str


@dataclass(frozen=True)
class Dag:
    """A DAG that Airflow has.

    :param is_broken: whether its file cannot be imported as it is now
    """

    dag_id: str
    description: str | None
    is_paused: bool
    is_broken: bool


class Hindrance(Enum):
    """What keeps a DAG from being run, and what to do about it."""

    MISSING = "is missing: put its file into the DAGs folder and let Airflow parse it"
    BROKEN = "has import errors: mend its file"
    PAUSED = "is paused: unpause it in Airflow"


@dataclass(frozen=True)
class DagProblem:
    """That a DAG cannot be run; as text, a sentence that says so."""

    dag_id: str
    hindrance: Hindrance

    def __str__(self) -> str:
        return f"DAG {self.dag_id} {self.hindrance.value}."


@dataclass(frozen=True)
class DagParam:
    """What a run of a DAG can be given.

    :param value: what it is unless somebody says otherwise; none where it has to be said
    :param schema: what it may be (JSON Schema)
    """

    name: str
    value: Any
    description: str | None
    schema: Json


@dataclass(frozen=True)
class SeenRun:
    """A DAG run that Airflow has; ``number`` goes up with each new one."""

    number: int
    dag_id: str
    run_id: str
    run_type: str
    state: str
    start_date: datetime | None
    end_date: datetime | None
    conf: Json
    username: str


class Airflow(Protocol):
    """Airflow's DAG runs, as a process with access to Airflow's metadata database reaches them."""

    def problems(self, dag_ids: Iterable[str]) -> list[DagProblem]:
        """Tell which of these DAGs cannot be run, in their order."""

    def dags(self, query: Query, without: Collection[str]) -> Page[Dag]:
        """Return a page of the DAGs that Airflow has but these, by their ids; filter ``q`` (in the id)."""

    def params(self, dag_id: str) -> list[DagParam]:
        """Return what a run of a DAG can be given, in the DAG's order.

        :raises NotFound: if there is no such DAG
        """

    def task_counts(self, dag_ids: Collection[str]) -> dict[str, int]:
        """Return how many tasks each of these DAGs has; those that Airflow does not know are left out."""

    def trigger(self, dag_id: str, run_id: str, conf: Json, username: str) -> None:
        """Create a DAG run.

        :raises RunTaken: if Airflow has a run of this id already
        :raises Conflict: with Airflow's reason, if it refuses
        :raises Unavailable: if Airflow's database does not answer
        """

    def stop(self, dag_id: str, run_id: str) -> bool:
        """Fail a DAG run that has not ended, so that its processes are killed; tell whether that changed it.

        Its teardown tasks still run, and it ends when they have.

        :raises Unavailable: if Airflow's database does not answer, or is busy with this run
        """

    def run_conf(self, dag_id: str, run_id: str) -> Json | None:
        """Return the conf of a DAG run; none if there is no such run."""

    def cause(self, dag_id: str, run_id: str) -> Json | None:
        """Return which task of a run failed first, and the end of its log; none if no task has.

        As ``{"dag_id", "task_id", "message", "log_url", "log_tail"}``.
        """

    def check_conf(self, dag_id: str, conf: Json) -> None:
        """Refuse a conf that breaks the schema of the DAG's params.

        :raises InvalidInput: naming the parameter
        """

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstanceState]:
        """Return the task instances of a DAG run, in the order in which they began."""

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a DAG run's page in Airflow."""

    def new_runs(self, after: Mapping[str, int], limit: int) -> list[SeenRun]:
        """Return runs of DAGs that are newer than a number given for each, the oldest first."""

    def states(self, runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], DagRunState]:
        """Return what Airflow knows of each ``(dag_id, run_id)`` that exists: two queries, however many."""
