"""What the stack's user does and sees: keeps sample datasets and a task, executes it, watches."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Protocol

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

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
    with _bars() if sys.stdout.isatty() else _lines(narrator) as view:
        while True:
            with suppress(NoAnswer):  # a busy machine; were the server dead, the supervisor would say so
                standing = client.get(f"tasks/{task_id}/status")
                for run in standing["workflow_runs"]:
                    view.show(run)
                if standing["overall_status"] not in {"pending", "running"}:
                    return standing
            supervisor.pause(POLL)


class _View(Protocol):
    def show(self, run: Json) -> None:
        """Show how a DAG run of the chain stands."""


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[str, TaskID] = {}

    def show(self, run: Json) -> None:
        done, total, message = (run["progress"][key] for key in ("done", "total", "message"))
        if run["id"] not in self._bars:
            self._bars[run["id"]] = self._progress.add_task(run["dag_id"], start=False, status="", message="")
        bar = self._bars[run["id"]]
        if run["start_date"] and not self._progress.tasks[bar].started:
            self._progress.start_task(bar)
        self._progress.update(bar, completed=done, total=total or None, status=run["status"], message=message)
        if run["end_date"]:
            self._progress.stop_task(bar)


@contextmanager
def _bars() -> Iterator[_View]:
    columns = (
        TextColumn("          {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console()) as progress:
        yield _Bars(progress)


class _Lines:
    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self._said: dict[str, str] = {}

    def show(self, run: Json) -> None:
        line = (
            f"{run['dag_id']}: {run['status']}, {run['progress']['done']} of {run['progress']['total']} done"
        )
        if self._said.get(run["id"]) != line:
            self._said[run["id"]] = line
            self._narrator.say(line)


@contextmanager
def _lines(narrator: Narrator) -> Iterator[_View]:
    yield _Lines(narrator)


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
