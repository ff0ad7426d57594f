"""Live progress of a chain's DAG runs: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

Show = Callable[[dict[str, Any]], None]


@contextmanager
def view(say: Callable[[str], None]) -> Iterator[Show]:
    """Give a function that shows how a run of the chain stands, as REST describes it.

    :param say: writes a line, where there is no terminal
    """
    if not sys.stdout.isatty():
        yield _lines(say)
        return
    columns = (
        TextColumn("          {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[status]}"),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
    )
    with Progress(*columns, console=Console()) as progress:
        yield _bars(progress)


def _bars(progress: Progress) -> Show:
    bars: dict[str, TaskID] = {}

    def show(run: dict[str, Any]) -> None:
        done, total, message = (run["progress"][key] for key in ("done", "total", "message"))
        if run["id"] not in bars:
            bars[run["id"]] = progress.add_task(run["dag_id"], start=False, status="", message="")
        bar = bars[run["id"]]
        if run["start_date"] and not progress.tasks[bar].started:
            progress.start_task(bar)
        progress.update(bar, completed=done, total=total or None, status=run["status"], message=message)
        if run["end_date"]:
            progress.stop_task(bar)

    return show


def _lines(say: Callable[[str], None]) -> Show:
    said: dict[str, str] = {}

    def show(run: dict[str, Any]) -> None:
        done, total = run["progress"]["done"], run["progress"]["total"]
        how_far = f", {done} of {total} done" if total and run["start_date"] else ""
        line = f"{run['dag_id']}: {run['status']}{how_far}"
        if said.get(run["id"]) != line:
            said[run["id"]] = line
            say(line)

    return show
