"""Every metric that SVOps tells, and what it means.

``docs/metrics.md`` says the same for people, and a test holds the two together. A state is part of a name, as
in Airflow's own metrics, since plain StatsD has no tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol


class Kind(str, Enum):
    """How a metric is to be read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    TIMER = "timer"


@dataclass(frozen=True)
class Metric:
    """A metric.

    :param unit: of what is told; a timer is told in seconds and sent in milliseconds
    :param meaning: a sentence for people
    :param tags: names of tags, for backends that have any
    """

    kind: Kind
    unit: str
    meaning: str
    tags: tuple[str, ...] = ()


def _counter(unit: str, meaning: str, *tags: str) -> Metric:
    return Metric(Kind.COUNTER, unit, meaning, tags)


def _gauge(unit: str, meaning: str) -> Metric:
    return Metric(Kind.GAUGE, unit, meaning)


def _timer(meaning: str, *tags: str) -> Metric:
    return Metric(Kind.TIMER, "seconds", meaning, tags)


METRICS: Mapping[str, Metric] = {
    "svops.executions.started": _counter("executions", "Tasks that were executed."),
    "svops.executions.completed": _counter("executions", "Executions that ended as completed."),
    "svops.executions.failed": _counter("executions", "Executions that ended as failed."),
    "svops.executions.cancelled": _counter("executions", "Executions that ended as cancelled."),
    "svops.executions.running": _gauge("executions", "Executions that have not ended."),
    "svops.executions.duration.completed": _timer("From the request to the end, of those completed."),
    "svops.executions.duration.failed": _timer("From the request to the end, of those failed."),
    "svops.executions.duration.cancelled": _timer("From the request to the end, of those cancelled."),
    "svops.chain.hop": _timer("From the end of a step's DAG run to the start of the next one's.", "dag_id"),
    "svops.monitor.repairs": _counter(
        "changes", "What the monitor wrote down because nobody else had reported it."
    ),
    "svops.monitor.tick": _timer("A look of the monitor at everything under way."),
    "svops.hub.processes": _gauge("processes", "Servers that hand on live events."),
    "svops.hub.lag": _gauge(
        "seconds",
        "The longest that an event of the last five seconds waited to be handed on, in the slowest server.",
    ),
    "svops.sockets.open": _gauge("sockets", "Open WebSockets of all servers."),
    "svops.deliveries.delivered": _counter("notifications", "Notifications that arrived."),
    "svops.deliveries.failed": _counter("notifications", "Notifications that were given up."),
    "svops.deliveries.pending": _gauge("notifications", "Notifications on their way or waiting."),
    "svops.housekeeping.deleted": _counter("rows", "Rows that were older than they are kept.", "table"),
}


class Tell(Protocol):
    """Tells the host's metrics a value: by how much a counter grows, a gauge's value, a timer's seconds."""

    def __call__(self, name: str, value: float = 1, **tags: str) -> None:
        """Tell one; never fails for what lies behind, and never waits for it.

        :raises KeyError: for a metric that is not in the table
        """


def untold(name: str, value: float = 1, **tags: Any) -> None:
    """Tell nobody."""
