"""Executing tasks: what REST, the command line, inbound webhooks and the monitor ask for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from svops_plugin.application import chain
from svops_plugin.application.airflow_ports import Airflow, RunTaken, foreign_run
from svops_plugin.application.estimates import Estimate, Wanted, estimates
from svops_plugin.application.events import task_event
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.application.preflight import Preflight
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Execution, IdempotencyKey, Json, Task, WorkflowRun, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, SVOpsError, Unavailable
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus, TaskStatus

log = logging.getLogger(__name__)

CONTROLLER = "svops_controller"


@dataclass(frozen=True)
class Started:
    """An execution that has begun."""

    task: Task
    execution: Execution
    runs: list[WorkflowRun]

    @property
    def message(self) -> str:
        """What is said of it."""
        return f"Task {self.task.id} execution started with {len(self.execution.chain)} DAG chain"


Describe = Callable[[Started], Json]


@dataclass(frozen=True)
class Standing:
    """How a task and its newest execution stand; no execution before the first.

    :param estimate: how long an execution may be expected to take, where that was asked for
    """

    task: Task
    chain: list[str]
    execution: Execution | None
    runs: list[WorkflowRun]
    estimate: Estimate | None = None

    @property
    def progress_done(self) -> int:
        """How many tasks of all runs have ended."""
        return sum(run.progress_done for run in self.runs)

    @property
    def progress_total(self) -> int:
        """How many tasks all runs have, as far as they are known."""
        return sum(run.progress_total for run in self.runs)


@dataclass(frozen=True)
class Standings:
    """How several tasks stand.

    :param last_event_id: what happened up to here is in it
    """

    items: list[Standing]
    last_event_id: int


@dataclass(frozen=True)
class Once:
    """A request that must not be done twice.

    :param scope: within which the key is one's own
    :param digest: SHA-256 of what is asked
    :param header: where the key was sent
    """

    scope: str
    key: str
    digest: str
    header: str = "Idempotency-Key"


def earlier_answer(uow: UnitOfWork, once: Once) -> Json | None:
    """Return the answer that a request was given before.

    :raises InvalidInput: if its key was another request's
    """
    earlier = uow.idempotency.find(once.scope, once.key)
    if earlier is None:
        return None
    if earlier.digest != once.digest:
        raise InvalidInput.field(once.header, f"{once.key!r} was sent with another request before.")
    return earlier.answer


def keep_answer(uow: UnitOfWork, once: Once, answer: Json) -> None:
    """Keep the answer to a request, for when it is sent again."""
    uow.idempotency.add(IdempotencyKey(scope=once.scope, key=once.key, digest=once.digest, answer=answer))


class ExecutionService:
    """Use cases of executing tasks from outside Airflow's own runs.

    :param dag_ids: the DAGs of the chain, in order
    """

    def __init__(
        self,
        *,
        transactions: Transactions,
        airflow: Airflow,
        preflight: Preflight,
        dag_ids: Sequence[str],
    ) -> None:
        self._transactions = transactions
        self._airflow = airflow
        self._preflight = preflight
        self.chain = list(dag_ids)

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
        self._look(task)
        request = chain.Request(
            requested_by=actor.username,
            requested_by_id=actor.user_id,
            address=actor.address,
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
        note: str | None = None,
        once: Once | None = None,
        execution_id: int | None = None,
    ) -> Json:
        """Make a new attempt after one that failed or was cancelled.

        The steps that it finished are reused, and the chain goes on with the first that was not.

        :param from_start: run every step again
        :param note: of the new attempt; the last one's unless given
        :param execution_id: only if this is the task's newest execution
        :raises Conflict: if there is nothing to retry, or the task was changed since, unless from the start
        :raises InvalidInput: as for ``execute``
        """
        task = self._permitted(actor, task_id)
        if once is not None and (answer := self._answered(once)):
            return answer
        _refuse_superseded(task, execution_id)
        self._refuse_running(task)
        with self._transactions() as uow:
            last = uow.executions.get(task.last_execution_id or 0)
        if last is None or last.status is ExecutionStatus.COMPLETED:
            raise Conflict(f"Task {task_id} has no failed or cancelled execution; execute it instead.")
        self._look(task)
        request = chain.Request(
            requested_by=actor.username,
            requested_by_id=actor.user_id,
            address=actor.address,
            parameters=last.parameters,
            note=last.note if note is None else note,
        )
        return self._start(task_id, describe, request, last, once, from_start=from_start)

    def stop(self, actor: Actor, task_id: int, execution_id: int | None = None) -> Standing:
        """End a running execution as cancelled: its processes are killed, later steps never start.

        Where all of it has succeeded before that, it is completed. Asking again changes nothing.

        :param execution_id: only if this is the task's newest execution
        :raises Conflict: if the task is not running
        """
        self._permitted(actor, task_id)
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            _refuse_superseded(task, execution_id)
            execution = uow.executions.lock(task.last_execution_id or 0)
            if execution is None or (
                execution.status is not ExecutionStatus.RUNNING and execution.stop_requested_at is None
            ):
                raise Conflict(f"Task {task_id} is not running; it is {task.status}.")
            if execution.stop_requested_at is None:
                execution.stop_requested_at, execution.stop_requested_by = utcnow(), actor.username
                told = {"address": actor.address, "stop_requested": True}
                uow.record(task_event("updated", task, actor.username, execution, **told))
        self.finish_stop(execution)
        return self.standing(actor, task_id)

    def finish_stop(self, execution: Execution) -> Execution | None:
        """Carry out a stop that was asked for. Safe to repeat; the monitor does where it was interrupted.

        What Airflow says once its runs have ended, by themselves or by this, is so for good.

        :returns: the execution as it is then; none if Airflow did not answer, or it is gone
        """
        if execution.status is not ExecutionStatus.RUNNING:
            return execution
        controller = (CONTROLLER, execution.controller_run_id)
        try:
            self._airflow.stop(*controller)
            with self._transactions() as uow:
                runs = [r for r in uow.runs.of_execution(execution.id) if r.status in ACTIVE_RUNS]
            for run in runs:
                self._airflow.stop(run.dag_id, run.dag_run_id)
            known = self._airflow.states({controller, *((run.dag_id, run.dag_run_id) for run in runs)})
        except Unavailable:
            log.warning("Airflow did not answer; execution %s will be stopped when it does.", execution.id)
            return None
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(execution.task_id), execution.task_id)
            held = uow.executions.lock(execution.id)
            if held is not None:
                runs = uow.runs.of_execution(held.id)
                for run in runs:
                    if state := known.get((run.dag_id, run.dag_run_id)):
                        chain.catch_up(uow, task, run, state)
                seen = known.get(controller)
                succeeded = seen is not None and seen.state == "success"
                whole = succeeded and all(run.status in chain.FINISHED for run in runs)
                (chain.complete if whole else chain.cancel)(uow, task, held)
            return held

    def history(self, actor: Actor, task_id: int) -> list[Standing]:
        """Return every execution of a task with its runs, the newest first."""
        actor.require("task", "read")
        with self._transactions().snapshot() as uow:
            task = found_task(uow.tasks.get(task_id), task_id)
            executions = uow.executions.history(task_id)
            runs = uow.runs.of_executions([execution.id for execution in executions])
        of = _by_execution(runs)
        return [Standing(task, one.chain, one, of.get(one.id, [])) for one in executions]

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
        last: Execution | None,
        once: Once | None,
        *,
        from_start: bool = False,
    ) -> Json:
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            if once is not None and (answer := earlier_answer(uow, once)):
                return answer
            _refuse_superseded(task, last.id if last else None)
            execution = chain.claim(uow, task, self.chain, request, None if from_start else last)
            answer = describe(Started(task, execution, uow.runs.of_execution(execution.id)))
            if once is not None:
                keep_answer(uow, once, answer)
        self.trigger(execution, once)
        return answer

    def trigger(self, execution: Execution, once: Once | None = None) -> bool:
        """Create the controller's run of a claimed execution, or adopt the one that carries it.

        Safe to repeat. If Airflow refuses for good the execution ends as failed with the reason; if it does
        not answer, the trigger stays owed and the monitor makes up for it.

        :param once: the request whose kept answer is forgotten if Airflow refuses for good
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
                    raise foreign_run(CONTROLLER, run_id) from None
        except Unavailable:
            log.warning("Airflow did not answer; run %s will be triggered when it does.", run_id)
            return False
        except SVOpsError as refusal:
            with self._transactions() as uow:
                task = found_task(uow.tasks.lock(execution.task_id), execution.task_id)
                held = uow.executions.lock(execution.id)
                if held is not None:
                    chain.fail(uow, task, held, failure(CONTROLLER, str(refusal)))
                if once is not None:
                    uow.idempotency.forget(once.scope, once.key)
            raise
        with self._transactions() as uow:
            held = uow.executions.lock(execution.id)
            if held is not None and held.triggered_at is None:
                held.triggered_at = utcnow()
        return True

    def standing(self, actor: Actor, task_id: int) -> Standing:
        """Return how a task and its newest execution stand."""
        found = self.standings(actor, [task_id]).items
        if not found:
            raise NotFound(f"There is no task {task_id}.")
        return found[0]

    def standings(self, actor: Actor, task_ids: Sequence[int]) -> Standings:
        """Return how tasks and their newest executions stand, in the order of the ids.

        It takes as many queries for any number of tasks. Those that are not there are left out.
        """
        actor.require("task", "read")
        with self._transactions().snapshot() as uow:
            newest = uow.events.newest()
            tasks = {task.id: task for task in uow.tasks.several(task_ids)}
            ids = [task.last_execution_id for task in tasks.values() if task.last_execution_id is not None]
            executions = {one.id: one for one in uow.executions.several(ids)}
            runs = _by_execution(uow.runs.of_executions(ids))
            shown = [tasks[task_id] for task_id in task_ids if task_id in tasks]
            last = [executions.get(task.last_execution_id or 0) for task in shown]
            chains = [execution.chain if execution else self.chain for execution in last]
            expected = estimates(
                uow, [Wanted(dags, task.dataset_id) for task, dags in zip(shown, chains, strict=True)]
            )
        return Standings(
            [
                Standing(task, dags, execution, runs.get(task.last_execution_id or 0, []), estimate)
                for task, dags, execution, estimate in zip(shown, chains, last, expected, strict=True)
            ],
            newest,
        )

    def _look(self, task: Task) -> None:
        self._preflight(task)
        if problems := [str(one) for one in self._airflow.problems([CONTROLLER, *self.chain])]:
            raise InvalidInput(f"The chain cannot run: {' '.join(problems)}", {"chain": problems})


def _refuse_superseded(task: Task, execution_id: int | None) -> None:
    """Refuse what was asked for an execution that is not the task's newest any more."""
    if execution_id not in {None, task.last_execution_id}:
        raise Conflict(f"Task {task.id} has been executed again since; control its newest execution.")


def _by_execution(runs: Iterable[WorkflowRun]) -> dict[int, list[WorkflowRun]]:
    """Return runs by their execution, each chain in its order."""
    found: dict[int, list[WorkflowRun]] = {}
    for run in sorted(runs, key=lambda run: run.position or 0):
        found.setdefault(run.execution_id or 0, []).append(run)
    return found
