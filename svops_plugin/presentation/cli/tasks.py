"""``svops task``."""

from __future__ import annotations

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from svops_plugin.application.chain import describe
from svops_plugin.application.event_ports import Topic
from svops_plugin.application.ports import Query
from svops_plugin.bootstrap import services
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.domain.states import TaskStatus
from svops_plugin.presentation.cli.places import Place
from svops_plugin.presentation.cli.progress import view
from svops_plugin.presentation.rest.run_schemas import dump_standing, dump_started

POLL = 0.5
PAGE = 1000


class JsonObject(click.ParamType):  # type: ignore[type-arg]  # generic in recent versions of click only
    """A JSON object as an option's value."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        """Return the object."""
        try:
            loaded = json.loads(value) if isinstance(value, str) else value
        except json.JSONDecodeError as error:
            self.fail(f"not JSON: {error}", param, ctx)
        if not isinstance(loaded, dict):
            self.fail("a JSON object is expected", param, ctx)
        return loaded


@click.group()
def task() -> None:
    """Keep and execute tasks."""


@task.command()
@click.argument("name")
@click.option("--dataset", "dataset_id", type=int, required=True, help="The dataset's id.")
@click.option("--customer", required=True)
@click.option("--out", "log_out_path", required=True, type=Place())
@click.option("--build-config", help="A preset: release, debug, test-config-e2e or one of your own.")
@click.option("--custom-conf", type=JsonObject(), help='As in {"estimator": "svc", "params": {"C": 10}}.')
@click.option("--video", "video_out_path", type=Place())
@click.option("--tag", "tags", multiple=True)
def create(
    *,
    name: str,
    dataset_id: int,
    customer: str,
    log_out_path: str,
    build_config: str | None,
    custom_conf: dict[str, Any] | None,
    video_out_path: str | None,
    tags: tuple[str, ...],
) -> None:
    """Keep a new task NAME and show its id."""
    made = services().tasks.create(
        OPERATOR,
        {
            "name": name,
            "dataset_id": dataset_id,
            "customer": customer,
            "log_out_path": log_out_path,
            "build_config": build_config,
            "build_config_customized": custom_conf is not None,
            "build_config_custom_conf": custom_conf or {},
            "video_out_enabled": video_out_path is not None,
            "video_out_path": video_out_path or "",
            "tags": list(tags),
        },
    )
    click.echo(made.id)


@task.command("list")
@click.option("--status", type=click.Choice([status.value for status in TaskStatus]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def index(status: str | None, limit: int) -> None:
    """Show the newest tasks."""
    filters = {"status": TaskStatus(status)} if status else {}
    page = services().tasks.page(OPERATOR, Query(limit=limit, filters=filters))
    table = Table("id", "name", "customer", "dataset", "status", "reason", title=f"{page.total} tasks")
    for item in page.items:
        table.add_row(
            str(item.id),
            item.name,
            item.customer,
            item.dataset.name if item.dataset else "",
            item.status.value,
            item.status_reason or "",
        )
    Console().print(table)


@task.command()
@click.argument("task_id", type=int)
@click.option("--parameters", type=JsonObject(), help="Passed on to the pipelines.")
@click.option("--note", default="")
@click.option("--watch", is_flag=True, help="Show the progress and wait for the end.")
def execute(task_id: int, parameters: dict[str, Any] | None, note: str, watch: bool) -> None:
    """Run the chain for a task. With --watch the exit status is 0 only if it completes."""
    answer = services().executions.execute(OPERATOR, task_id, dump_started, parameters=parameters, note=note)
    click.echo(answer["message"])
    if watch:
        _watch(task_id)


@task.command()
@click.argument("task_id", type=int)
@click.option("--from", "origin", type=click.Choice(["failed", "start"]), default="failed", show_default=True)
@click.option("--watch", is_flag=True, help="Show the progress and wait for the end.")
def retry(task_id: int, origin: str, watch: bool) -> None:
    """Go on where the last execution failed or was stopped, or run every step again."""
    answer = services().executions.retry(OPERATOR, task_id, dump_started, from_start=origin == "start")
    click.echo(answer["message"])
    if watch:
        _watch(task_id)


@task.command()
@click.argument("task_id", type=int)
def stop(task_id: int) -> None:
    """End a running execution."""
    standing = services().executions.stop(OPERATOR, task_id)
    click.echo(f"Task {task_id}: {standing.task.status}")


@task.command()
@click.argument("task_id", type=int)
@click.option("--json", "as_json", is_flag=True, help="As REST answers it.")
def status(task_id: int, as_json: bool) -> None:
    """Show how a task and its newest execution stand; exit status 1 if that failed."""
    standing = dump_standing(services().executions.standing(OPERATOR, task_id))
    if as_json:
        click.echo(json.dumps(standing))
    else:
        with view(click.echo) as show:
            for run in standing["workflow_runs"]:
                show(run)
    _tell_outcome(standing)


def _watch(task_id: int) -> None:
    """Show the progress, at each event of the task, until the execution ends."""
    log, topic = services().events, Topic(task_id=task_id)
    position = log.newest()
    with view(click.echo) as show:
        while True:
            standing = dump_standing(services().executions.standing(OPERATOR, task_id))
            for run in standing["workflow_runs"]:
                show(run)
            if standing["overall_status"] != "running":
                break
            while not (news := log.after(OPERATOR, position, PAGE, topic)).events:
                position = news.last_event_id
                time.sleep(POLL)
            position = news.last_event_id
    _tell_outcome(standing)


def _tell_outcome(standing: dict[str, Any]) -> None:
    error, outcome = standing["error"], standing["overall_status"]
    click.echo(f"Task {standing['task_id']}: {outcome}")
    if outcome in {"failed", "cancelled"}:
        raise click.ClickException(describe(error) if error else f"the execution was {outcome}")
