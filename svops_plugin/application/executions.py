"""Executing tasks: what REST, the command line and the controller DAG ask for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from svops_plugin.application import chain
from svops_plugin.application.ports import (
    Airflow,
    Check,
    Paths,
    ProbeDataset,
    RunTaken,
    Transactions,
    UnitOfWork,
)
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Execution, Json, Task, TriggerType, WorkflowRun, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, SVOpsError, Unavailable
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ExecutionStatus, RunStatus, TaskStatus

log = logging.getLogger(__name__)

CONTROLLER = "svops_controller"


@dataclass(frozen=True)
class Started:
    """An execution that has begun."""

    task: Task
    execution: Execution
    runs: list[WorkflowRun]


@dataclass(frozen=True)
class Standing:
    """How a task and its newest execution stand; no execution before the first."""

    task: Task
    chain: list[str]
    execution: Execution | None
    runs: list[WorkflowRun]


class ExecutionService:
    """Use cases of executing tasks from outside Airflow's own runs.

    :param chain: the DAGs of the chain, in order
    """

    def __init__(
        self,
        *,
        transactions: Transactions,
        airflow: Airflow,
        paths: Paths,
        probe: ProbeDataset,
        check_configuration: Check,
        dag_ids: Sequence[str],
    ) -> None:
        self._transactions = transactions
        self._airflow = airflow
        self._paths = paths
        self._probe = probe
        self._check_configuration = check_configuration
        self._chain = list(dag_ids)

    def execute(self, actor: Actor, task_id: int, parameters: Json, note: str = "") -> Started:
        """Claim a task and trigger the controller DAG for it.

        :raises Conflict: if the task is running already
        :raises InvalidInput: if the chain cannot run now: a DAG is missing, broken or paused, or the task's
            dataset or configuration is unusable
        """
        with self._transactions() as uow:
            task = found_task(uow.tasks.get(task_id), task_id)
            actor.require("task", "execute", task.created_by_id)
        if task.status is not TaskStatus.RUNNING:
            self._preflight(task)
        request = chain.Request(
            requested_by=actor.username,
            requested_by_id=actor.user_id,
            parameters=parameters,
            note=note,
        )
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            execution = chain.claim(uow, task, self._chain, request)
            runs = uow.runs.of_execution(execution.id)
        self.trigger(execution)
        return Started(task, execution, runs)

    def trigger(self, execution: Execution) -> None:
        """Create the controller's run of a claimed execution, or adopt the one that carries it.

        Safe to repeat. If Airflow refuses for good the execution ends as failed with the reason; if it does
        not answer, the trigger stays owed and the monitor makes up for it.

        :raises SVOpsError: Airflow's refusal
        """
        run_id = execution.controller_run_id
        conf = {"task_id": execution.task_id, "execution_id": execution.id}
        try:
            try:
                self._airflow.trigger(CONTROLLER, run_id, conf, execution.requested_by)
            except RunTaken:
                if (self._airflow.run_conf(CONTROLLER, run_id) or {}).get("execution_id") != execution.id:
                    raise Conflict(f"run id taken: {CONTROLLER} has a foreign run {run_id}.") from None
        except Unavailable:
            log.warning("Airflow did not answer; run %s will be triggered when it does.", run_id)
            return
        except SVOpsError as refusal:
            with self._transactions() as uow:
                task = found_task(uow.tasks.lock(execution.task_id), execution.task_id)
                held = uow.executions.lock(execution.id)
                if held is not None:
                    error = {"dag_id": CONTROLLER, "task_id": None, "message": str(refusal), "log_url": None}
                    chain.fail(uow, task, held, error)
            raise
        with self._transactions() as uow:
            held = uow.executions.lock(execution.id)
            if held is not None and held.triggered_at is None:
                held.triggered_at = utcnow()

    def standing(self, actor: Actor, task_id: int) -> Standing:
        """Return how a task and its newest execution stand."""
        actor.require("task", "read")
        with self._transactions() as uow:
            task = found_task(uow.tasks.get(task_id), task_id)
            if task.last_execution_id is None:
                return Standing(task, self._chain, None, [])
            execution = uow.executions.get(task.last_execution_id)
            runs = uow.runs.of_execution(task.last_execution_id)
        return Standing(task, execution.chain if execution else self._chain, execution, runs)

    def _preflight(self, task: Task) -> None:
        if task.dataset is None:
            raise InvalidInput.field(
                "dataset_id", f"task {task.id} has no dataset; give it one before executing it."
            )
        self._check_configuration(task)
        self._paths.readable("dataset", task.dataset.path)
        self._paths.writable("log_out_path", task.log_out_path)
        if problems := self._probe(task.dataset):
            raise InvalidInput(
                f"Dataset {task.dataset.id} ({task.dataset.name}) cannot be read: {problems[0]}",
                {"dataset": problems},
            )
        if problems := self._airflow.problems([CONTROLLER, *self._chain]):
            raise InvalidInput(f"The chain cannot run: {' '.join(problems)}", {"chain": problems})


@dataclass(frozen=True)
class Step:
    """What a step of the controller DAG has to do.

    :param reused: an earlier attempt did it; nothing is triggered
    """

    run_id: str
    conf: Json
    reused: bool


class Controller:
    """Use cases of the controller DAG's own tasks, which know only the run that they are in."""

    def __init__(self, transactions: Transactions, dag_ids: Sequence[str]) -> None:
        self._transactions = transactions
        self._chain = list(dag_ids)

    def claim(self, run_id: str, conf: Json, username: str) -> Execution:
        """Find the execution that this run carries, or make one for the task that its conf names.

        :param conf: the run's conf: ``task_id``, and ``execution_id`` where SVOps triggered the run itself,
            or ``parameters`` and ``note`` by hand; a run that was cleared after its execution ended makes a
            new attempt with what the last one was given
        :raises InvalidInput: if conf fits neither, or the chain has changed since the execution was made
        :raises Conflict: if the task is running in another run
        """
        with self._transactions() as uow:
            carried = self._carried(uow, run_id)
            if carried is not None and carried.status is ExecutionStatus.RUNNING:
                if carried.triggered_at is None:
                    carried.triggered_at = utcnow()
                return carried
            if conf.get("execution_id") is not None and carried is None:
                raise InvalidInput.field(
                    "execution_id", f"run {run_id} does not carry it; give a task_id only."
                )
            given = {"parameters": carried.parameters, "note": carried.note} if carried else conf
            task_id, parameters = conf.get("task_id"), given.get("parameters") or {}
            if not isinstance(task_id, int) or isinstance(task_id, bool):
                raise InvalidInput.field("task_id", 'the conf must name a task, as in {"task_id": 1}.')
            if not isinstance(parameters, dict):
                raise InvalidInput.field("parameters", "an object is expected.")
            task = found_task(uow.tasks.lock(task_id), task_id)
            user = uow.users.named(username)
            request = chain.Request(
                requested_by=username,
                requested_by_id=user.id if user else None,
                parameters=parameters,
                note=str(given.get("note") or ""),
                trigger_type=TriggerType.MANUAL,
                controller_run_id=run_id,
            )
            return chain.claim(uow, task, self._chain, request)

    def begin_step(self, run_id: str, position: int, dag_id: str) -> Step:
        """Record that the steps before succeeded, and return what the step at ``position`` has to trigger.

        :raises Conflict: if the execution has ended or its chain is not the one this DAG was built from
        """
        with self._transactions() as uow:
            task, execution = self._held(uow, run_id)
            if execution.status is not ExecutionStatus.RUNNING:
                raise Conflict(
                    f"Execution {execution.id} has ended ({execution.status}); execute the task again."
                )
            if execution.chain != self._chain or execution.chain[position - 1] != dag_id:
                raise Conflict(
                    f"The chain was {execution.chain} when execution {execution.id} was made and is "
                    f"{self._chain} now; execute the task again."
                )
            runs = uow.runs.of_execution(execution.id)
            for run in runs[: position - 1]:
                chain.end_run(uow, task, run, RunStatus.SUCCESS)
            run = runs[position - 1]
            conf = {**run.configuration, "execution_id": execution.id, "workflow_run_id": run.id}
            return Step(run.dag_run_id, conf, run.status is RunStatus.REUSED)

    def complete(self, run_id: str) -> Execution:
        """End the execution that this run carries as completed. Safe to repeat.

        :raises Conflict: if it has ended otherwise
        """
        with self._transactions() as uow:
            task, execution = self._held(uow, run_id)
            chain.complete(uow, task, execution)
            if execution.status is not ExecutionStatus.COMPLETED:
                raise Conflict(f"Execution {execution.id} has ended as {execution.status}.")
            return execution

    def fail(self, run_id: str, error: Json) -> None:
        """End the execution that this run carries as failed, unless it has ended or there is none."""
        with self._transactions() as uow:
            carried = self._carried(uow, run_id)
            if carried is not None:
                task = found_task(uow.tasks.get(carried.task_id), carried.task_id)
                chain.fail(uow, task, carried, error)

    def _carried(self, uow: UnitOfWork, run_id: str) -> Execution | None:
        """Return the execution of a controller run, its task's row locked before its own."""
        found = uow.executions.carried_by(run_id)
        if found is None:
            return None
        uow.tasks.lock(found.task_id)
        return uow.executions.lock(found.id)

    def _held(self, uow: UnitOfWork, run_id: str) -> tuple[Task, Execution]:
        execution = self._carried(uow, run_id)
        if execution is None:
            raise NotFound(f"Run {run_id} carries no execution; was its claim task cleared or skipped?")
        return found_task(uow.tasks.get(execution.task_id), execution.task_id), execution
