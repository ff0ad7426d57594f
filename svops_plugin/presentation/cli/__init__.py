"""The ``svops`` command."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import click

from svops_plugin import __version__
from svops_plugin.domain.errors import SVOpsError

COMMANDS = {
    "dags": "svops_plugin.presentation.cli.dags:dags",
    "dataset": "svops_plugin.presentation.cli.datasets:dataset",
    "db": "svops_plugin.presentation.cli.database:database",
    "demo": "svops_plugin.presentation.cli.stack.commands:demo",
    "doctor": "svops_plugin.presentation.cli.doctor:doctor",
    "events": "svops_plugin.presentation.cli.events:events",
    "init": "svops_plugin.presentation.cli.deployment:init",
    "openapi": "svops_plugin.presentation.cli.openapi:openapi",
    "reconcile": "svops_plugin.presentation.cli.reconcile:reconcile",
    "samples": "svops_plugin.presentation.cli.samples:samples",
    "secrets": "svops_plugin.presentation.cli.deployment:make_secrets",
    "task": "svops_plugin.presentation.cli.tasks:task",
    "up": "svops_plugin.presentation.cli.stack.commands:up",
}
# Those that work with a deployment's databases. The others start processes of Airflow's, or need none.
IN_A_DEPLOYMENT = frozenset({"dataset", "db", "doctor", "events", "reconcile", "task"})


class LazyGroup(click.Group):
    """Imports a command when it is asked for: most need Airflow, which is slow to load, and some must not."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what SVOps refuses is a sentence and exit status 1."""
        try:
            return super().invoke(ctx)
        except SVOpsError as refusal:
            raise click.ClickException(str(refusal)) from refusal


@click.command(cls=LazyGroup)
@click.version_option(__version__, prog_name="svops")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Datasets, tasks and chains of ML data pipelines in Apache Airflow."""
    if ctx.invoked_subcommand in IN_A_DEPLOYMENT:
        from svops_plugin.bootstrap import stored_connections

        ctx.with_resource(stored_connections())
