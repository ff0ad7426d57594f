"""What the use cases need from outside, as protocols that infrastructure fulfils."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from svops_plugin.application.event_ports import Events, Hubs
from svops_plugin.application.housekeeping_ports import Old
from svops_plugin.application.leases import Leases
from svops_plugin.application.notification_ports import Deliveries, NotificationConfigs
from svops_plugin.application.tracking_ports import Tracking
from svops_plugin.domain.entities import (
    Dataset,
    Event,
    Execution,
    IdempotencyKey,
    Json,
    RefreshToken,
    Task,
    User,
    Workflow,
    WorkflowRun,
)
from svops_plugin.domain.permissions import ADMIN, granted
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

    def several(self, entity_ids: Collection[int]) -> list[E]:
        """Return those of these that exist, in the order of their ids."""

    def delete(self, entity: E) -> None:
        """Remove it with all that belongs to it."""

    def page(self, query: Query) -> Page[E]:
        """Return a page of those that match the query's filters, to be read and not to be changed.

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

    def owners(self) -> list[User]:
        """Return everybody who has made one that is kept, by their names."""


class Executions(Stateful[Execution], Protocol):
    """The attempts at tasks' chains."""

    def attempts(self, task_id: int) -> int:
        """Return the highest attempt number of a task so far, 0 before the first."""

    def carried_by(self, controller_run_id: str) -> Execution | None:
        """Return the newest execution that a run of the controller DAG carries."""

    def active(self) -> list[Execution]:
        """Return those that have not ended, without what they remember in JSON."""

    def under_way(self) -> int:
        """Return how many have not ended."""

    def failed_or_cancelled_since(self, since: datetime) -> list[Execution]:
        """Return those that failed or were cancelled after a time."""

    def history(self, task_id: int) -> list[Execution]:
        """Return a task's executions, the newest first."""


class Workflows(Repository[Workflow], Protocol):
    """The DAGs known to SVOps."""

    def dag_ids(self) -> list[str]:
        """Return the DAGs of all."""

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
    stop_requested_at: datetime | None


class Duration(NamedTuple):
    """From when to when a run took that succeeded."""

    dag_id: str
    dataset_id: int | None
    execution_id: int | None
    start_date: datetime
    end_date: datetime

    @property
    def seconds(self) -> float:
        """How long that is."""
        return (self.end_date - self.start_date).total_seconds()


class WorkflowRuns(Stateful[WorkflowRun], Protocol):
    """The DAG runs of workflows."""

    def of_execution(self, execution_id: int) -> list[WorkflowRun]:
        """Return the runs of a chain in its order."""

    def of_executions(self, execution_ids: Collection[int]) -> list[WorkflowRun]:
        """Return the runs of several chains."""

    def of_dag_run(self, dag_id: str, dag_run_id: str) -> WorkflowRun | None:
        """Return the run that goes by Airflow's names."""

    def succeeded(self, dag_id: str, task_id: int, limit: int) -> list[WorkflowRun]:
        """Return the newest runs of a DAG that succeeded for a task, in a chain or alone."""

    def durations(
        self, dag_ids: Collection[str], each: int, dataset_ids: Collection[int] | None = None
    ) -> list[Duration]:
        """Return how long the newest runs of DAGs took that succeeded.

        :param each: how many runs of each DAG; with ``dataset_ids``, of each DAG for each of these datasets
        """

    def active(self) -> list[ActiveRun]:
        """Return those that have not ended."""


class Users(Protocol):
    """SVOps' integer ids of the auth manager's users, and their refresh tokens."""

    def identify(self, subject: str, username: str) -> User:
        """Return the user with this subject, registering a new one."""

    def get(self, user_id: int) -> User | None:
        """Return the user with this id, if SVOps has met them."""

    def named(self, username: str) -> User | None:
        """Return the user with this name, if SVOps has met them."""

    def retire(self, user_id: int) -> None:
        """Keep the id for good: whoever gets the same subject one day is somebody else."""

    def add_refresh_token(self, token: RefreshToken) -> None:
        """Write a new refresh token."""

    def refresh_token(self, digest: str) -> RefreshToken | None:
        """Return the token with this digest, held against writers."""

    def revoke_family(self, family: str) -> None:
        """End every refresh token that descends from the same login."""

    def revoke_all(self, user_id: int) -> None:
        """End every refresh token of a user."""


class IdempotencyKeys(Protocol):
    """Answers to requests that must not be done twice."""

    def find(self, scope: str, key: str) -> IdempotencyKey | None:
        """Return the request that had this key."""

    def add(self, request: IdempotencyKey) -> None:
        """Keep a request with its answer."""

    def forget(self, scope: str, key: str) -> None:
        """Forget the request that had this key."""

    def forget_scopes(self, scopes: Collection[str]) -> None:
        """Remove all requests of some scopes."""


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
    notification_configs: NotificationConfigs
    deliveries: Deliveries
    old: Old

    def record(self, event: Event) -> None:
        """Write an event with this transaction."""

    def ping(self) -> None:
        """Ask the database for a sign of life."""

    def snapshot(self) -> UnitOfWork:
        """Return itself, before it begins, to read several tables as of one moment; it must not write.

        Otherwise each statement sees what has been committed when it is sent.
        """

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
    :param id: SVOps' own for them, once it has met them
    """

    claims: Json
    username: str
    email: str
    name: str
    is_active: bool
    roles: frozenset[str]
    created_at: datetime | None = None
    id: int | None = None

    @property
    def is_superuser(self) -> bool:
        """Whether they may do everything."""
        return ADMIN in self.roles

    @property
    def role_names(self) -> list[str]:
        """Their roles in the order of the alphabet."""
        return sorted(self.roles)

    @property
    def permissions(self) -> dict[str, list[str]]:
        """What they may do to which resource (to their own, where ownership counts)."""
        return granted(self.roles)

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

    def token_of(self, request: Any) -> tuple[str, bool] | None:
        """Return the token that a host's request shows, and whether the browser sent it of itself."""

    def expiry(self, token: str) -> datetime | None:
        """Return when an access token that is valid ends to be; none if it never does."""

    def by_claims(self, claims: Json) -> Account | None:
        """Return the account with these claims, if it still exists and is active."""

    def access_token(self, account: Account) -> tuple[str, int]:
        """Return a token for both APIs and its lifetime in seconds."""

    def revoke(self, token: str) -> bool:
        """End an access token before its time, where the host can, and tell whether it has ended."""


class Directory(Protocol):
    """The auth manager's users, where it lets others keep them.

    :raises NotSupported: at every call where it does not
    :raises Unavailable: where its database does not answer
    """

    def page(self, query: Query) -> Page[Account]:
        """Return a page of users; filters ``q``, ``role``, ``is_active``.

        :raises InvalidInput: for an ``order_by`` that users do not have
        """

    def get(self, subject: str) -> Account | None:
        """Return the user with this subject."""

    def create(self, values: Mapping[str, Any], password: str) -> Account:
        """Write a new user with ``username``, ``email``, ``name``, ``roles``, ``is_active``.

        :raises InvalidInput: for an unknown role
        :raises Conflict: if the username or the email is taken
        """

    def update(self, subject: str, values: Mapping[str, Any], password: str | None) -> Account:
        """Change the given fields and return the user as they are then.

        :raises InvalidInput: for an unknown role
        :raises Conflict: if a name is taken, or no active administrator would be left
        """

    def delete(self, subject: str) -> None:
        """Remove a user.

        :raises Conflict: if no active administrator would be left, or records name the user
        """

    def has_password(self, subject: str, password: str) -> bool:
        """Tell whether it is the user's password.

        :raises NotSupported: where passwords are kept elsewhere
        """


CheckConfiguration = Callable[[Task], Json]
