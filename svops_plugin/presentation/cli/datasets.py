"""``svops dataset``."""

from __future__ import annotations

import click
from rich.console import Console
from rich.table import Table

from svops_plugin.application.ports import Query
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import DataType
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.presentation.cli.places import Place


@click.group()
def dataset() -> None:
    """Keep datasets."""


@dataset.command()
@click.argument("name")
@click.argument("path", type=Place())
@click.option("--type", "data_type", type=click.Choice([kind.value for kind in DataType]), required=True)
@click.option("--gt", "gt_path", type=Place(), help="Ground truth.")
@click.option("--tag", "tags", multiple=True)
def create(name: str, path: str, data_type: str, gt_path: str | None, tags: tuple[str, ...]) -> None:
    """Register the dataset at PATH as NAME."""
    made = services().datasets.create(
        OPERATOR,
        {
            "name": name,
            "path": path,
            "data_type": DataType(data_type),
            "gt_path": gt_path,
            "tags": list(tags),
        },
    )
    click.echo(made.id)


@dataset.command("list")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
def index(limit: int) -> None:
    """Show the newest datasets."""
    page = services().datasets.page(OPERATOR, Query(limit=limit))
    table = Table("id", "name", "type", "path", title=f"{page.total} datasets")
    for item in page.items:
        table.add_row(str(item.id), item.name, item.data_type.value, item.path)
    Console().print(table)
