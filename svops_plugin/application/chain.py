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
from itertools import takewhile
from typing import Any

from svops_plugin.application.airflow_ports import DagRunState
from svops_plugin.application.events import run_event, task_event
from svops_plugin.application.ports import UnitOfWork
from svops_plugin.domain.entities import (
    Artifact,
    Execution,
    Json,
    Metric,
    Task,
    TriggerType,
    WorkflowRun,
    utcnow,
)
from svops_plugin.domain.errors import Conflict, InvalidInput
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus, RunStatus, TaskStatus

FINISHED = frozenset({RunStatus.SUCCESS, RunStatus.REUSED})  # of a step after which the next may begin


@dataclass(frozen=True)
class Request:
    """What somebody asked for when executing a task.

    :param address: where the request came from, if it came over the network
    :param controller_run_id: the controller's run, where it exists already (triggered by hand)
    """

    requested_by: str
    requested_by_id: int | None = None
    address: str | None = None
    parameters: Json = field(default_factory=dict)
    note: str = ""
    trigger_type: TriggerType = TriggerType.API
    controller_run_id: str | None = None


def claim(
    uow: UnitOfWork,
    task: Task,
    chain: Sequence[str],
    request: Request,
    resumed: Execution | None = None,
    *,
    reused: int | None = None,
) -> Execution:
    """Make a new attempt at the chain of a task whose row is locked, and set the task running.

    :param resumed: an ended attempt; the steps that it finished are reused, with what they measured and left
    :param reused: how many of them, if not all
    :raises InvalidInput: if the task has no dataset
    :raises Conflict: if it is running already, is not what it was when the resumed attempt was made, or that
        did not finish so many steps
    """
    if task.dataset is None:
        raise InvalidInput.field("dataset_id", f"task {task.id} has no dataset; give it one first.")
    if not uow.tasks.move(task, TaskStatus.RUNNING, status_reason=None):
        raise Conflict(f"Task {task.id} is running already (execution {task.last_execution_id}).")
    execution = Execution(
        task_id=task.id,
        attempt=uow.executions.attempts(task.id) + 1,
        chain=list(chain),
        task_snapshot=task.snapshot(),
        dataset_snapshot=task.dataset.snapshot(),
        parameters=request.parameters,
        note=request.note,
        requested_by=request.requested_by,
        requested_by_id=request.requested_by_id,
        resumed_from_id=resumed.id if resumed else None,
    )
    if resumed is not None:
        _refuse_other_inputs(execution, resumed)
    execution.controller_run_id = request.controller_run_id or execution.run_name
    execution.triggered_at = utcnow() if request.controller_run_id else None
    uow.executions.add(execution)
    task.last_execution_id = execution.id
    uow.record(task_event("started", task, request.requested_by, execution, address=request.address))
    finished = _finished_steps(uow.runs.of_execution(resumed.id)) if resumed else []
    if resumed is not None and reused is not None and reused > len(finished):
        raise Conflict(
            f"Attempt {resumed.attempt} finished {len(finished)} steps, not the {reused} before this one; "
            f"clear the run from step {len(finished) + 1} on."
        )
    earlier = _add_runs(uow, task, execution, request, finished[:reused])
    if resumed is not None:
        _copy_tracking(uow, resumed, execution, earlier)
    return execution


def inputs(task_snapshot: Json, dataset_snapshot: Json) -> Json:
    """Return what has to be the same where a step goes on from what an earlier one left."""
    data = {key: dataset_snapshot.get(key) for key in ("id", "path", "gt_path", "data_type")}
    return {"task": {**task_snapshot, "name": ""}, "data": data}


def _refuse_other_inputs(execution: Execution, resumed: Execution) -> None:
    """Refuse to mix finished steps with steps that would be told something else."""

    def told(of: Execution) -> tuple[list[str], Json, Json]:
        return of.chain, inputs(of.task_snapshot, of.dataset_snapshot), of.parameters

    if told(execution) != told(resumed):
        raise Conflict(
            f"The task, its dataset or the chain was changed since attempt {resumed.attempt}; "
            'its finished steps do not fit any more. Retry with {"from": "start"}.'
        )


def _add_runs(
    uow: UnitOfWork, task: Task, execution: Execution, request: Request, finished: Sequence[WorkflowRun]
) -> dict[int, WorkflowRun]:
    """Add the runs of an attempt, and return those that it reuses, as new runs by their old ids."""
    workflows = uow.workflows.for_dags(execution.chain)
    verb = "retried" if execution.resumed_from_id else "triggered"
    earlier: dict[int, WorkflowRun] = {}
    for position, dag_id in enumerate(execution.chain, start=1):
        run = WorkflowRun(
            workflow_id=workflows[dag_id].id,
            execution_id=execution.id,
            position=position,
            dataset_id=task.dataset_id,
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
        reused = finished[position - 1] if position <= len(finished) else None
        if reused is not None:
            run.status, run.message = RunStatus.REUSED, reused.message
            run.progress_done, run.progress_total = reused.progress_done, reused.progress_total
            run.start_date, run.end_date = reused.start_date, reused.end_date
            earlier[reused.id] = run
        uow.runs.add(run)
        told = "skipped" if reused else verb
        uow.record(run_event(told, run, task.created_by_id, request.requested_by, address=request.address))
    return earlier


def _finished_steps(runs: Sequence[WorkflowRun]) -> list[WorkflowRun]:
    return list(takewhile(lambda run: run.status in FINISHED, runs))


def _copy_tracking(
    uow: UnitOfWork, resumed: Execution, execution: Execution, runs: Mapping[int, WorkflowRun]
) -> None:
    """Give a new attempt what the steps that it reuses measured and left."""
    for metric in uow.tracking.metrics(resumed.id):
        if metric.workflow_run_id in runs:
            uow.tracking.save_metric(
                Metric(
                    execution_id=execution.id,
                    workflow_run_id=runs[metric.workflow_run_id].id,
                    name=metric.name,
                    value=metric.value,
                    step=metric.step,
                )
            )
    for artifact in uow.tracking.artifacts(resumed.id):
        if artifact.workflow_run_id in runs:
            inside = artifact.path.startswith(f"{resumed.output_path}/")
            path = execution.output_path + artifact.path.removeprefix(resumed.output_path)
            uow.tracking.save_artifact(
                Artifact(
                    execution_id=execution.id,
                    workflow_run_id=runs[artifact.workflow_run_id].id,
                    name=artifact.name,
                    path=path if inside else artifact.path,
                    media_type=artifact.media_type,
                    size=artifact.size,
                )
            )


def owner_id(uow: UnitOfWork, task: Task | None, run: WorkflowRun) -> int | None:
    """Return whose events those of a run are: its task's owner's, or else those of who asked SVOps for it."""
    if task is not None:
        return task.created_by_id
    if run.trigger_type is not TriggerType.API:
        return None  # Airflow's name for who has triggered it need not be that of a user of SVOps
    user = uow.users.named(run.triggered_by)
    return user.id if user else None


def end_run(
    uow: UnitOfWork,
    task: Task | None,
    run: WorkflowRun,
    status: RunStatus,
    *,
    end: datetime | None = None,
    start: datetime | None = None,
    by: Actor | None = None,
    **values: Any,
) -> bool:
    """Record the end of a run; tell whether this call was the first to.

    It is never before the beginning, which another machine's clock may have told.

    :param start: when it began, if it has and nobody has recorded it
    :param by: who has asked for it, if it is not Airflow that tells
    """
    end = end or utcnow()
    if status is RunStatus.SUCCESS:
        start_run(uow, task, run, start or end)
        values.setdefault("progress_done", max(run.progress_total, run.progress_done))
    if status is not RunStatus.SKIPPED:
        began = run.start_date or start or (None if status is RunStatus.CANCELLED else end)
        values |= {"start_date": began, "end_date": max(end, began or end)}
    if not uow.runs.move(run, status, **values):
        return False
    verbs = {
        RunStatus.SUCCESS: "completed",
        RunStatus.FAILED: "failed",
        RunStatus.CANCELLED: "stopped",
        RunStatus.SKIPPED: "skipped",
    }
    actor, told = (by.username, {"address": by.address}) if by else ("airflow", {})
    uow.record(run_event(verbs[status], run, owner_id(uow, task, run), actor, **told))
    return True


def start_run(uow: UnitOfWork, task: Task | None, run: WorkflowRun, start: datetime | None) -> bool:
    """Record that Airflow has begun a run; tell whether this call was the first to."""
    if run.status is not RunStatus.QUEUED or not uow.runs.move(
        run, RunStatus.RUNNING, start_date=start or utcnow()
    ):
        return False
    uow.record(run_event("started", run, owner_id(uow, task, run)))
    return True


def catch_up(uow: UnitOfWork, task: Task | None, run: WorkflowRun, state: DagRunState) -> None:
    """Record that a run has begun or succeeded in Airflow unnoticed, before it is called stopped."""
    if state.state == RunStatus.SUCCESS.value:
        end_run(uow, task, run, RunStatus.SUCCESS, end=state.end_date, start=state.start_date)
    elif state.start_date is not None:
        start_run(uow, task, run, state.start_date)


def fail(uow: UnitOfWork, task: Task, execution: Execution, error: Mapping[str, Any]) -> bool:
    """End an execution as failed: the run at fault failed, those that never began skipped, the task failed.

    A cause that a pipeline has written for its run goes before the general words of whoever reports. Where
    somebody has asked for the execution's end, it ends as cancelled.

    :param error: ``{"dag_id", "task_id", "message", "log_url"}``
    """
    if execution.stop_requested_at is not None:
        return cancel(uow, task, execution)
    runs = uow.runs.of_execution(execution.id)
    cause = dict(error)
    for run in runs:
        if run.dag_id == error.get("dag_id") and run.error:
            cause = dict(run.error)
    if not uow.executions.move(execution, ExecutionStatus.FAILED, ended_at=utcnow(), error=cause):
        return False
    active = [run for run in runs if run.status in ACTIVE_RUNS and run.dag_id == cause.get("dag_id")]
    for run in active[:1]:
        end_run(uow, task, run, RunStatus.FAILED, error=run.error or cause)
    _end_others(uow, task, runs)
    reason = describe(cause)
    uow.tasks.move(task, TaskStatus.FAILED, status_reason=reason)
    uow.record(task_event("failed", task, "airflow", execution, error=cause))
    return True


def cancel(uow: UnitOfWork, task: Task, execution: Execution) -> bool:
    """End an execution as cancelled: what ran is cancelled, what never began is skipped."""
    if not uow.executions.move(execution, ExecutionStatus.CANCELLED, ended_at=utcnow()):
        return False
    _end_others(uow, task, uow.runs.of_execution(execution.id))
    actor = execution.stop_requested_by or "airflow"
    uow.tasks.move(task, TaskStatus.CANCELLED, status_reason=f"stopped by {actor}")
    uow.record(task_event("cancelled", task, actor, execution))
    return True


def _end_others(uow: UnitOfWork, task: Task, runs: Sequence[WorkflowRun]) -> None:
    for run in runs:
        if run.status in ACTIVE_RUNS:
            unstarted = run.status is RunStatus.QUEUED
            end_run(uow, task, run, RunStatus.SKIPPED if unstarted else RunStatus.CANCELLED)


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
    uow: UnitOfWork, task: Task | None, execution: Execution | None, run: WorkflowRun, error: Json
) -> None:
    """Write what went wrong inside a run, also after the end has been reported without a cause.

    The first cause counts; what a later one knows besides (the end of the log) is added to it.
    """
    known = run.error or {}
    run.error = _completed(known, error) if known.get("task_id") else error
    if run.error == known or task is None or execution is None:
        return
    if execution.status is not ExecutionStatus.FAILED:
        return
    reported = execution.error or {}
    if reported.get("dag_id") not in {None, run.dag_id}:
        return
    execution.error = _completed(reported, run.error) if reported.get("task_id") else run.error
    if execution.error != reported:
        if task.last_execution_id == execution.id and task.status is TaskStatus.FAILED:
            task.status_reason = describe(execution.error)
        uow.record(task_event("updated", task, "airflow", execution, error=execution.error))


def _completed(first: Json, later: Json) -> Json:
    """Return an error with what a later report knows besides."""
    return {**later, **{name: value for name, value in first.items() if value is not None}}


def describe(error: Mapping[str, Any]) -> str:
    """Return an error as one sentence for people."""
    where = error.get("dag_id") or "the chain"
    if error.get("task_id"):
        where += f", task {error['task_id']}"
    return f"{where}: {error.get('message') or 'failed'}"
