"""What the controller DAG's own tasks do; they know only the run that they are in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from svops_plugin.application import chain
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.application.preflight import Preflight
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Execution, Json, Task, TriggerType, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.states import ExecutionStatus, RunStatus


@dataclass(frozen=True)
class ControllerRun:
    """The run of the controller DAG that a task is in.

    :param conf: ``task_id``, and ``execution_id`` where SVOps triggered the run itself, or ``parameters`` and
        ``note`` by hand
    :param username: who triggered it
    :param cleared_at: when it began anew, if it was cleared
    """

    run_id: str
    conf: Json
    username: str = ""
    cleared_at: datetime | None = None

    def cleared_since(self, end: datetime | None) -> bool:
        """Tell whether it was cleared after an end."""
        return self.cleared_at is not None and end is not None and self.cleared_at > end


@dataclass(frozen=True)
class Step:
    """What a step of the controller DAG has to do.

    :param execution_id: the execution that the run carries
    :param reused_from: the folder of the earlier attempt that did it already; nothing is triggered then
    :param output: the folder of this attempt
    :param is_last: whether the execution is completed when it has succeeded
    :param under_way: how many executions have not ended, with this one
    """

    execution_id: int
    run_id: str
    conf: Json
    output: str
    reused_from: str | None
    is_last: bool
    under_way: int


class Controller:
    """Use cases of the controller DAG's own tasks."""

    def __init__(self, transactions: Transactions, preflight: Preflight, dag_ids: Sequence[str]) -> None:
        self._transactions = transactions
        self._preflight = preflight
        self._chain = list(dag_ids)

    def begin_step(
        self, run: ControllerRun, position: int, dag_id: str, trigger: Callable[[Step], None]
    ) -> Step | None:
        """Record that the steps before succeeded, trigger the step at ``position`` and return it.

        The first step of a run that carries no execution yet (triggered by hand) makes one. A step that was
        cleared after its execution had ended makes a new attempt, as a retry does.

        :param trigger: creates the step's DAG run or adopts the one there is. It is called while nobody can
            end the execution: a stop either comes before, and nothing is triggered, or waits, and finds
            what was. It is not called for a step that is reused
        :returns: none if the execution has been completed, as for a step that is repeated because Airflow has
            lost sight of the process that did it
        :raises InvalidInput: if the run's conf names no task, or one whose dataset, configuration or folders
            are unusable
        :raises Conflict: if the execution has ended, its chain is not the one this DAG was built from, or the
            task is running in another run
        :raises NotFound: if there is no such task, or the run of a later step carries no execution
        """
        while True:
            with self._transactions() as uow:
                found = self._running(uow, run.run_id)
                if found is not None:
                    step = self._step(uow, *found, position, dag_id)
                    if step.reused_from is None:
                        trigger(step)
                    return step
            if not self._claim(run, position):
                return None

    def _step(self, uow: UnitOfWork, task: Task, execution: Execution, position: int, dag_id: str) -> Step:
        if execution.stop_requested_at is not None:
            raise Conflict(f"Execution {execution.id} was stopped by {execution.stop_requested_by}.")
        if execution.chain != self._chain or execution.chain[position - 1 : position] != [dag_id]:
            raise Conflict(
                f"The chain was {execution.chain} when execution {execution.id} was made and is "
                f"{self._chain} now; execute the task again."
            )
        runs = uow.runs.of_execution(execution.id)
        for before in runs[: position - 1]:
            chain.end_run(uow, task, before, RunStatus.SUCCESS)
        own = runs[position - 1]
        conf = {**own.configuration, "execution_id": execution.id, "workflow_run_id": own.id}
        finished_by = _finished_by(uow, execution, position)
        return Step(
            execution_id=execution.id,
            run_id=own.dag_run_id,
            conf=conf,
            output=execution.output_path,
            reused_from=None if finished_by is execution else finished_by.output_path,
            is_last=position == len(runs),
            under_way=uow.executions.under_way(),
        )

    def complete(self, run_id: str) -> Execution:
        """End the execution that this run carries as completed, now that its last step has succeeded.

        Safe to repeat. Of one that is to be stopped only the steps' success is recorded: whoever stops it
        may have failed this run by now, and is the one to find out.

        :raises Conflict: if it has ended otherwise, or is to be stopped
        """
        with self._transactions() as uow:
            task, execution = self._held(uow, run_id)
            if execution.stop_requested_at is None:
                chain.complete(uow, task, execution)
            else:
                for run in uow.runs.of_execution(execution.id):
                    chain.end_run(uow, task, run, RunStatus.SUCCESS)
        if execution.status is ExecutionStatus.RUNNING:
            raise Conflict(f"Execution {execution.id} was stopped by {execution.stop_requested_by}.")
        if execution.status is not ExecutionStatus.COMPLETED:
            raise Conflict(f"Execution {execution.id} has ended as {execution.status}.")
        return execution

    def fail(self, run_id: str, error: Json, position: int | None = None) -> None:
        """End the execution that this run carries as failed, unless it has ended or there is none.

        :param position: of the step that failed; that it ran at all tells that those before it succeeded,
            which it could not record if it was refused
        """
        with self._transactions() as uow:
            carried = self._carried(uow, run_id)
            if carried is not None:
                task = found_task(uow.tasks.get(carried.task_id), carried.task_id)
                if position is not None and carried.chain == self._chain:
                    for before in uow.runs.of_execution(carried.id)[: position - 1]:
                        chain.end_run(uow, task, before, RunStatus.SUCCESS)
                chain.fail(uow, task, carried, error)

    def fail_run(self, run_id: str, error: Json, ended_at: datetime | None) -> None:
        """End the execution that this run carries as failed because the run itself has.

        That is told late: the run may have been cleared since, and carry another attempt. Whatever is not
        certain is left to the monitor.

        :param ended_at: when the run failed; none if it runs again, or nobody knows
        """
        with self._transactions() as uow:
            carried = self._carried(uow, run_id)
            if carried is not None and ended_at is not None and carried.created_at < ended_at:
                task = found_task(uow.tasks.get(carried.task_id), carried.task_id)
                chain.fail(uow, task, carried, error)

    def _running(self, uow: UnitOfWork, run_id: str) -> tuple[Task, Execution] | None:
        """Return the running execution that a controller's run carries, held."""
        carried = self._carried(uow, run_id)
        if carried is None or carried.status is not ExecutionStatus.RUNNING:
            return None
        if carried.triggered_at is None:
            carried.triggered_at = utcnow()
        return found_task(uow.tasks.get(carried.task_id), carried.task_id), carried

    def _claim(self, run: ControllerRun, position: int) -> bool:
        """Make an execution for a run that was triggered by hand, or cleared after its execution ended.

        It tells whether it did: a completed one needs no other.

        It is a transaction of its own, because the DAG runs that are triggered next have to find it. A task
        of the run that is still alive when its execution ends is not a cleared one: without the look at the
        times, a stop would be answered by a new attempt.
        """
        with self._transactions() as uow:
            ended = self._carried(uow, run.run_id)
            if ended is None and position > 1:
                raise NotFound(f"Run {run.run_id} carries no execution; clear its first step, not this one.")
            if ended is not None and not run.cleared_since(ended.ended_at):
                if ended.status is ExecutionStatus.COMPLETED:
                    return False
                raise Conflict(f"Execution {ended.id} has ended ({ended.status}); execute the task again.")
            if run.conf.get("execution_id") is not None and ended is None:
                raise InvalidInput.field(
                    "execution_id", f"run {run.run_id} does not carry it; give a task_id only."
                )
            task, request = self._request(uow, run, ended)
            self._preflight(task)
            if ended is not None and position == 1 and ended.status is ExecutionStatus.COMPLETED:
                ended = None
            reused = position - 1 if position > 1 else None
            chain.claim(uow, task, self._chain, request, ended, reused=reused)
            return True

    def _request(
        self, uow: UnitOfWork, run: ControllerRun, ended: Execution | None
    ) -> tuple[Task, chain.Request]:
        """Return the task that a run's conf names, held, and what is asked for: as the ended attempt was."""
        task_id = run.conf.get("task_id")
        if not isinstance(task_id, int) or isinstance(task_id, bool):
            raise InvalidInput.field("task_id", 'the conf must name a task, as in {"task_id": 1}.')
        asked = {"parameters": ended.parameters, "note": ended.note} if ended else run.conf
        parameters = asked.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise InvalidInput.field("parameters", "an object is expected.")
        task = found_task(uow.tasks.lock(task_id), task_id)
        user = uow.users.named(run.username)
        return task, chain.Request(
            requested_by=run.username,
            requested_by_id=user.id if user else None,
            parameters=parameters,
            note=str(asked.get("note") or ""),
            trigger_type=TriggerType.MANUAL,
            controller_run_id=run.run_id,
        )

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
            raise NotFound(f"Run {run_id} carries no execution; did its first step run?")
        return found_task(uow.tasks.get(execution.task_id), execution.task_id), execution


def _finished_by(uow: UnitOfWork, execution: Execution, position: int) -> Execution:
    """Return the attempt that has run a step; one that reuses it may have ended before it had the files."""
    runs = uow.runs.of_execution(execution.id)
    if runs[position - 1].status is not RunStatus.REUSED or execution.resumed_from_id is None:
        return execution
    earlier = uow.executions.get(execution.resumed_from_id)
    return execution if earlier is None else _finished_by(uow, earlier, position)
