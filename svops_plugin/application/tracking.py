"""What a running pipeline tells: that it has begun, how far it is, what it measured, left and learnt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svops_plugin.application import alone, chain
from svops_plugin.application.events import dataset_event, run_event
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.domain.entities import Artifact, Execution, Json, Metric, Task, WorkflowRun
from svops_plugin.domain.errors import Conflict, NotFound
from svops_plugin.domain.failures import storable
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus, RunStatus

PROGRESS_INTERVAL = 0.5


class RunTracker:
    """Keeps what the pipeline of one DAG run reports; each report is one transaction.

    The run is known by Airflow's names, which only SVOps has given it, and never by what its conf says.

    :param goes_on_from: the DAG whose outputs this one needs, should it run alone; none if it needs none
    """

    def __init__(
        self, transactions: Transactions, dag_id: str, dag_run_id: str, goes_on_from: str | None = None
    ) -> None:
        self._transactions = transactions
        self._dag_id = dag_id
        self._dag_run_id = dag_run_id
        self._goes_on_from = goes_on_from
        self._last_progress = 0.0

    def begin(self) -> Json:
        """Record that the run has begun, and return what its pipeline is told, in a chain and alone.

        :raises NotFound: if SVOps knows no such run
        :raises Conflict: if it has ended: what was left is not written over. Also if it is alone and what it
            goes on from is not there
        :raises InvalidInput: if it is alone and names no task, or there is no dataset
        """
        with self._transactions() as uow:
            task, execution, run = self._held(uow)
            _refuse_ended(execution, run)
            if execution is None and run.snapshot is None:
                run.snapshot = alone.snapshot(uow, run, self._goes_on_from)
                run.dataset_id = run.snapshot["dataset"]["id"]
            chain.start_run(uow, task, run, None)
            return _told(execution, run)

    def log_metric(self, name: str, value: float, step: int | None) -> None:
        """Keep a number."""
        with self._transactions() as uow:
            run = self._found(uow)
            uow.tracking.save_metric(
                Metric(
                    execution_id=run.execution_id,
                    workflow_run_id=run.id,
                    name=name,
                    value=value,
                    step=step,
                )
            )

    def log_artifact(self, path: Path, name: str, media_type: str) -> None:
        """Keep where a file is, and its size."""
        with self._transactions() as uow:
            run = self._found(uow)
            uow.tracking.save_artifact(
                Artifact(
                    execution_id=run.execution_id,
                    workflow_run_id=run.id,
                    name=name,
                    path=str(path),
                    media_type=media_type,
                    size=path.stat().st_size,
                )
            )

    def progress(self, done: int, total: int, message: str) -> None:
        """Say how far the running task is; of reports in quick succession some are left out, not the last."""
        now = time.monotonic()
        if done < total and now - self._last_progress < PROGRESS_INTERVAL:
            return
        self._last_progress = now
        with self._transactions() as uow:
            task, _, run = self._held(uow)
            if run.status is RunStatus.RUNNING:
                run.message = storable(f"{message} ({done}/{total})" if message else f"{done}/{total}")
                uow.record(run_event("progress", run, chain.owner_id(uow, task, run)))

    def dataset_profile(self, profile: Mapping[str, Any], fingerprint: str) -> None:
        """Keep what the dataset was found to hold, unless it is another dataset's turn by now."""
        with self._transactions() as uow:
            _, execution, run = self._held(uow)
            if execution is not None:
                snapshot = execution.dataset_snapshot
                execution.dataset_snapshot = {**snapshot, "fingerprint": fingerprint}
            else:
                told = run.snapshot or {}
                snapshot = told["dataset"]
                run.snapshot = {**told, "dataset": {**snapshot, "fingerprint": fingerprint}}
            dataset = uow.datasets.lock(snapshot["id"])
            if dataset is not None and (dataset.path, dataset.gt_path) == (
                snapshot["path"],
                snapshot["gt_path"],
            ):
                dataset.profile, dataset.fingerprint = dict(profile), fingerprint
                uow.record(dataset_event("updated", dataset, "airflow", changed=["profile", "fingerprint"]))

    def cause(self, error: Json) -> None:
        """Keep what went wrong inside the run; the first cause counts."""
        with self._transactions() as uow:
            task, execution, run = self._held(uow)
            chain.add_cause(uow, task, execution, run, error)

    def _held(self, uow: UnitOfWork) -> tuple[Task | None, Execution | None, WorkflowRun]:
        """Return the run, held, with its execution, held too, if it is a step of a chain.

        Its task is held with an execution, and else there if it names one that still exists.
        """
        found = self._found(uow)
        task_id = found.configuration.get("task_id") or 0
        if found.execution_id is None:
            task, execution = uow.tasks.get(task_id), None
        else:
            task, execution = uow.tasks.lock(task_id), uow.executions.lock(found.execution_id)
        run = uow.runs.lock(found.id)
        if run is None or (found.execution_id is not None and (task is None or execution is None)):
            raise NotFound(f"Run run_{found.id} is gone; was its task deleted?")
        return task, execution, run

    def _found(self, uow: UnitOfWork) -> WorkflowRun:
        run = uow.runs.of_dag_run(self._dag_id, self._dag_run_id)
        if run is None:
            raise NotFound(
                f"SVOps knows no run {self._dag_run_id} of {self._dag_id}: its task was deleted, or it was "
                "not started through SVOps; execute a task, or run the DAG's workflow with a task_id."
            )
        return run


def _refuse_ended(execution: Execution | None, run: WorkflowRun) -> None:
    if execution is None:
        if run.status not in ACTIVE_RUNS or run.stop_requested_at is not None:
            raise Conflict(
                f"Run run_{run.id} has ended ({run.status}), clearing it changes nothing: "
                f"run workflow wf_{run.workflow_id} again."
            )
    elif execution.status is not ExecutionStatus.RUNNING or execution.stop_requested_at is not None:
        raise Conflict(
            f"Execution {execution.id} has ended ({execution.status}), clearing a run of it changes "
            f"nothing: retry task {execution.task_id}, or clear the controller's run."
        )


def _told(execution: Execution | None, run: WorkflowRun) -> Json:
    """Return what a pipeline is told, as JSON values; see :class:`svops_plugin.pipelines.run.PipelineRun`."""
    if execution is not None:
        task, dataset, reused_from = execution.task_snapshot, execution.dataset_snapshot, None
        output = execution.output_path
    else:
        snapshot = run.snapshot or {}
        task, dataset, reused_from = (snapshot[name] for name in ("task", "dataset", "reused_from"))
        output = alone.output_path(run, snapshot)
    return {
        "execution_id": run.execution_id,
        "workflow_run_id": run.id,
        "task_id": run.configuration["task_id"],
        "attempt": execution.attempt if execution else None,
        "task_name": task["name"],
        "customer": task["customer"],
        "configuration": task,
        "dataset": dataset,
        "output": output,
        "video_output": task["video_out_path"],
        "reused_from": reused_from,
        "parameters": run.configuration["parameters"],
        "note": run.configuration["note"],
    }
