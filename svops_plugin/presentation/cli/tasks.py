"""``svops task``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from svops_plugin.application.ports import Query
from svops_plugin.bootstrap import services
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.domain.states import TaskStatus


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
@click.option("--out", "log_out_path", required=True, type=click.Path(path_type=Path, resolve_path=True))
@click.option("--build-config", help="A preset: release, debug, test-config-e2e or one of your own.")
@click.option("--custom-conf", type=JsonObject(), help='As in {"estimator": "svc", "params": {"C": 10}}.')
@click.option("--video", "video_out_path", type=click.Path(path_type=Path, resolve_path=True))
@click.option("--tag", "tags", multiple=True)
def create(
    name: str,
    dataset_id: int,
    customer: str,
    log_out_path: Path,
    build_config: str | None,
    custom_conf: dict[str, Any] | None,
    video_out_path: Path | None,
    tags: tuple[str, ...],
) -> None:
    """Keep a new task NAME and show its id."""
    made = services().tasks.create(
        OPERATOR,
        {
            "name": name,
            "dataset_id": dataset_id,
            "customer": customer,
            "log_out_path": str(log_out_path),
            "build_config": build_config,
            "build_config_customized": custom_conf is not None,
            "build_config_custom_conf": custom_conf or {},
            "video_out_enabled": video_out_path is not None,
            "video_out_path": str(video_out_path or ""),
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
