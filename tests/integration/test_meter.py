"""The meter: everything is told once, whoever tells it."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from svops_plugin.application.event_ports import HubRow
from svops_plugin.application.meter import LEASE, Meter
from svops_plugin.domain.entities import Event, Execution, utcnow
from svops_plugin.domain.errors import Unavailable
from svops_plugin.domain.metrics import METRICS, Kind
from tests.integration.desk import Desk, cause
from tests.integration.support import DagRunState


class Told(list[tuple[str, float, dict[str, str]]]):
    """What was told."""

    def __call__(self, name: str, value: float = 1, **tags: str) -> None:
        assert set(tags) == set(METRICS[name].tags)
        self.append((name, value, tags))

    def counts(self) -> Counter[str]:
        """How often each counter and timer was told, but for counters' zeros."""
        kinds = ((name, METRICS[name].kind, value) for name, value, _ in self)
        return Counter(
            name for name, kind, value in kinds if kind is Kind.TIMER or (kind is Kind.COUNTER and value)
        )

    def last(self, name: str) -> float:
        return [value for told, value, _ in self if told == name][-1]


@pytest.fixture
def told() -> Told:
    return Told()


def meter(desk: Desk, told: Told) -> Meter:
    """A meter as another process has it; the lease's row is there as from its run."""
    made = Meter(desk.transactions, desk.airflow, told)
    with desk.transactions() as uow:
        uow.leases.acquire(LEASE, made._holder, -1)
    return made


def completed(desk: Desk, name: str) -> Execution:
    execution = desk.execute(desk.new_task(name))
    for position in (1, 2, 3):
        desk.begin(execution, position)
    desk.controller.complete(execution.controller_run_id)
    return execution


def test_what_was_before_the_first_look_is_not_told(desk: Desk, told: Told) -> None:
    completed(desk, "old")
    meter(desk, told).look()
    assert not told.counts()
    desk.execute(desk.new_task())
    meter(desk, told).look()
    assert told.counts() == {"svops.executions.started": 1}


def test_counters_begin_at_zero(desk: Desk, told: Told) -> None:
    meter(desk, told).look()
    zeros = {name for name, value, _ in told if value == 0 and METRICS[name].kind is Kind.COUNTER}
    assert {"svops.executions.failed", "svops.deliveries.failed"} <= zeros


def test_executions_by_how_they_end(desk: Desk, told: Told) -> None:
    meter(desk, told).look()
    completed(desk, "good")
    bad = desk.execute(desk.new_task("bad"))
    desk.controller.fail(bad.controller_run_id, cause("prepare"))
    stopped = desk.execute(desk.new_task("stopped"))
    with desk.transactions() as uow:
        held = uow.executions.lock(stopped.id)
        assert held is not None
        held.stop_requested_at = utcnow()
    desk.controller.fail(stopped.controller_run_id, cause("prepare"))
    desk.age(desk.execution(bad.id), seconds=100)
    desk.execute(desk.new_task("under way"))
    meter(desk, told).look()
    assert told.counts() == {
        "svops.executions.started": 4,
        **{f"svops.executions.{end}": 1 for end in ("completed", "failed", "cancelled")},
        **{f"svops.executions.duration.{end}": 1 for end in ("completed", "failed", "cancelled")},
    }
    assert told.last("svops.executions.duration.failed") > 90
    assert told.last("svops.executions.running") == 1


def test_a_hop_is_what_lies_between_two_runs_in_airflow(
    desk: Desk, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter(desk, told).look()
    execution, began = completed(desk, "one"), utcnow()

    def states(runs: Any) -> dict[tuple[str, str], DagRunState]:
        """Each step takes ten seconds and begins three after the one before; Airflow has lost the third."""
        asked = sorted(run_id for _, run_id in runs)
        assert asked == [execution.step_run_id(position) for position in (1, 2, 3)]
        times = [began + timedelta(seconds=13 * index) for index in (0, 1)]
        return {
            (dag_id, execution.step_run_id(position)): DagRunState(
                "success", time, time + timedelta(seconds=10)
            )
            for position, (dag_id, time) in enumerate(zip(desk.chain, times, strict=False), start=1)
        }

    monkeypatch.setattr(desk.airflow, "states", states)
    meter(desk, told).look()
    assert [(value, tags) for name, value, tags in told if name == "svops.chain.hop"] == [
        (3.0, {"dag_id": "train"})
    ]


def test_who_takes_over_goes_on_where_the_other_stopped(desk: Desk, told: Told) -> None:
    first, second = meter(desk, told), meter(desk, told)
    first.look()
    for number in range(1, 4):
        desk.execute(desk.new_task(f"t{number}"))
        (first, second)[number % 2].look()
    first.look()
    assert told.counts() == {"svops.executions.started": 3}


def test_more_than_it_reads_at_once(desk: Desk, told: Told) -> None:
    meter(desk, told).look()
    with desk.transactions() as uow:
        for number in range(1100):
            data = {"name": "n", "channel": "slack", "event_id": number}
            uow.record(Event(type="notification.sent", data=data))
    meter(desk, told).look()
    assert told.counts() == {"svops.deliveries.delivered": 1100}


def test_an_airflow_that_does_not_answer_costs_nothing_that_happened(desk: Desk, told: Told) -> None:
    meter(desk, told).look()
    completed(desk, "one")
    desk.airflow.down = True
    with pytest.raises(Unavailable):
        meter(desk, told).look()
    desk.airflow.down = False
    meter(desk, told).look()
    assert told.counts()["svops.executions.completed"] == 1


def test_hubs_of_all_processes(desk: Desk, told: Told) -> None:
    with desk.transactions() as uow:
        for name, lag in (("a", 0.5), ("b", 2.5)):
            uow.hubs.save(HubRow(name, "host", 1, utcnow(), connections=3, lag=lag))
        uow.hubs.save(HubRow("dead", "host", 1, utcnow() - timedelta(minutes=1), connections=9, lag=9))
    meter(desk, told).look()
    assert told.last("svops.sockets.open") == 6
    assert told.last("svops.hub.lag") == 2.5
    assert told.last("svops.hub.processes") == 2
