"""The chain's own state machine: claim, steps, end.

Every function here works inside one unit of work given by the caller, so that a change of state, what
follows from it and its events are one transaction. Whoever reports an end (a callback in a task, the
next step, ``complete``, the monitor) calls the same functions; compare-and-set lets the first one win.
Rows are always locked in the order task, execution, runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from svops_plugin.application.events import run_event, task_event
from svops_plugin.application.ports import UnitOfWork
from svops_plugin.domain.entities import Execution, Json, Task, TriggerType, WorkflowRun, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus, RunStatus, TaskStatus


@dataclass(frozen=True)
class Request:
    """What somebody asked for when executing a task.

    :param controller_run_id: the controller's run, where it exists already (triggered by hand)
    """

    requested_by: str
    requested_by_id: int | None = None
    parameters: Json = field(default_factory=dict)
    note: str = ""
    trigger_type: TriggerType = TriggerType.API
    controller_run_id: str | None = None


def claim(uow: UnitOfWork, task: Task, chain: Sequence[str], request: Request) -> Execution:
    """Make a new attempt at the chain of a task whose row is locked, and set the task running.

    :raises InvalidInput: if the task has no dataset
    :raises Conflict: if it is running already
    """
    if task.dataset is None:
        raise InvalidInput.field(
            "dataset_id", f"task {task.id} has no dataset; give it one before executing it."
        )
    if not uow.tasks.move(task, TaskStatus.RUNNING, status_reason=None):
        raise Conflict(f"Task {task.id} is running already (execution {task.last_execution_id}).")
    execution = Execution(
        task_id=task.id,
        attempt=uow.executions.attempts(task.id) + 1,
        chain=list(chain),
        task_snapshot={
            "name": task.name,
            "customer": task.customer,
            "log_out_path": task.log_out_path,
            "video_out_path": task.video_out_path if task.video_out_enabled else None,
            **task.configuration(),
        },
        dataset_snapshot=task.dataset.snapshot(),
        parameters=request.parameters,
        note=request.note,
        requested_by=request.requested_by,
        requested_by_id=request.requested_by_id,
    )
    execution.controller_run_id = request.controller_run_id or execution.run_name
    if request.controller_run_id:
        execution.triggered_at = utcnow()
    uow.executions.add(execution)
    task.last_execution_id = execution.id
    uow.record(task_event("started", task, request.requested_by, execution))
    _add_runs(uow, task, execution, request)
    return execution


def _add_runs(uow: UnitOfWork, task: Task, execution: Execution, request: Request) -> None:
    workflows = uow.workflows.for_dags(execution.chain)
    for position, dag_id in enumerate(execution.chain, start=1):
        run = WorkflowRun(
            workflow_id=workflows[dag_id].id,
            execution_id=execution.id,
            position=position,
            dag_id=dag_id,
            dag_run_id=execution.step_run_id(position),
            trigger_type=request.trigger_type,
            configuration={
                "task_id": task.id,
                "dataset_id": task.dataset_id,
                "parameters": request.parameters,
                "note": request.note,
            },
            triggered_by=request.requested_by,
            note=request.note,
        )
        uow.runs.add(run)
        uow.record(run_event("triggered", run, task.created_by_id, request.requested_by))


def end_run(
    uow: UnitOfWork,
    task: Task,
    run: WorkflowRun,
    status: RunStatus,
    end: datetime | None = None,
    **values: Any,
) -> bool:
    """Record the end of a run; tell whether this call was the first to."""
    end_date = end or utcnow()
    if status is RunStatus.SUCCESS:
        start_run(uow, task, run, values.get("start_date"))
        values.setdefault("progress_done", max(run.progress_total, run.progress_done))
    if status is not RunStatus.SKIPPED:
        values.setdefault("start_date", run.start_date or end_date)
        values["end_date"] = end_date
    if not uow.runs.move(run, status, **values):
        return False
    verbs = {
        RunStatus.SUCCESS: "completed",
        RunStatus.FAILED: "failed",
        RunStatus.CANCELLED: "stopped",
        RunStatus.SKIPPED: "skipped",
    }
    uow.record(run_event(verbs[status], run, task.created_by_id))
    return True


def start_run(uow: UnitOfWork, task: Task, run: WorkflowRun, start: datetime | None) -> bool:
    """Record that Airflow has begun a run; tell whether this call was the first to."""
    if run.status is not RunStatus.QUEUED or not uow.runs.move(
        run, RunStatus.RUNNING, start_date=start or utcnow()
    ):
        return False
    uow.record(run_event("started", run, task.created_by_id))
    return True


def fail(uow: UnitOfWork, task: Task, execution: Execution, error: Mapping[str, Any]) -> bool:
    """End an execution as failed: the run at fault failed, those that never began skipped, the task failed.

    A cause that a pipeline has written for its run goes before the general words of whoever reports.

    :param error: ``{"dag_id", "task_id", "message", "log_url"}``
    """
    runs = uow.runs.of_execution(execution.id)
    cause = dict(error)
    for run in runs:
        if run.dag_id == error.get("dag_id") and run.error:
            cause = dict(run.error)
    if not uow.executions.move(execution, ExecutionStatus.FAILED, ended_at=utcnow(), error=cause):
        return False
    for run in runs:
        if run.status not in ACTIVE_RUNS:
            continue
        if run.dag_id == cause.get("dag_id"):
            end_run(uow, task, run, RunStatus.FAILED, error=run.error or cause)
        else:
            unstarted = run.status is RunStatus.QUEUED
            end_run(uow, task, run, RunStatus.SKIPPED if unstarted else RunStatus.CANCELLED)
    reason = describe(cause)
    uow.tasks.move(task, TaskStatus.FAILED, status_reason=reason)
    uow.record(task_event("failed", task, "airflow", execution, error=cause))
    return True


def complete(uow: UnitOfWork, task: Task, execution: Execution) -> bool:
    """End an execution as completed; its result is what its pipelines measured and left."""
    metrics = {m.name: m.value for m in uow.tracking.metrics(execution.id) if m.step is None}
    artifacts = {a.name: a.path for a in uow.tracking.artifacts(execution.id)}
    result = {"metrics": metrics, "artifacts": artifacts, "output_path": execution.output_path}
    if not uow.executions.move(execution, ExecutionStatus.COMPLETED, ended_at=utcnow(), result=result):
        return False
    for run in uow.runs.of_execution(execution.id):
        if run.status in ACTIVE_RUNS:
            end_run(uow, task, run, RunStatus.SUCCESS)
    uow.tasks.move(task, TaskStatus.COMPLETED, result=result, status_reason=None)
    uow.record(task_event("completed", task, "airflow", execution, result=result))
    return True


def add_cause(
    uow: UnitOfWork, task: Task, execution: Execution | None, run: WorkflowRun, error: Json
) -> None:
    """Write what went wrong inside a run, once; also after the end has been reported without a cause."""
    if run.error is not None and run.error.get("task_id"):
        return
    run.error = error
    if execution is None or execution.status is not ExecutionStatus.FAILED:
        return
    known = execution.error or {}
    if known.get("dag_id") in {None, run.dag_id} and not known.get("task_id"):
        execution.error = error
        if task.last_execution_id == execution.id and task.status is TaskStatus.FAILED:
            task.status_reason = describe(error)
        uow.record(task_event("updated", task, "airflow", execution, error=error))


def describe(error: Mapping[str, Any]) -> str:
    """Return an error as one sentence for people."""
    where = error.get("dag_id") or "the chain"
    if error.get("task_id"):
        where += f", task {error['task_id']}"
    return f"{where}: {error.get('message') or 'failed'}"
