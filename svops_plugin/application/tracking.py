"""What a running pipeline tells: that it has begun, how far it is, what it measured, left and learnt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svops_plugin.application import chain
from svops_plugin.application.events import dataset_event, run_event
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Artifact, Execution, Json, Metric, Task, WorkflowRun
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.failures import storable
from svops_plugin.domain.states import ExecutionStatus, RunStatus

PROGRESS_INTERVAL = 0.5


class RunTracker:
    """Keeps what the pipeline of one DAG run of a chain reports; each report is one transaction.

    :param conf: the DAG run's conf, where the chain's step has put ``execution_id`` and ``workflow_run_id``
    :raises InvalidInput: if it has not, as in a run that was not started by a chain
    """

    def __init__(self, transactions: Transactions, conf: Mapping[str, Any]) -> None:
        self._transactions = transactions
        try:
            self._execution_id = int(conf["execution_id"])
            self._run_id = int(conf["workflow_run_id"])
        except (KeyError, TypeError, ValueError):
            raise InvalidInput(
                "This DAG is a step of a chain; execute a task instead, or trigger svops_controller."
            ) from None
        self._last_progress = 0.0

    def begin(self) -> Execution:
        """Record that the run has begun, and return the execution it belongs to.

        :raises Conflict: if that has ended: what a chain left is not written over
        """
        with self._transactions() as uow:
            task, execution, run = self._held(uow)
            if execution.status is not ExecutionStatus.RUNNING or execution.stop_requested_at is not None:
                raise Conflict(
                    f"Execution {execution.id} has ended ({execution.status}), clearing a run of it changes "
                    f"nothing: retry task {task.id}, or clear the controller's run."
                )
            chain.start_run(uow, task, run, None)
            return execution

    def log_metric(self, name: str, value: float, step: int | None) -> None:
        """Keep a number."""
        with self._transactions() as uow:
            uow.tracking.save_metric(
                Metric(
                    execution_id=self._execution_id,
                    workflow_run_id=self._run_id,
                    name=name,
                    value=value,
                    step=step,
                )
            )

    def log_artifact(self, path: Path, name: str, media_type: str) -> None:
        """Keep where a file is, and its size."""
        with self._transactions() as uow:
            uow.tracking.save_artifact(
                Artifact(
                    execution_id=self._execution_id,
                    workflow_run_id=self._run_id,
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
                uow.record(run_event("progress", run, task.created_by_id))

    def dataset_profile(self, profile: Mapping[str, Any], fingerprint: str) -> None:
        """Keep what the dataset was found to hold, unless it is another dataset's turn by now."""
        with self._transactions() as uow:
            _, execution, _ = self._held(uow)
            snapshot = execution.dataset_snapshot
            execution.dataset_snapshot = {**snapshot, "fingerprint": fingerprint}
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

    def _held(self, uow: UnitOfWork) -> tuple[Task, Execution, WorkflowRun]:
        found = uow.executions.get(self._execution_id)
        if found is None:
            raise NotFound(f"Execution {self._execution_id} is gone; was its task deleted?")
        task = found_task(uow.tasks.lock(found.task_id), found.task_id)
        execution, run = uow.executions.lock(found.id), uow.runs.lock(self._run_id)
        if execution is None or run is None:
            raise NotFound(f"Run {self._run_id} is gone; was its task deleted?")
        return task, execution, run
