"""The composition root: builds the services from the settings."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cache, cached_property
from uuid import uuid4

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from svops_plugin.application import chain
from svops_plugin.application.auth import AuthService
from svops_plugin.application.controller import Controller, ControllerRun
from svops_plugin.application.dataset_contents import DatasetContents
from svops_plugin.application.datasets import DatasetService
from svops_plugin.application.dispatcher import Dispatcher
from svops_plugin.application.event_log import EventLog
from svops_plugin.application.executions import ExecutionService
from svops_plugin.application.housekeeping import Housekeeper, Retention
from svops_plugin.application.inbound import InboundService
from svops_plugin.application.limits import RateLimit
from svops_plugin.application.messages import Writer
from svops_plugin.application.meter import Meter
from svops_plugin.application.monitor import Monitor
from svops_plugin.application.notifications import NotificationService
from svops_plugin.application.ports import Accounts
from svops_plugin.application.preflight import Preflight
from svops_plugin.application.presets import PresetService
from svops_plugin.application.results import ResultService
from svops_plugin.application.tasks import TaskService
from svops_plugin.application.tracking import RunTracker
from svops_plugin.application.users import UserService
from svops_plugin.application.workflows import WorkflowService
from svops_plugin.domain.entities import Dataset, DataType, Json, Task
from svops_plugin.domain.errors import ConfigurationProblem, Unavailable
from svops_plugin.domain.permissions import MENU, PERMISSIONS, READERS
from svops_plugin.infrastructure.airflow import host
from svops_plugin.infrastructure.airflow.common import bearer, database_url
from svops_plugin.infrastructure.airflow.condition import key_digests, worked_on
from svops_plugin.infrastructure.airflow.connections import stored_connections
from svops_plugin.infrastructure.airflow.fab_roles import missing_grants, sync_roles
from svops_plugin.infrastructure.airflow.fab_users import FabUsers
from svops_plugin.infrastructure.airflow.fernet import FernetCipher
from svops_plugin.infrastructure.airflow.metrics import tell
from svops_plugin.infrastructure.checks import Checks
from svops_plugin.infrastructure.configurations import known_presets, whole_configuration
from svops_plugin.infrastructure.database import migrations as schema
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import Rehearsal, SqlUnitOfWork, raise_refusal
from svops_plugin.infrastructure.dataset_files import ReadDatasetFiles, dataset_problems, glance_at_dataset
from svops_plugin.infrastructure.events.hub import Hub
from svops_plugin.infrastructure.notifications.guard import Reach
from svops_plugin.infrastructure.object_storage import location
from svops_plugin.infrastructure.storage import ConfinedPaths, copy_outputs
from svops_plugin.pipelines.steps import before
from svops_plugin.settings import Settings, load

__all__ = [
    "Services",
    "bearer",
    "copy_outputs",
    "disown",
    "host",
    "key_digests",
    "location",
    "raise_refusal",
    "schema",
    "services",
    "stored_connections",
    "worked_on",
]

log = logging.getLogger(__name__)

EXPIRED_TOKEN_DAYS = 1.0  # refresh tokens are of no use when they have expired


@dataclass(frozen=True)
class Services:
    """The use cases, built when they are first wanted.

    :param pooled: whether this process lives long enough to keep database connections
    """

    settings: Settings
    pooled: bool = False

    @cached_property
    def engine(self) -> Engine:
        """SVOps' own database, whatever schema it has."""
        settings = self.settings
        if settings.sql_alchemy_conn:
            return make_engine(_sqlite(settings), pooled=self.pooled)

        def address() -> URL:
            return database_url(settings.database_conn_id)

        return make_engine(address(), pooled=self.pooled, address=address)

    @cached_property
    def _guard(self) -> schema.Guard:
        return schema.Guard()

    @cached_property
    def paths(self) -> ConfinedPaths:
        """Where data may be read and outputs written."""
        return ConfinedPaths(self.settings.data_roots, self.settings.output_roots)

    def transactions(self) -> SqlUnitOfWork:
        """Open a unit of work."""
        return SqlUnitOfWork(self.engine, self._guard)

    def wary_transactions(self) -> SqlUnitOfWork:
        """Open a unit of work that looks whether the schema is still this version's."""
        return SqlUnitOfWork(self.engine, schema.require_head)

    @cached_property
    def datasets(self) -> DatasetService:
        """Keeping datasets."""
        return DatasetService(self.transactions, self.paths, dataset_problems, glance_at_dataset)

    @cached_property
    def dataset_contents(self) -> DatasetContents:
        """Looking into datasets' files."""
        return DatasetContents(self.transactions, self.paths, self.paths, ReadDatasetFiles())

    @cached_property
    def tasks(self) -> TaskService:
        """Keeping tasks."""
        return TaskService(self.transactions, self.paths, self.check_configuration)

    @property
    def preflight(self) -> Preflight:
        """Looking at what a task needs."""
        return Preflight(self.paths, dataset_problems, self.check_configuration)

    @cached_property
    def executions(self) -> ExecutionService:
        """Executing tasks."""
        return ExecutionService(
            transactions=self.transactions,
            airflow=host().DagRuns(),
            preflight=self.preflight,
            dag_ids=self.settings.chain,
        )

    @cached_property
    def results(self) -> ResultService:
        """Looking at what executions came to."""
        return ResultService(self.transactions, self.paths)

    @cached_property
    def workflows(self) -> WorkflowService:
        """DAGs known to SVOps, run alone."""
        return WorkflowService(self.transactions, host().DagRuns(), self.executions, self.paths)

    @cached_property
    def monitor(self) -> Monitor:
        """Repairing what callbacks missed."""
        timeout = self.settings.execution_timeout
        return Monitor(self.transactions, host().DagRuns(), self.executions, timeout, tell)

    @cached_property
    def meter(self) -> Meter:
        """Telling the host's metrics what happens."""
        return Meter(self.transactions, host().DagRuns(), tell)

    def rehearse(self) -> None:
        """Go through a chain that nobody ever sees.

        SQLAlchemy compiles each statement once per process. That is most of what a step costs, and processes
        that are forked from this one then have it done.

        :raises SVOpsError: if the database is not set up, or does not answer
        """
        rehearsal, begun = Rehearsal(self.engine, self._guard), list[str]()
        try:
            with rehearsal as uow:
                dataset = uow.datasets.add(Dataset(name=uuid4().hex, path="/", data_type=DataType.VECTOR))
                task = Task(name="", customer="", log_out_path="/", dataset_id=dataset.id, dataset=dataset)
                uow.tasks.add(task)
                execution = chain.claim(uow, task, self.settings.chain, chain.Request("rehearsal"))
            controller = Controller(lambda: rehearsal, self.preflight, self.settings.chain)
            for position, dag_id in enumerate(self.settings.chain, start=1):
                run = ControllerRun(execution.controller_run_id, {})
                controller.begin_step(run, position, dag_id, lambda step: begun.append(step.run_id))
                tracker = RunTracker(lambda: rehearsal, dag_id, begun.pop())
                tracker.begin()
                tracker.log_metric("rehearsal", 0.0, None)
                tracker.progress(1, 1, "")
            controller.complete(execution.controller_run_id)
        except SQLAlchemyError as refusal:
            reason = type(getattr(refusal, "orig", refusal)).__name__
            raise Unavailable(f"SVOps' database allows no temporary tables ({reason}).") from refusal
        finally:
            rehearsal.end()

    @cached_property
    def controller(self) -> Controller:
        """What the controller DAG's tasks do."""
        return Controller(self.transactions, self.preflight, self.settings.chain)

    @cached_property
    def accounts(self) -> Accounts:
        """The auth manager's users and tokens."""
        accounts: Accounts = host().Accounts()
        return accounts

    @cached_property
    def auth(self) -> AuthService:
        """Signing in."""
        return AuthService(self.transactions, self.accounts)

    @cached_property
    def users(self) -> UserService:
        """Keeping users, where the auth manager lets others do that."""
        directory = FabUsers(host().security_manager, host().forget_users)
        return UserService(self.transactions, directory, may_register=self.settings.allow_registration)

    def sync_roles(self, _stop: threading.Event) -> None:
        """Let Airflow's roles show the permission table, once; a server works without."""
        try:
            log.info("Airflow's roles have %s new permissions of SVOps'.", sync_roles(PERMISSIONS, _bar()))
        except Exception:
            log.exception("Airflow's roles could not be brought up to date; the next start tries again.")

    @cached_property
    def checks(self) -> Checks:
        """What the doctor looks at."""
        return Checks(
            settings=self.settings,
            engine=lambda: self.engine,
            transactions=self.transactions,
            cipher=FernetCipher(),
            missing_grants=lambda: missing_grants(PERMISSIONS, _bar()),
        )

    @cached_property
    def guesses(self) -> RateLimit:
        """How often somebody at an address may guess the password of one user, or register."""
        return RateLimit(burst=10, per_second=1 / 30)

    @cached_property
    def writes(self) -> RateLimit:
        """How often a user may write."""
        per_minute = self.settings.writes_per_minute
        return RateLimit(burst=per_minute, per_second=per_minute / 60)

    @cached_property
    def events(self) -> EventLog:
        """Reading what happened."""
        return EventLog(self.transactions)

    @cached_property
    def retention(self) -> Retention:
        """Deleting what is older than it is kept."""
        days = {
            "event": self.settings.event_retention_days,
            "notification_delivery": self.settings.event_retention_days,
            "idempotency_key": self.settings.idempotency_retention_days,
            "refresh_token": EXPIRED_TOKEN_DAYS,
            "execution": self.settings.execution_retention_days,
            "workflow_run": self.settings.execution_retention_days,
        }
        return Retention(self.transactions, self.housekeeper, days)

    @cached_property
    def housekeeper(self) -> Housekeeper:
        """Deleting what is old."""
        return Housekeeper(self.transactions, self.paths, tell)

    @cached_property
    def hub(self) -> Hub:
        """Handing what happens to those who listen."""
        return Hub(self.transactions, lambda: self.engine)

    @cached_property
    def reach(self) -> Reach:
        """Where notifications may go.

        :raises ConfigurationProblem: if the setting names what is no network
        """
        try:
            return Reach(self.settings.notification_private_targets)
        except ValueError as wrong:
            raise ConfigurationProblem(f"[svops] notification_private_targets: {wrong}.") from wrong

    @cached_property
    def notifications(self) -> NotificationService:
        """Keeping what is told to whom."""
        from svops_plugin.infrastructure.notifications.signatures import WebhookSignatures
        from svops_plugin.infrastructure.notifications.targets import CheckedTargets

        return NotificationService(
            self.transactions, CheckedTargets(self.reach), FernetCipher(), WebhookSignatures()
        )

    @cached_property
    def inbound(self) -> InboundService:
        """Hearing from outside systems."""
        from svops_plugin.infrastructure.notifications.signatures import WebhookSignatures

        return InboundService(
            transactions=self.transactions,
            cipher=FernetCipher(),
            signatures=WebhookSignatures(),
            accounts=self.accounts,
            forget_users=host().forget_users,
            executions=self.executions,
            datasets=self.datasets,
        )

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """Sending notifications."""
        from svops_plugin.infrastructure.notifications.sender import ChannelSender

        sender, writer = ChannelSender(self.reach), Writer(host().DagRuns().run_url, task_url)
        return Dispatcher(self.transactions, sender, FernetCipher(), writer)

    def tracker(self, dag_id: str, dag_run_id: str) -> RunTracker:
        """Return the tracker of a DAG run."""
        needed = before(dag_id)
        return RunTracker(self.transactions, dag_id, dag_run_id, needed[-1] if needed else None)

    def check_configuration(self, task: Task) -> Json:
        """Refuse a task's build configuration if a pipeline would, and return it as pipelines have it.

        :raises InvalidInput: naming the field
        """
        return whole_configuration(task, self.settings.preset_dirs)

    @cached_property
    def presets(self) -> PresetService:
        """What a build configuration may begin with."""
        return PresetService(lambda: known_presets(self.settings.preset_dirs))


def _bar() -> dict[str, frozenset[str]]:
    """Return who sees which entry of the native bar, where there is one."""
    if host().HAS_API_SERVER:
        return {}
    return {"SVOps": READERS, **{name: PERMISSIONS[needs] for name, needs in MENU.items()}}


def task_url(task_id: int) -> str:
    """Return the address of a task's page."""
    return f"{host().pages_url()}/svops/tasks/{task_id}"


def _sqlite(settings: Settings) -> str:
    if not settings.sql_alchemy_conn.startswith("sqlite:"):
        raise ConfigurationProblem(
            "[svops] sql_alchemy_conn is for SQLite only; PostgreSQL is reached through the Airflow "
            f"connection {settings.database_conn_id!r}."
        )
    return settings.sql_alchemy_conn


@cache
def services(*, pooled: bool = False) -> Services:
    """Return this process's services; servers ask for pooled connections."""
    return Services(load(), pooled)


def disown() -> None:
    """Forget, in a process that was forked, what is its parent's: connections, and the names it goes by."""
    for built in (services(), services(pooled=True)):
        if "engine" in vars(built):
            built.engine.dispose(close=False)
    services.cache_clear()
