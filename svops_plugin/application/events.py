"""The one place where events get their fields."""

from __future__ import annotations

import json

from svops_plugin.application.event_ports import Recorded
from svops_plugin.domain.entities import Dataset, Event, Execution, Json, Task, WorkflowRun
from svops_plugin.domain.permissions import Actor

_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


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


def may_read(actor: Actor, event: Recorded) -> bool:
    """Tell whether somebody may read an event: those about users are for administrators and the user."""
    resource = "user" if event.type.startswith("user.") else "event"
    return actor.may(resource, "read") or (event.user_id is not None and event.user_id == actor.user_id)


def wire(event: Recorded) -> Json:
    """Return an event in the words of the wire contract."""
    return {
        "id": event.id,
        "type": event.type,
        "workflow_id": None if event.workflow_id is None else f"wf_{event.workflow_id}",
        "run_id": None if event.run_id is None else f"run_{event.run_id}",
        "task_id": event.task_id,
        "execution_id": event.execution_id,
        "user_id": event.user_id,
        "actor": event.actor,
        "timestamp": event.created_at.isoformat(),
        "data": event.data,
    }


def encode(event: Recorded) -> str:
    """Return an event as the frame that every reader gets."""
    return _encoder.encode(wire(event))
