"""``svops events``."""

from __future__ import annotations

import time
from typing import Any

import click

from svops_plugin.application.event_ports import Recorded, Topic
from svops_plugin.application.events import encode
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import number_of
from svops_plugin.domain.permissions import OPERATOR

PAGE = 1000
POLL = 0.5


class Id(click.ParamType):  # type: ignore[type-arg]  # generic in recent versions of click only
    """An id that a database may have.

    :param prefix: what ids of this kind begin with, as ``wf_``; the bare number is good too
    """

    name = "id"

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        found = number_of(str(value), self._prefix)
        if found is None:
            self.fail(f"{str(value)[:40]!r} is no id; they look like {self._prefix}1", param, ctx)
        return found


@click.command()
@click.option("--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "--since",
    type=click.IntRange(0),
    help="Begin after this event; by default at the beginning, with --follow at what happens now.",
)
@click.option("--user", "user_id", type=Id(), help="Only events of this user's things, by their id.")
@click.option("--workflow", "workflow_id", type=Id("wf_"), help="Only events of this workflow.")
@click.option("--task", "task_id", type=Id(), help="Only events of this task.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON per event, as over the WebSocket.")
def events(
    *,
    follow: bool,
    since: int | None,
    user_id: int | None,
    workflow_id: int | None,
    task_id: int | None,
    as_json: bool,
) -> None:
    """Show what happened.

    Reads the database directly, so it needs no API server and nobody's token.
    """
    log = services().events
    topic = Topic(user_id=user_id, workflow_id=workflow_id, task_id=task_id)
    position = since if since is not None else (log.newest() if follow else 0)
    while True:
        found = log.after(OPERATOR, position, PAGE, topic)
        if found.resync:
            click.echo("Events before these are not kept any more.", err=True)
        for event in found.events:
            click.echo(encode(event) if as_json else line(event))
        position = found.last_event_id
        if found.complete:
            if not follow:
                return
            time.sleep(POLL)


def line(event: Recorded) -> str:
    """Return an event as a line for people."""
    about = {
        "task": event.task_id,
        "execution": event.execution_id,
        "workflow": event.workflow_id and f"wf_{event.workflow_id}",
        "run": event.run_id and f"run_{event.run_id}",
    }
    named = " ".join(f"{name}={value}" for name, value in about.items() if value)
    status = event.data.get("status", "")
    return f"{event.id} {event.created_at:%Y-%m-%d %H:%M:%S} {event.type} {named} {status} by {event.actor}"
