"""What the controller DAG's own tasks do; they know only the run that they are in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svops_plugin.application import chain
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Execution, Json, Task, TriggerType, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.states import ExecutionStatus, RunStatus


@dataclass(frozen=True)
class Step:
    """What a step of the controller DAG has to do.

    :param reused_from: the folder of the earlier attempt that did it already; nothing is triggered then
    :param output: the folder of this attempt
    """

    run_id: str
    conf: Json
    output: str
    reused_from: str | None = None


class Controller:
    """Use cases of the controller DAG's own tasks."""

    def __init__(self, transactions: Transactions, dag_ids: Sequence[str]) -> None:
        self._transactions = transactions
        self._chain = list(dag_ids)

    def claim(self, run_id: str, conf: Json, username: str) -> Execution:
        """Find the execution that this run carries, or make one for the task that its conf names.

        A run that was cleared after its execution had ended makes a new attempt, as a retry does.

        :param conf: the run's conf: ``task_id``, and ``execution_id`` where SVOps triggered the run itself,
            or ``parameters`` and ``note`` by hand
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
            resumed = carried if carried and carried.status is not ExecutionStatus.COMPLETED else None
            return chain.claim(uow, task, self._chain, request, resumed)

    def begin_step(self, run_id: str, position: int, dag_id: str) -> Step:
        """Record that the steps before succeeded, and return what the step at ``position`` has to trigger.

        :raises Conflict: if the execution has ended or its chain is not the one this DAG was built from
        """
        with self._transactions() as uow:
            task, execution = self._held(uow, run_id)
            if execution.stop_requested_at is not None:
                raise Conflict(f"Execution {execution.id} was stopped by {execution.stop_requested_by}.")
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
            earlier = None
            if run.status is RunStatus.REUSED and execution.resumed_from_id is not None:
                earlier = uow.executions.get(execution.resumed_from_id)
            reused_from = earlier.output_path if earlier else None
            return Step(run.dag_run_id, conf, execution.output_path, reused_from)

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
