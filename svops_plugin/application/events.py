"""The one place where events get their fields."""

from __future__ import annotations

from svops_plugin.domain.entities import Dataset, Event, Execution, Json, Task, WorkflowRun


def dataset_event(verb: str, dataset: Dataset, actor: str, **data: object) -> Event:
    """Tell that a dataset was created, updated or deleted."""
    return Event(
        type=f"dataset.{verb}",
        user_id=dataset.created_by_id,
        actor=actor,
        data={"dataset_id": dataset.id, "name": dataset.name, **data},
    )


def task_event(
    verb: str, task: Task, actor: str, execution: Execution | None = None, **data: object
) -> Event:
    """Tell what happened to a task, with its provenance."""
    return Event(
        type=f"task.{verb}",
        task_id=task.id,
        execution_id=execution.id if execution else None,
        user_id=task.created_by_id,
        actor=actor,
        data={
            "name": task.name,
            "status": task.status.value,
            "customer": task.customer,
            "branch_name": task.branch_name,
            "commit_id": task.commit_id,
            **({"attempt": execution.attempt} if execution else {}),
            **data,
        },
    )


def run_event(verb: str, run: WorkflowRun, owner_id: int | None, actor: str = "airflow") -> Event:
    """Tell what happened to a DAG run of a workflow."""
    data: Json = {
        "dag_id": run.dag_id,
        "dag_run_id": run.dag_run_id,
        "status": run.status.value,
        "position": run.position,
        "progress": {"done": run.progress_done, "total": run.progress_total, "message": run.message},
    }
    if run.error:
        data["error"] = run.error
    return Event(
        type=f"workflow.{verb}",
        task_id=run.configuration.get("task_id"),
        execution_id=run.execution_id,
        workflow_id=run.workflow_id,
        run_id=run.id,
        user_id=owner_id,
        actor=actor,
        data=data,
    )
