"""The composition root: builds the services from the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from svops_plugin.application import chain
from svops_plugin.application.auth import AuthService
from svops_plugin.application.controller import Controller, ControllerRun
from svops_plugin.application.datasets import DatasetService
from svops_plugin.application.event_log import EventLog, Retention
from svops_plugin.application.executions import ExecutionService
from svops_plugin.application.monitor import Monitor
from svops_plugin.application.tasks import TaskService
from svops_plugin.application.tracking import RunTracker
from svops_plugin.application.workflows import WorkflowService
from svops_plugin.domain.entities import Dataset, DataType, Task
from svops_plugin.domain.errors import ConfigurationProblem, InvalidInput, Unavailable
from svops_plugin.infrastructure.airflow import host
from svops_plugin.infrastructure.airflow.common import database_url
from svops_plugin.infrastructure.database import migrations as schema
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import Rehearsal, SqlUnitOfWork
from svops_plugin.infrastructure.events.hub import Hub
from svops_plugin.infrastructure.storage import ConfinedPaths, copy_outputs
from svops_plugin.pipelines.configuration import ConfigurationError, resolve
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.settings import Settings, load

__all__ = ["Services", "copy_outputs", "host", "schema", "services"]


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

    @cached_property
    def datasets(self) -> DatasetService:
        """Keeping datasets."""
        return DatasetService(self.transactions, self.paths, dataset_problems)

    @cached_property
    def tasks(self) -> TaskService:
        """Keeping tasks."""
        return TaskService(self.transactions, self.paths, self.check_configuration)

    @cached_property
    def executions(self) -> ExecutionService:
        """Executing tasks."""
        return ExecutionService(
            transactions=self.transactions,
            airflow=host().DagRuns(),
            paths=self.paths,
            probe=dataset_problems,
            check_configuration=self.check_configuration,
            dag_ids=self.settings.chain,
        )

    @cached_property
    def workflows(self) -> WorkflowService:
        """DAGs known to SVOps, run alone."""
        return WorkflowService(self.transactions, host().DagRuns(), self.executions)

    @cached_property
    def monitor(self) -> Monitor:
        """Repairing what callbacks missed."""
        timeout = self.settings.execution_timeout
        return Monitor(self.transactions, host().DagRuns(), self.executions, timeout)

    def rehearse(self) -> None:
        """Go through a chain that nobody ever sees.

        SQLAlchemy compiles each statement once per process. That is most of what a step costs, and processes
        that are forked from this one then have it done.

        :raises SVOpsError: if the database is not set up, or does not answer
        """
        rehearsal, confs = Rehearsal(self.engine, self._guard), list[Mapping[str, Any]]()
        try:
            with rehearsal as uow:
                dataset = uow.datasets.add(Dataset(name=uuid4().hex, path="/", data_type=DataType.VECTOR))
                task = Task(name="", customer="", log_out_path="/", dataset_id=dataset.id, dataset=dataset)
                uow.tasks.add(task)
                execution = chain.claim(uow, task, self.settings.chain, chain.Request("rehearsal"))
            controller = Controller(lambda: rehearsal, self.settings.chain)
            for position, dag_id in enumerate(self.settings.chain, start=1):
                run = ControllerRun(execution.controller_run_id, {})
                controller.begin_step(run, position, dag_id, lambda step: confs.append(step.conf))
                tracker = RunTracker(lambda: rehearsal, confs.pop())
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
        return Controller(self.transactions, self.settings.chain)

    @cached_property
    def accounts(self) -> Any:
        """The auth manager's users; see :class:`svops_plugin.application.ports.Accounts`."""
        return host().Accounts()

    @cached_property
    def auth(self) -> AuthService:
        """Signing in."""
        return AuthService(self.transactions, self.accounts)

    @cached_property
    def events(self) -> EventLog:
        """Reading what happened."""
        return EventLog(self.transactions)

    @cached_property
    def retention(self) -> Retention:
        """Deleting what happened long ago."""
        return Retention(self.transactions, self.settings.event_retention_days)

    @cached_property
    def hub(self) -> Hub:
        """Handing what happens to those who listen."""
        return Hub(self.transactions, lambda: self.engine)

    def tracker(self, conf: Mapping[str, Any]) -> RunTracker:
        """Return the tracker of the DAG run with this conf."""
        return RunTracker(self.transactions, conf)

    def check_configuration(self, task: Task) -> None:
        """Refuse a task's build configuration if a pipeline would.

        :raises InvalidInput: naming the field
        """
        try:
            resolve(
                task.build_config,
                customized=task.build_config_customized,
                custom_conf=task.build_config_custom_conf,
                custom_ini=task.build_config_custom_ini,
                preset_dirs=self.settings.preset_dirs,
            )
        except ConfigurationError as refusal:
            raise InvalidInput(str(refusal), {refusal.field: [refusal.reason]}) from refusal


def dataset_problems(dataset: Dataset) -> list[str]:
    """Tell what is wrong with a dataset's files, without reading them whole."""
    reader = reader_for(dataset.data_type.value)
    return reader.check(Path(dataset.path), Path(dataset.gt_path) if dataset.gt_path else None)


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
