"""One transaction over the repositories, with its events."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from svops_plugin.application.event_ports import Events, Hubs
from svops_plugin.application.housekeeping_ports import Old
from svops_plugin.application.leases import Leases
from svops_plugin.application.notification_ports import Deliveries, NotificationConfigs
from svops_plugin.application.ports import (
    Datasets,
    Executions,
    IdempotencyKeys,
    Tasks,
    Users,
    WorkflowRuns,
    Workflows,
)
from svops_plugin.application.tracking_ports import Tracking
from svops_plugin.domain.entities import Event
from svops_plugin.domain.errors import Conflict, Unavailable
from svops_plugin.infrastructure.database.event_repositories import SqlEvents, SqlHubs
from svops_plugin.infrastructure.database.housekeeping import SqlOld
from svops_plugin.infrastructure.database.leases import SqlLeases
from svops_plugin.infrastructure.database.notification_repositories import (
    SqlDeliveries,
    SqlNotificationConfigs,
)
from svops_plugin.infrastructure.database.repositories import (
    SqlDatasets,
    SqlExecutions,
    SqlIdempotencyKeys,
    SqlTasks,
    SqlWorkflowRuns,
    SqlWorkflows,
)
from svops_plugin.infrastructure.database.tables import metadata
from svops_plugin.infrastructure.database.tracking_repository import SqlTracking
from svops_plugin.infrastructure.database.users import SqlUsers

EVENT_LOCK = 0x53564F50  # "SVOP": the advisory lock that makes event ids visible in their order
EVENT_CHANNEL = "svops_event"


class SqlUnitOfWork:
    """A unit of work on an engine; see :class:`svops_plugin.application.ports.UnitOfWork`.

    :param guard: looks at the connection first, and may refuse it
    """

    def __init__(self, engine: Engine, guard: Callable[[Connection], None] | None = None) -> None:
        self._guard = guard
        self._session = Session(engine, future=True, expire_on_commit=False)
        self._recorded: list[Event] = []
        self.datasets: Datasets = SqlDatasets(self._session)
        self.tasks: Tasks = SqlTasks(self._session)
        self.executions: Executions = SqlExecutions(self._session)
        self.workflows: Workflows = SqlWorkflows(self._session)
        self.runs: WorkflowRuns = SqlWorkflowRuns(self._session)
        self.tracking: Tracking = SqlTracking(self._session)
        self.users: Users = SqlUsers(self._session)
        self.leases: Leases = SqlLeases(self._session)
        self.idempotency: IdempotencyKeys = SqlIdempotencyKeys(self._session)
        self.events: Events = SqlEvents(self._session)
        self.hubs: Hubs = SqlHubs(self._session)
        self.notification_configs: NotificationConfigs = SqlNotificationConfigs(self._session)
        self.deliveries: Deliveries = SqlDeliveries(self._session)
        self.old: Old = SqlOld(self._session)

    def record(self, event: Event) -> None:
        """Write an event with this transaction, after everything else in it."""
        self._recorded.append(event)

    def ping(self) -> None:
        """Ask the database for a sign of life."""
        self._session.execute(text("SELECT 1"))

    def snapshot(self) -> SqlUnitOfWork:
        """Return itself, to read as of one moment; SQLite has one writer and needs nothing for it."""
        engine = self._session.get_bind()
        if engine.dialect.name == "postgresql":
            self._session.bind = engine.execution_options(isolation_level="REPEATABLE READ")
        return self

    def __enter__(self) -> SqlUnitOfWork:
        """Begin; the first statement takes a connection."""
        if self._guard is not None:
            try:
                self._guard(self._session.connection())
            except Exception as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit when left normally, else roll back; a database that does not answer is Unavailable."""
        try:
            if error is None:
                self._write_events()
                self._session.commit()
        except SQLAlchemyError as failure:
            raise_refusal(failure)
            raise
        finally:
            self._session.close()
        if isinstance(error, SQLAlchemyError):
            raise_refusal(error)

    def _write_events(self) -> None:
        """Insert the events under a lock that is taken last and held to the commit.

        Without it a transaction could commit a lower id after a reader has seen a higher one, and the
        reader, who asks for what came after the last it saw, would miss it.
        """
        if not self._recorded:
            return
        self._session.flush()
        postgresql = self._session.get_bind().dialect.name == "postgresql"
        if postgresql:
            self._session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": EVENT_LOCK})
        for event in self._recorded:
            self._session.add(event)
            self._session.flush()
        if postgresql:
            self._session.execute(text("SELECT pg_notify(:channel, '')"), {"channel": EVENT_CHANNEL})


class Rehearsal(SqlUnitOfWork):
    """Any number of units of work in one transaction that is rolled back: what they do leaves no trace.

    On PostgreSQL they work on temporary tables, since ids that sequences have given out are not taken back.
    """

    _begun = False

    def __enter__(self) -> Rehearsal:
        """Begin the transaction, or another unit of work in it."""
        if not self._begun:
            super().__enter__()
            self._begun = True
            connection = self._session.connection()
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL search_path = pg_temp"))
                metadata.create_all(connection, checkfirst=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the events of one of them, but commit nothing."""
        if error is not None:
            super().__exit__(kind, error, trace)
            return
        self._write_events()
        self._recorded.clear()

    def end(self) -> None:
        """Roll back."""
        self._session.close()


def raise_refusal(error: SQLAlchemyError) -> None:
    """Say in the domain's words what a database error means, where it has any."""
    if isinstance(error, IntegrityError):
        raise Conflict("Somebody else changed the same thing at the same moment; load it again.") from error
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or isinstance(error, (OperationalError, InterfaceError, PoolTimeout)):
        reason = type(getattr(error, "orig", error)).__name__
        raise Unavailable(f"SVOps' database does not answer ({reason}); try again later.") from error
