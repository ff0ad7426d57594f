"""Executing tasks: what REST, the command line and the controller DAG ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svops_plugin.application import chain
from svops_plugin.application.airflow_ports import Airflow, DagRunState, RunTaken
from svops_plugin.application.events import task_event
from svops_plugin.application.ports import (
    Check,
    Paths,
    ProbeDataset,
    Transactions,
    UnitOfWork,
)
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Execution, IdempotencyKey, Json, Task, WorkflowRun, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, SVOpsError, Unavailable
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus, RunStatus, TaskStatus

log = logging.getLogger(__name__)

CONTROLLER = "svops_controller"


@dataclass(frozen=True)
class Started:
    """An execution that has begun."""

    task: Task
    execution: Execution
    runs: list[WorkflowRun]


Describe = Callable[[Started], Json]


@dataclass(frozen=True)
class Standing:
    """How a task and its newest execution stand; no execution before the first."""

    task: Task
    chain: list[str]
    execution: Execution | None
    runs: list[WorkflowRun]


@dataclass(frozen=True)
class Once:
    """A request that must not be done twice.

    :param scope: within which the key is one's own
    :param digest: SHA-256 of what is asked
    """

    scope: str
    key: str
    digest: str


def earlier_answer(uow: UnitOfWork, once: Once) -> Json | None:
    """Return the answer that a request was given before.

    :raises InvalidInput: if its key was another request's
    """
    earlier = uow.idempotency.find(once.scope, once.key)
    if earlier is None:
        return None
    if earlier.digest != once.digest:
        raise InvalidInput.field("Idempotency-Key", f"{once.key!r} was sent with another request before.")
    return earlier.answer


class ExecutionService:
    """Use cases of executing tasks from outside Airflow's own runs.

    :param dag_ids: the DAGs of the chain, in order
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

    def execute(
        self,
        actor: Actor,
        task_id: int,
        describe: Describe,
        *,
        parameters: Json | None = None,
        note: str = "",
        once: Once | None = None,
    ) -> Json:
        """Claim a task, trigger the controller DAG for it, and return the answer to whoever asked.

        :param describe: words the answer
        :param once: makes it safe to ask twice: the second time gets the first answer
        :raises Conflict: if the task is running already
        :raises InvalidInput: if the chain cannot run now: a DAG is missing, broken or paused, or the task's
            dataset or configuration is unusable
        """
        task = self._permitted(actor, task_id)
        if once is not None and (answer := self._answered(once)):
            return answer
        self._refuse_running(task)
        self._preflight(task)
        request = chain.Request(
            requested_by=actor.username,
            requested_by_id=actor.user_id,
            parameters=parameters or {},
            note=note,
        )
        return self._start(task_id, describe, request, None, once)

    def retry(
        self,
        actor: Actor,
        task_id: int,
        describe: Describe,
        *,
        from_start: bool = False,
        once: Once | None = None,
    ) -> Json:
        """Make a new attempt after one that failed or was cancelled.

        The steps that it finished are reused, and the chain goes on with the first that was not.

        :param from_start: run every step again
        :raises Conflict: if there is nothing to retry, or the task was changed since, unless from the start
        :raises InvalidInput: as for ``execute``
        """
        task = self._permitted(actor, task_id)
        if once is not None and (answer := self._answered(once)):
            return answer
        self._refuse_running(task)
        with self._transactions() as uow:
            last = uow.executions.get(task.last_execution_id or 0)
        if last is None or last.status is ExecutionStatus.COMPLETED:
            raise Conflict(f"Task {task_id} has no failed or cancelled execution; execute it instead.")
        self._preflight(task)
        request = chain.Request(
            requested_by=actor.username,
            requested_by_id=actor.user_id,
            parameters=last.parameters,
            note=last.note,
        )
        return self._start(task_id, describe, request, None if from_start else last, once)

    def stop(self, actor: Actor, task_id: int) -> Standing:
        """End a running execution as cancelled: its processes are killed, later steps never start.

        Asking again changes nothing.

        :raises Conflict: if the task is not running
        """
        self._permitted(actor, task_id)
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            execution = uow.executions.lock(task.last_execution_id or 0)
            if execution is None or (
                execution.status is not ExecutionStatus.RUNNING and execution.stop_requested_at is None
            ):
                raise Conflict(f"Task {task_id} is not running; it is {task.status}.")
            if execution.stop_requested_at is None:
                execution.stop_requested_at, execution.stop_requested_by = utcnow(), actor.username
                uow.record(task_event("updated", task, actor.username, execution, stop_requested=True))
        self.finish_stop(execution)
        return self.standing(actor, task_id)

    def finish_stop(self, execution: Execution) -> None:
        """Carry out a stop that was asked for. Safe to repeat; the monitor does where it was interrupted."""
        if execution.status is not ExecutionStatus.RUNNING:
            return
        try:
            self._airflow.stop(CONTROLLER, execution.controller_run_id)
            with self._transactions() as uow:
                runs = [r for r in uow.runs.of_execution(execution.id) if r.status in ACTIVE_RUNS]
            for run in runs:
                self._airflow.stop(run.dag_id, run.dag_run_id)
            known = self._airflow.states({(run.dag_id, run.dag_run_id) for run in runs})
        except Unavailable:
            log.warning("Airflow did not answer; execution %s will be stopped when it does.", execution.id)
            return
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(execution.task_id), execution.task_id)
            held = uow.executions.lock(execution.id)
            if held is not None:
                _catch_up(uow, task, held, known)
                chain.cancel(uow, task, held)

    def history(self, actor: Actor, task_id: int) -> list[Standing]:
        """Return every execution of a task with its runs, the newest first."""
        actor.require("task", "read")
        with self._transactions() as uow:
            task = found_task(uow.tasks.get(task_id), task_id)
            executions = uow.executions.history(task_id)
            runs = uow.runs.of_executions([execution.id for execution in executions])
        return [
            Standing(
                task,
                execution.chain,
                execution,
                sorted(
                    (run for run in runs if run.execution_id == execution.id),
                    key=lambda run: run.position or 0,
                ),
            )
            for execution in executions
        ]

    def _permitted(self, actor: Actor, task_id: int) -> Task:
        with self._transactions() as uow:
            task = found_task(uow.tasks.get(task_id), task_id)
        actor.require("task", "execute", task.created_by_id)
        return task

    def _answered(self, once: Once) -> Json | None:
        with self._transactions() as uow:
            return earlier_answer(uow, once)

    def _refuse_running(self, task: Task) -> None:
        if task.status is TaskStatus.RUNNING:
            raise Conflict(f"Task {task.id} is running already (execution {task.last_execution_id}).")

    def _start(
        self,
        task_id: int,
        describe: Describe,
        request: chain.Request,
        resumed: Execution | None,
        once: Once | None,
    ) -> Json:
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            if once is not None and (answer := earlier_answer(uow, once)):
                return answer
            execution = chain.claim(uow, task, self._chain, request, resumed)
            answer = describe(Started(task, execution, uow.runs.of_execution(execution.id)))
            if once is not None:
                uow.idempotency.add(
                    IdempotencyKey(scope=once.scope, key=once.key, digest=once.digest, answer=answer)
                )
        self.trigger(execution)
        return answer

    def trigger(self, execution: Execution) -> bool:
        """Create the controller's run of a claimed execution, or adopt the one that carries it.

        Safe to repeat. If Airflow refuses for good the execution ends as failed with the reason; if it does
        not answer, the trigger stays owed and the monitor makes up for it.

        :returns: whether the run exists now
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
            return False
        except SVOpsError as refusal:
            with self._transactions() as uow:
                task = found_task(uow.tasks.lock(execution.task_id), execution.task_id)
                held = uow.executions.lock(execution.id)
                if held is not None:
                    error = failure(CONTROLLER, str(refusal))
                    chain.fail(uow, task, held, error)
            raise
        with self._transactions() as uow:
            held = uow.executions.lock(execution.id)
            if held is not None and held.triggered_at is None:
                held.triggered_at = utcnow()
        return True

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
            raise InvalidInput.field("dataset_id", f"task {task.id} has no dataset; give it one first.")
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


def _catch_up(
    uow: UnitOfWork, task: Task, execution: Execution, known: Mapping[tuple[str, str], DagRunState]
) -> None:
    """Record what had begun or succeeded in Airflow unnoticed, before the rest is called skipped."""
    for run in uow.runs.of_execution(execution.id):
        state = known.get((run.dag_id, run.dag_run_id), DagRunState(RunStatus.QUEUED.value))
        if state.state == RunStatus.SUCCESS.value:
            chain.end_run(uow, task, run, RunStatus.SUCCESS, state.end_date)
        elif state.start_date is not None:
            chain.start_run(uow, task, run, state.start_date)
