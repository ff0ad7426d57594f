"""The one place where events get their fields."""

from __future__ import annotations

import json

from svops_plugin.application.event_ports import Message, Recorded
from svops_plugin.application.leases import this_process
from svops_plugin.application.ports import Account
from svops_plugin.domain.entities import Dataset, Event, Execution, Json, Task, Workflow, WorkflowRun
from svops_plugin.domain.errors import SVOpsError
from svops_plugin.domain.failures import storable
from svops_plugin.domain.notifications import (
    REQUESTED,
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
)
from svops_plugin.domain.permissions import Actor

# Whose reading an event asks for, by what it is about; all others are for everybody who may read events.
READ_AS = {"user": "user", "notification": "notification", "webhook": "notification"}
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


def user_event(verb: str, account: Account, actor: Actor, **data: object) -> Event:
    """Tell what was done to a user, by whom and from where; only they and administrators read it."""
    return Event(
        type=f"user.{verb}",
        user_id=account.id,
        actor=actor.username,
        data={"username": account.username, "address": actor.address, **data},
    )


def workflow_event(verb: str, workflow: Workflow, actor: Actor, **data: object) -> Event:
    """Tell that a workflow was registered or changed, by whom and from where."""
    return Event(
        type=f"workflow.{verb}",
        workflow_id=workflow.id,
        user_id=workflow.created_by_id,
        actor=actor.username,
        data={"name": workflow.name, "dag_id": workflow.dag_id, "address": actor.address, **data},
    )


def run_event(
    verb: str, run: WorkflowRun, owner_id: int | None, actor: str = "airflow", **data: object
) -> Event:
    """Tell what happened to a DAG run of a workflow."""
    told: Json = {
        "dag_id": run.dag_id,
        "dag_run_id": run.dag_run_id,
        "status": run.status.value,
        "position": run.position,
        "progress": {"done": run.progress_done, "total": run.progress_total, "message": run.message},
        **data,
    }
    if run.error:
        told["error"] = run.error
    return Event(
        type=f"workflow.{verb}",
        task_id=run.configuration.get("task_id"),
        execution_id=run.execution_id,
        workflow_id=run.workflow_id,
        run_id=run.id,
        user_id=owner_id,
        actor=actor,
        data=told,
    )


def notification_event(verb: str, config: NotificationConfig, actor: Actor, **data: object) -> Event:
    """Tell what was done to a configuration of notifications, by whom and from where."""
    return Event(
        type=f"notification.{verb}",
        user_id=config.created_by_id,
        actor=actor.username,
        data={"name": config.name, "channel": config.channel, "address": actor.address, **data},
    )


def delivery_event(config: NotificationConfig, delivery: NotificationDelivery) -> Event:
    """Tell that a notification was delivered, or given up."""
    sent = delivery.status is DeliveryStatus.DELIVERED
    return Event(
        type="notification.sent" if sent else "notification.failed",
        user_id=config.created_by_id,
        actor="svops",
        data={
            "name": config.name,
            "channel": config.channel,
            "event_id": delivery.event_id,
            **({} if sent else {"message": delivery.last_error or ""}),
        },
    )


def requested_event(
    name: str, title: str, message: str, actor: str, log_url: str | None = None, *, test: bool = False
) -> Event:
    """Ask for a notification through the configuration of this name."""
    data: Json = {"name": name, "title": title, "message": message, "log_url": log_url}
    if test:
        data["test"] = True
    return Event(type=REQUESTED, actor=actor, data=data)


def webhook_event(config: NotificationConfig, payload: Json) -> Event:
    """Tell what an outside system has sent."""
    return Event(
        type="webhook.received",
        user_id=config.created_by_id,
        actor=config.name,
        data={"source": config.name, "payload": payload},
    )


def system_event(component: str, defect: Exception) -> Event:
    """Tell that a part of SVOps has ended in this process, and why.

    Every reader of events is told. So of what is not one of SVOps' own refusals, whose words are made for
    people, no more than its kind is: the words of others can hold whatever they were about.
    """
    kind = type(defect).__name__
    why = storable(f"{kind}: {defect}") if isinstance(defect, SVOpsError) else kind
    told = f"It has ended; restart the server of process {this_process()}, whose log has more: {why}"
    return Event(type="system.error", actor="svops", data={"component": component, "message": told})


def is_for_all(event: Recorded) -> bool:
    """Tell whether everybody who may read events may read this one."""
    return _kind(event) not in READ_AS


def may_read(actor: Actor, event: Recorded) -> bool:
    """Tell whether somebody may read an event; who it belongs to always may."""
    resource = READ_AS.get(_kind(event), "event")
    return actor.may(resource, "read") or (event.user_id is not None and event.user_id == actor.user_id)


def unreadable_kinds(actor: Actor) -> list[str]:
    """Return how the types of those events begin that somebody may not read unless they are their own."""
    return [kind for kind, resource in READ_AS.items() if not actor.may(resource, "read")]


def sees_addresses(actor: Actor) -> bool:
    """Tell whether somebody may know from which network addresses others write: who may read users."""
    return actor.may("user", "read")


def without_address(data: Json) -> Json:
    """Return what an event tells, without the address that it was done from."""
    return {**data, "address": None} if data.get("address") is not None else data


def told_to(actor: Actor, event: Recorded) -> Recorded:
    """Return an event as somebody who may read it may see it."""
    return event if sees_addresses(actor) else event._replace(data=without_address(event.data))


def _kind(event: Recorded) -> str:
    return event.type.partition(".")[0]


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
    """Return an event as a frame."""
    return _encoder.encode(wire(event))


def message(event: Recorded) -> Message:
    """Return an event with the frames that its readers get, each encoded once."""
    text = encode(event)
    discreet = without_address(event.data)
    return Message(event, text, text if discreet is event.data else encode(event._replace(data=discreet)))
