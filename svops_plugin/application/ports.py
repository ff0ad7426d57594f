"""What the use cases need from outside, as protocols that infrastructure fulfils."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from svops_plugin.application.event_ports import Events, Hubs
from svops_plugin.domain.entities import (
    Artifact,
    Dataset,
    Event,
    Execution,
    IdempotencyKey,
    Json,
    Metric,
    RefreshToken,
    Task,
    User,
    Workflow,
    WorkflowRun,
)
from svops_plugin.domain.states import RunStatus, State

E = TypeVar("E")


@dataclass(frozen=True)
class Query:
    """A page of a list: ``order_by`` names a column, descending with a leading ``-``."""

    skip: int = 0
    limit: int = 100
    order_by: str = "-created_at"
    filters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Page(Generic[E]):
    """Some of the items that match, and how many match in all."""

    items: list[E]
    total: int
    query: Query


class Repository(Protocol[E]):
    """One kind of entity in the database."""

    def get(self, entity_id: int) -> E | None:
        """Return it as of now, or none."""

    def lock(self, entity_id: int) -> E | None:
        """Return it, held against every other writer until the unit of work ends."""

    def add(self, entity: E) -> E:
        """Write a new one; its ``id`` is set afterwards."""

    def delete(self, entity: E) -> None:
        """Remove it with all that belongs to it."""

    def page(self, query: Query) -> Page[E]:
        """Return a page of those that match the query's filters.

        :raises InvalidInput: for an ``order_by`` that is not a column
        """


class Stateful(Repository[E], Protocol):
    """One kind of entity that has a status."""

    def move(self, entity: E, to: State, **values: Any) -> bool:
        """Compare and set: enter a state, with further values, if the row is in one that leads there.

        :returns: whether it was; if not, ``entity`` shows the row as it is
        """


class Datasets(Repository[Dataset], Protocol):
    """The datasets."""

    def named(self, name: str) -> Dataset | None:
        """Return the one with this name."""


class Tasks(Stateful[Task], Protocol):
    """The tasks."""


class Executions(Stateful[Execution], Protocol):
    """The attempts at tasks' chains."""

    def attempts(self, task_id: int) -> int:
        """Return the highest attempt number of a task so far, 0 before the first."""

    def carried_by(self, controller_run_id: str) -> Execution | None:
        """Return the newest execution that a run of the controller DAG carries."""

    def active(self) -> list[Execution]:
        """Return those that have not ended, without what they remember in JSON."""

    def ended_since(self, since: datetime) -> list[Execution]:
        """Return those that failed or were cancelled after a time."""

    def history(self, task_id: int) -> list[Execution]:
        """Return a task's executions, the newest first."""


class Workflows(Repository[Workflow], Protocol):
    """The DAGs known to SVOps."""

    def of_dag(self, dag_id: str) -> Workflow | None:
        """Return the workflow of a DAG."""

    def for_dags(self, dag_ids: Iterable[str]) -> dict[str, Workflow]:
        """Return the workflow of each DAG, registering those that are new."""


class ActiveRun(NamedTuple):
    """What has to be known of a run that has not ended to see whether it has changed; no more is loaded."""

    id: int
    execution_id: int | None
    dag_id: str
    dag_run_id: str
    status: RunStatus
    progress_done: int
    progress_total: int
    message: str
    created_at: datetime


class WorkflowRuns(Stateful[WorkflowRun], Protocol):
    """The DAG runs of workflows."""

    def of_execution(self, execution_id: int) -> list[WorkflowRun]:
        """Return the runs of a chain in its order."""

    def of_executions(self, execution_ids: Collection[int]) -> list[WorkflowRun]:
        """Return the runs of several chains."""

    def of_dag_run(self, dag_id: str, dag_run_id: str) -> WorkflowRun | None:
        """Return the run that goes by Airflow's names, held against writers."""

    def active(self) -> list[ActiveRun]:
        """Return those that have not ended."""


class Tracking(Protocol):
    """What pipelines measured and left; a repeated name (and step) overwrites."""

    def save_metric(self, metric: Metric) -> None:
        """Write a metric."""

    def save_artifact(self, artifact: Artifact) -> None:
        """Write an artifact."""

    def metrics(self, execution_id: int) -> list[Metric]:
        """Return the metrics of an execution in the order of their names and steps."""

    def artifacts(self, execution_id: int) -> list[Artifact]:
        """Return the artifacts of an execution in the order of their names."""


class Users(Protocol):
    """SVOps' integer ids of the auth manager's users, and their refresh tokens."""

    def identify(self, subject: str, username: str) -> User:
        """Return the user with this subject, registering a new one."""

    def named(self, username: str) -> User | None:
        """Return the user with this name, if SVOps has met them."""

    def add_refresh_token(self, token: RefreshToken) -> None:
        """Write a new refresh token."""

    def refresh_token(self, digest: str) -> RefreshToken | None:
        """Return the token with this digest, held against writers."""

    def revoke_family(self, family: str) -> None:
        """End every refresh token that descends from the same login."""


class IdempotencyKeys(Protocol):
    """Answers to requests that must not be done twice."""

    def find(self, scope: str, key: str) -> IdempotencyKey | None:
        """Return the request that had this key."""

    def add(self, request: IdempotencyKey) -> None:
        """Keep a request with its answer."""


class Leases(Protocol):
    """Who of several processes may act; they expire, so that another takes over from one that died."""

    def acquire(self, name: str, holder: str, seconds: float) -> bool:
        """Take or keep a lease for so long; tell whether it is the holder's now."""


class UnitOfWork(Protocol):
    """One transaction: commits when left normally, rolls back on an exception.

    Events recorded in it are written last and become visible with it.

    :raises Unavailable: where the database does not answer
    """

    datasets: Datasets
    tasks: Tasks
    executions: Executions
    workflows: Workflows
    runs: WorkflowRuns
    tracking: Tracking
    users: Users
    leases: Leases
    idempotency: IdempotencyKeys
    events: Events
    hubs: Hubs

    def record(self, event: Event) -> None:
        """Write an event with this transaction."""

    def ping(self) -> None:
        """Ask the database for a sign of life."""

    def __enter__(self) -> UnitOfWork:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit or roll back."""


Transactions = Callable[[], UnitOfWork]


@dataclass(frozen=True)
class Account:
    """Somebody whom the auth manager knows.

    :param claims: what it puts into a token to know them again; ``sub`` is their name there
    """

    claims: Json
    username: str
    email: str
    name: str
    is_active: bool
    roles: frozenset[str]
    created_at: datetime | None = None

    @property
    def subject(self) -> str:
        """The auth manager's own name for them."""
        return str(self.claims["sub"])


class Accounts(Protocol):
    """The auth manager's users and tokens."""

    def login(self, username: str, password: str) -> Account:
        """Return whose credentials these are.

        :raises NotAuthenticated: if they are nobody's
        """

    def by_token(self, token: str) -> Account:
        """Return whose access token this is.

        :raises NotAuthenticated: if it is not valid (any more)
        """

    def expiry(self, token: str) -> datetime | None:
        """Return when an access token that is valid ends to be; none if it never does."""

    def by_claims(self, claims: Json) -> Account | None:
        """Return the account with these claims, if it still exists and is active."""

    def access_token(self, account: Account) -> tuple[str, int]:
        """Return a token for both APIs and its lifetime in seconds."""


Check = Callable[[Task], None]
ProbeDataset = Callable[[Dataset], list[str]]


class Paths(Protocol):
    """Which places may be read and written."""

    def readable(self, field: str, path: str) -> None:
        """Refuse a path outside ``[svops] data_roots``.

        :raises InvalidInput: naming ``field``
        """

    def writable(self, field: str, path: str) -> None:
        """Refuse a path outside ``[svops] output_roots``.

        :raises InvalidInput: naming ``field``
        """
