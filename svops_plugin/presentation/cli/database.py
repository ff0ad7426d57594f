"""``svops db``: the schema of SVOps' own database."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

import click

from svops_plugin.application.housekeeping_ports import TABLES
from svops_plugin.bootstrap import schema, services


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in recent versions of click only
    """A date or a time; in UTC unless it says otherwise."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the time."""
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(
                f"{value!r} is no time; they look like 2026-01-31 or 2026-01-31T12:00:00+01:00", param, ctx
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


@click.group("db")
def database() -> None:
    """Look at and upgrade the schema of SVOps' database."""
    logging.getLogger("alembic").setLevel(logging.WARNING)


@database.command()
def upgrade() -> None:
    """Bring the schema to what this version needs; data are kept."""
    before = schema.current(services().engine)
    schema.upgrade(services().engine)
    click.echo(f"SVOps' database: {before or '(empty)'} -> {schema.HEAD}")


@database.command()
def current() -> None:
    """Show the schema's revision, and the one that this version needs; exit status 1 if they differ."""
    present, needed = schema.current(services().engine), schema.HEAD
    click.echo(f"{present or '(empty)'} (this version needs {needed})")
    if present != needed:
        raise click.ClickException("run: svops db upgrade")


@database.command()
@click.option("--before", type=Moment(), required=True, help="Delete what is older, as in 2026-01-31.")
@click.option("--tables", help=f"Of these tables only, separated by commas: {', '.join(TABLES)}.")
@click.option("--dry-run", is_flag=True, help="Show how much that is, and delete nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def clean(*, before: datetime, tables: str | None, dry_run: bool, yes: bool) -> None:
    """Delete what is old: rows, and the files of executions and of runs outside chains.

    What is under way stays, and so do each task's last execution and the newest event. Deletes few rows at a
    time, so that nobody has to wait; after an interruption, the same command goes on.
    """
    keeper = services().housekeeper
    names = TABLES if tables is None else [name.strip() for name in tables.split(",") if name.strip()]
    old = keeper.count(before, names)
    for table, rows in old.items():
        click.echo(f"svops_{table}: {rows} rows before {before.isoformat()}")
    if dry_run or not any(old.values()):
        return
    if not yes:
        click.confirm("Delete them?", abort=True)
    kept = []
    for table, cleaned in keeper.clean(before, names):
        click.echo(f"svops_{table}: {cleaned.rows} deleted")
        kept += cleaned.kept
    for reason in kept:
        click.echo(reason, err=True)
    if kept:
        raise click.ClickException(f"{len(kept)} rows stay, because their files do.")
