"""The use cases on a real database with an Airflow in memory, as tests of the chain need them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, select, text
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from svops_plugin.application.controller import Controller, ControllerRun, Step
from svops_plugin.application.executions import CONTROLLER, ExecutionService
from svops_plugin.application.monitor import Monitor
from svops_plugin.application.preflight import Preflight
from svops_plugin.application.results import ResultService
from svops_plugin.application.tracking import RunTracker
from svops_plugin.application.workflows import WorkflowService
from svops_plugin.domain.entities import Dataset, Event, Execution, Json, Task, WorkflowRun, utcnow
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import OPERATOR, Actor
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from svops_plugin.infrastructure.storage import ConfinedPaths
from tests.integration.support import MemoryAirflow, a_dataset, a_task

CHAIN = ("prepare", "train", "report")


class AnyPath:
    """The port ``Paths`` where everything is allowed."""

    def readable(self, field: str, path: str) -> None:
        pass

    def writable(self, field: str, path: str) -> None:
        pass


@dataclass
class Desk:
    """Everything that moves an execution, and what it left in the database.

    :param problems: what is wrong with the files of every dataset
    """

    engine: Engine
    chain: Sequence[str] = CHAIN
    airflow: MemoryAirflow = field(default_factory=MemoryAirflow)
    problems: list[str] = field(default_factory=list)

    def transactions(self) -> SqlUnitOfWork:
        return SqlUnitOfWork(self.engine)

    @property
    def preflight(self) -> Preflight:
        return Preflight(AnyPath(), lambda _: self.problems, lambda _: None)

    @property
    def service(self) -> ExecutionService:
        return ExecutionService(
            transactions=self.transactions,
            airflow=self.airflow,
            preflight=self.preflight,
            dag_ids=self.chain,
        )

    @property
    def controller(self) -> Controller:
        return Controller(self.transactions, self.preflight, self.chain)

    @property
    def monitor(self) -> Monitor:
        return Monitor(self.transactions, self.airflow, self.service)

    def settle(self) -> None:
        """Let the monitor tick until there is nothing left to do."""
        for _ in range(5):
            if not self.monitor.tick():
                return
        raise AssertionError("The monitor finds something to do each time.")

    def new_task(self, name: str = "train", **values: Any) -> Task:
        with self.transactions() as uow:
            dataset = uow.datasets.add(a_dataset(f"of {name}"))
            return uow.tasks.add(a_task(name, dataset_id=dataset.id, **values))

    def execute(self, task: Task, actor: Actor = OPERATOR, **values: Any) -> Execution:
        """Execute a task as REST does."""
        answer = self.service.execute(
            actor, task.id, lambda started: {"execution_id": started.execution.id}, **values
        )
        return self.execution(answer["execution_id"])

    def retry(self, task: Task, **values: Any) -> Execution:
        """Retry a task as REST does."""
        answer = self.service.retry(
            OPERATOR, task.id, lambda started: {"execution_id": started.execution.id}, **values
        )
        return self.execution(answer["execution_id"])

    @property
    def paths(self) -> ConfinedPaths:
        # Not from conftest: a process that a test starts has its environment, and must not make another.
        return ConfinedPaths([], [os.environ["AIRFLOW__SVOPS__OUTPUT_ROOTS"]])

    @property
    def results(self) -> ResultService:
        return ResultService(self.transactions, self.paths)

    @property
    def workflows(self) -> WorkflowService:
        return WorkflowService(self.transactions, self.airflow, self.service, self.paths)

    def run_alone(self, dag_id: str, actor: Actor = OPERATOR, **values: Any) -> WorkflowRun:
        """Run a DAG alone as REST does."""
        with self.transactions() as uow:
            workflow = uow.workflows.for_dags([dag_id])[dag_id]
        return self.workflows.run(actor, workflow.id, values)

    def run(self, run_id: int) -> WorkflowRun:
        with self.transactions() as uow:
            found = uow.runs.get(run_id)
            assert found is not None
            return found

    def tracker(self, run: WorkflowRun, goes_on_from: str | None = None) -> RunTracker:
        return RunTracker(self.transactions, run.dag_id, run.dag_run_id, goes_on_from)

    def step(
        self,
        run_id: str,
        position: int,
        dag_id: str | None = None,
        trigger: Callable[[Step], None] = lambda _: None,
        **run: Any,
    ) -> Step:
        """Begin a step in a run of the controller, as its task does; by default it triggers nothing."""
        controller_run = ControllerRun(run_id, **{"conf": {}, **run})
        step = self.controller.begin_step(
            controller_run, position, dag_id or self.chain[position - 1], trigger
        )
        assert step is not None, "the execution has been completed"
        return step

    def claim(self, run_id: str, conf: Json, username: str = "ann", **run: Any) -> Execution:
        """Begin the first step in a run of the controller, and return what the run carries then."""
        return self.execution(self.step(run_id, 1, conf=conf, username=username, **run).execution_id)

    def begin(self, execution: Execution, position: int) -> WorkflowRun:
        """Do what the controller's step does, and the child's first task."""
        dag_id = self.chain[position - 1]
        step = self.step(execution.controller_run_id, position)
        self.airflow.trigger(dag_id, step.run_id, step.conf, "")
        self.airflow.set(dag_id, step.run_id, "running")
        run = self.runs(execution)[position - 1]
        self.tracker(run).begin()
        return run

    def execution(self, execution_id: int) -> Execution:
        with self.transactions() as uow:
            found = uow.executions.get(execution_id)
            assert found is not None
            return found

    def task(self, task: Task) -> Task:
        with self.transactions() as uow:
            found = uow.tasks.get(task.id)
            assert found is not None
            return found

    def dataset(self, dataset_id: int | None) -> Dataset:
        with self.transactions() as uow:
            found = uow.datasets.get(dataset_id or 0)
            assert found is not None
            return found

    def runs(self, execution: Execution) -> list[WorkflowRun]:
        with self.transactions() as uow:
            return uow.runs.of_execution(execution.id)

    def states(self, execution: Execution) -> list[str]:
        return [str(run.status) for run in self.runs(execution)]

    def standing(self, execution: Execution) -> tuple[str, str, list[str]]:
        """Return the states of the task, the execution and its runs."""
        with self.transactions() as uow:
            task = uow.tasks.get(execution.task_id)
            assert task is not None
        return str(task.status), str(self.execution(execution.id).status), self.states(execution)

    def executions(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.scalar(text("SELECT count(*) FROM svops_execution")) or 0)

    def events(self, after: int = 0) -> list[Event]:
        with Session(self.engine) as session:
            query = select(Event).where(tables.event.c.id > after).order_by(tables.event.c.id)
            return list(session.scalars(query))

    def last_event(self) -> int:
        return max((event.id for event in self.events()), default=0)

    def age(self, execution: Execution, **by: float) -> None:
        """Let an execution have been made earlier."""
        self._set(tables.execution, execution.id, created_at=utcnow() - timedelta(**by))

    def age_run(self, run: WorkflowRun, **by: float) -> None:
        """Let a run have been made earlier."""
        self._set(tables.workflow_run, run.id, created_at=utcnow() - timedelta(**by))

    def age_stop(self, run: WorkflowRun, **by: float) -> None:
        """Let a run's stop have been asked for earlier."""
        self._set(tables.workflow_run, run.id, stop_requested_at=utcnow() - timedelta(**by))

    def _set(self, table: Table, row: int, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.update().where(table.c.id == row).values(**values))

    def set_controller(self, execution: Execution, state: str) -> None:
        self.airflow.set(CONTROLLER, execution.controller_run_id, state)


def cause(dag_id: str, message: str = "no such file", task_id: str | None = "load_data") -> Json:
    """Return an error as callbacks report it."""
    return failure(dag_id, message, task_id=task_id, log_url="http://log")
