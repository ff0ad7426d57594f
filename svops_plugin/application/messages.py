"""What a notification says: what happened, to which task, why, and where to look."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from svops_plugin.application.event_ports import Recorded
from svops_plugin.application.events import wire
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.application.notification_ports import Notice
from svops_plugin.application.ports import UnitOfWork
from svops_plugin.domain.entities import Json
from svops_plugin.domain.notifications import REQUESTED

LONGEST_TITLE, LONGEST_FACT = 200, 1000
HAPPENED = {
    "workflow.started": "{dag_id} has started",
    "workflow.completed": "{dag_id} has completed",
    "workflow.failed": "{dag_id} has failed",
    "workflow.stopped": "{dag_id} was stopped",
    "task.completed": "Task {task} has completed",
    "task.failed": "Task {task} has failed",
    "task.cancelled": "Task {task} was cancelled",
    "system.error": "SVOps has a problem in {component}",
    REQUESTED: "{title}",
}
RunUrl = Callable[[str, str], str]


@dataclass(frozen=True)
class Writer:
    """Words events for people and for programs.

    :param run_url: returns the address of a DAG run's page in Airflow
    :param task_url: returns that of a task's page
    """

    run_url: RunUrl
    task_url: Callable[[int], str]

    def write(self, uow: UnitOfWork, event: Recorded) -> tuple[Notice, str]:
        """Return an event as people are told it, and as JSON for programs: the event with its links."""
        task = uow.tasks.get(event.task_id) if event.task_id else None
        known = {"task": f"{event.task_id} ({task.name if task else event.data.get('name', '')})"}
        words = {"dag_id": "", "component": "", "title": "", **event.data, **known}
        links = self._links(uow, event)
        notice = Notice(
            title=_line(HAPPENED[event.type].format_map(words), LONGEST_TITLE),
            failed=event.type.endswith((".failed", ".error")),
            facts=[
                (label, _line(value, LONGEST_FACT)) for label, value in _facts(event, known["task"]) if value
            ],
            links=[(label.title(), url) for label, url in links.items()],
        )
        return notice, json.dumps({**wire(event), "links": links}, ensure_ascii=False)

    def _links(self, uow: UnitOfWork, event: Recorded) -> Json:
        """Return the addresses to look at; a server that does not know its own has none."""
        found = {"log": _error(event).get("log_url") or event.data.get("log_url")}
        execution = uow.executions.get(event.execution_id) if event.execution_id else None
        if event.task_id is not None:
            found["page"] = self.task_url(event.task_id)
        if "dag_run_id" in event.data:
            found["run"] = self.run_url(event.data["dag_id"], event.data["dag_run_id"])
        elif execution is not None:
            found["run"] = self.run_url(CONTROLLER, execution.controller_run_id)
        return {label: url for label, url in sorted(found.items()) if url and url.startswith("http")}


def _facts(event: Recorded, task: str) -> Iterator[tuple[str, str]]:
    """Return what is told beside the title."""
    data, error = event.data, _error(event)
    if event.task_id and not event.type.startswith("task."):
        yield "Task", task
    yield "Customer", data.get("customer") or ""
    if error:
        where = "/".join(error[key] for key in ("dag_id", "task_id") if error.get(key))
        yield "Failed in", where
        yield "Because", error.get("message", "")
    else:
        yield "Message", data.get("message") or ""
    source = [data[name] for name in ("branch_name", "commit_id") if data.get(name)]
    yield "Source", " @ ".join(source)
    metrics = (data.get("result") or {}).get("metrics") or {}
    yield "Metrics", ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items()))
    if "attempt" in data:
        yield "Attempt", str(data["attempt"])
    yield "By", event.actor
    yield "When", event.created_at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _error(event: Recorded) -> Json:
    error = event.data.get("error")
    return error if isinstance(error, dict) else {}


def _line(words: str, longest: int) -> str:
    """Return words on one line, which cannot become a header of its own, and not endless."""
    line = " ".join(str(words).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"
