"""``svops reconcile``."""

from __future__ import annotations

import click

from svops_plugin.bootstrap import services


@click.command()
def reconcile() -> None:
    """Compare SVOps with Airflow once, as the monitor does all the time, and show what was changed."""
    monitor = services().monitor
    changes = monitor.discover() + monitor.tick()
    for change in changes:
        click.echo(change)
    click.echo(f"{len(changes)} changes")
