"""The meter: tells the host's metrics what happened and how things stand, one process at a time.

What happened is read from the outbox, so that it is counted once, whichever process brought it about. How far
that has come stands with the lease: who takes over goes on there. It is written before anything is told, and
what a process that is killed in between had to tell is lost, as a datagram may be.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from svops_plugin.application.airflow_ports import Airflow, DagRunState
from svops_plugin.application.event_ports import Recorded, Topic
from svops_plugin.application.leases import new_holder
from svops_plugin.application.ports import Transactions
from svops_plugin.domain.entities import Execution, WorkflowRun, utcnow
from svops_plugin.domain.errors import SVOpsError
from svops_plugin.domain.metrics import Tell
from svops_plugin.domain.states import RunStatus

log = logging.getLogger(__name__)

LEASE = "meter"
PERIOD = 5.0
LEASE_SECONDS = 15.0
BATCH = 500
HUB_ALIVE = timedelta(seconds=30)
COUNTED = {
    "task.started": "svops.executions.started",
    "task.completed": "svops.executions.completed",
    "task.failed": "svops.executions.failed",
    "task.cancelled": "svops.executions.cancelled",
    "notification.sent": "svops.deliveries.delivered",
    "notification.failed": "svops.deliveries.failed",
}
ENDINGS = frozenset({"task.completed", "task.failed", "task.cancelled"})


@dataclass(frozen=True)
class News:
    """Some of what happened: events, the executions that ended with them, and those executions' runs."""

    events: Sequence[Recorded]
    executions: Sequence[Execution]
    runs: Sequence[WorkflowRun]


class Meter:
    """Tells metrics.

    :param tell: takes them
    """

    def __init__(self, transactions: Transactions, airflow: Airflow, tell: Tell) -> None:
        self._transactions = transactions
        self._airflow = airflow
        self._tell = tell
        self._holder = new_holder()

    def run(self, stop: threading.Event) -> None:
        """Tell until stopped, while this process holds the lease; failures are logged and outlived."""
        while not stop.wait(PERIOD):
            try:
                if self._holds_lease():
                    self.look()
            except SVOpsError as refusal:
                log.warning("Metrics wait: %s", refusal)
            except Exception:
                log.exception("The meter failed; it goes on in %s s.", PERIOD)

    def look(self) -> None:
        """Tell everything that has happened since the last look, and how things stand now."""
        for name in COUNTED.values():
            self._tell(name, 0)  # a series that began with its first one would not show that as an increase
        while self._tell_some():
            pass
        with self._transactions() as uow:
            running, pending = uow.executions.under_way(), uow.deliveries.pending()
            hubs = uow.hubs.alive(utcnow() - HUB_ALIVE)
        self._tell("svops.executions.running", running)
        self._tell("svops.deliveries.pending", pending)
        self._tell("svops.hub.processes", len(hubs))
        self._tell("svops.hub.lag", max((hub.lag for hub in hubs), default=0.0))
        self._tell("svops.sockets.open", sum(hub.connections for hub in hubs))

    def _holds_lease(self) -> bool:
        with self._transactions() as uow:
            return uow.leases.acquire(LEASE, self._holder, LEASE_SECONDS)

    def _tell_some(self) -> bool:
        """Tell of the next few events, and whether there may be more; the very first look tells of none."""
        with self._transactions() as uow:
            position, newest = uow.leases.position(LEASE), uow.events.newest()
            if position is None:
                uow.leases.advance(LEASE, newest)
                return False
            events = uow.events.between(position, newest, BATCH, Topic())
            ended = {event.execution_id for event in events if event.type in ENDINGS} - {None}
            executions = uow.executions.several([number for number in ended if number is not None])
            news = News(events, executions, uow.runs.of_executions([one.id for one in executions]))
        if not events:
            return False
        known = self._airflow.states({(run.dag_id, run.dag_run_id) for run in news.runs})
        with self._transactions() as uow:
            uow.leases.advance(LEASE, events[-1].id)
        for event in news.events:
            if event.type in COUNTED:
                self._tell(COUNTED[event.type])
        for execution in news.executions:
            if execution.ended_at is not None:
                seconds = (execution.ended_at - execution.created_at).total_seconds()
                self._tell(f"svops.executions.duration.{execution.status.value}", seconds)
        for dag_id, seconds in _hops(news.runs, known):
            self._tell("svops.chain.hop", seconds, dag_id=dag_id)
        return len(events) == BATCH


def _hops(
    runs: Sequence[WorkflowRun], known: dict[tuple[str, str], DagRunState]
) -> Iterator[tuple[str, float]]:
    """Return how long each step waited for its start once the one before had ended, by Airflow's times."""
    in_order = sorted(runs, key=lambda run: (run.execution_id or 0, run.position or 0))
    for before, after in pairwise(in_order):
        if before.execution_id != after.execution_id or RunStatus.REUSED in {before.status, after.status}:
            continue
        ended = known.get((before.dag_id, before.dag_run_id))
        began = known.get((after.dag_id, after.dag_run_id))
        if ended and began and ended.end_date and began.start_date:
            yield after.dag_id, max(0.0, (began.start_date - ended.end_date).total_seconds())
