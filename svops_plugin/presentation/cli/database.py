"""``svops db``: the schema of SVOps' own database."""

from __future__ import annotations

import logging

import click

from svops_plugin.bootstrap import schema, services


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
