"""What the stack's user does and sees: keeps sample datasets and a task, executes it, watches."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path

import click

from svops_plugin.presentation.cli.progress import view
from svops_plugin.presentation.cli.stack.client import Client, Json, NoAnswer, Refused
from svops_plugin.presentation.cli.stack.environment import Home
from svops_plugin.presentation.cli.stack.supervisor import TAIL, StackError, Supervisor

POLL = 0.5
DATA_TYPE = "Jetson"
TASK_NAME = "Sample: recognise handwritten digits"


class Narrator:
    """Tells what happens, with the seconds since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._start

    def say(self, message: str) -> None:
        """Tell one thing."""
        click.echo(f"{self.seconds:6.1f} s  {message}")


def keep_task(client: Client, datasets: Sequence[Json], output: Path) -> int:
    """Keep the sample datasets and a task for one of them, unless they are kept already; return its id."""
    kept = {
        one["data_type"]: client.find("datasets", one["name"]) or client.post("datasets", one)
        for one in datasets
    }
    task = client.find("tasks", TASK_NAME) or client.post(
        "tasks",
        {
            "name": TASK_NAME,
            "customer": "sample",
            "description": "Made by the local stack, to be executed, changed and cloned.",
            "dataset_id": kept[DATA_TYPE]["id"],
            "build_config": "release",
            "log_out_path": str(output),
            "video_out_enabled": True,
            "video_out_path": str(output / "video"),
        },
    )
    return int(task["id"])


def execute(client: Client, task_id: int) -> None:
    """Execute the task, unless it is running from before."""
    try:
        client.post(f"tasks/{task_id}/execute", {"note": "Started by the local stack."})
    except Refused as refusal:
        if refusal.status != HTTPStatus.CONFLICT or client.get(f"tasks/{task_id}")["status"] != "running":
            raise


def watch(client: Client, supervisor: Supervisor, narrator: Narrator, task_id: int) -> Json:
    """Show the chain's progress until its end; return the task's status then."""
    with view(narrator.say) as show:
        while True:
            with suppress(NoAnswer):  # a busy machine; were the server dead, the supervisor would say so
                standing = client.get(f"tasks/{task_id}/status")
                for run in standing["workflow_runs"]:
                    show(run)
                if standing["overall_status"] not in {"pending", "running"}:
                    return standing
            supervisor.pause(POLL)


def failure(standing: Json, home: Home) -> StackError:
    """Return the error that tells why a chain has not completed, with the end of the failed task's log."""
    error = standing["error"] or {}
    dag_id, task_id = error.get("dag_id"), error.get("task_id")
    place = f" in {dag_id}, task {task_id}" if task_id else f" in {dag_id}" if dag_id else ""
    message = f"The task has {standing['task_status']}{place}: {error.get('message', 'no reason is known')}"
    logs = home.airflow.glob(f"logs/dag_id={dag_id}/run_id=*/task_id={task_id}/attempt=*.log")
    newest = max(logs, key=lambda log: log.stat().st_mtime, default=None)
    if newest is not None:
        message += "\nThe end of its log:\n" + "\n".join(_log_lines(newest)[-TAIL:])
    return StackError(message)


def _log_lines(log: Path) -> list[str]:
    """Return the messages of a task log, which has a JSON object in each line."""
    lines = []
    for line in log.read_text(errors="replace").splitlines():
        try:
            lines.append(f"    {json.loads(line)['event']}")
        except (ValueError, KeyError, TypeError):
            lines.append(f"    {line}")
    return lines
