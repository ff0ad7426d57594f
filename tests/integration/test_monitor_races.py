"""The monitor while others act: what happens between its look at Airflow and its own writing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

import pytest

from svops_plugin.application.airflow_ports import DagRunState
from svops_plugin.domain.errors import Unavailable
from tests.integration.desk import Desk
from tests.integration.support import MemoryAirflow


class TestRaces:
    def meanwhile(
        self, airflow: MemoryAirflow, monkeypatch: pytest.MonkeyPatch, what: Callable[[], Any]
    ) -> None:
        """Let something happen right after Airflow has been asked."""
        states = airflow.states

        def then(runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], DagRunState]:
            known = states(runs)
            what()
            return known

        monkeypatch.setattr(airflow, "states", then)

    def test_a_step_that_begins_after_airflow_was_asked_was_not_deleted(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.begin(execution, 1)
        desk.airflow.set("prepare", execution.step_run_id(1), "success", 5, 5)
        self.meanwhile(desk.airflow, monkeypatch, lambda: desk.begin(execution, 2))
        desk.monitor.tick()
        assert desk.standing(execution) == ("running", "running", ["success", "running", "queued"])

    def test_a_chain_that_ends_after_airflow_was_asked(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        for position in (1, 2, 3):
            desk.begin(execution, position)
        self.meanwhile(
            desk.airflow, monkeypatch, lambda: desk.controller.complete(execution.controller_run_id)
        )
        desk.monitor.tick()
        assert desk.standing(execution) == ("completed", "completed", ["success"] * 3)

    def test_a_task_deleted_after_airflow_was_asked(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        gone, other = desk.execute(desk.new_task("gone")), desk.execute(desk.new_task("other"))
        for execution in (gone, other):
            desk.set_controller(execution, "failed")

        def delete() -> None:
            with desk.transactions() as uow:
                task = uow.tasks.lock(gone.task_id)
                if task is not None:
                    uow.tasks.delete(task)

        self.meanwhile(desk.airflow, monkeypatch, delete)
        desk.monitor.tick()
        assert desk.standing(other)[:2] == ("failed", "failed")


class TestLoop:
    def test_it_outlives_failures_and_stops_when_told(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loop's waits are ended by the test, so that it goes round at once."""
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "failed")
        states, rounds = desk.airflow.states, iter((RuntimeError("a defect"), Unavailable("down"), None))

        def stumble(runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], DagRunState]:
            failure = next(rounds)
            if failure is not None:
                raise failure
            return states(runs)

        monkeypatch.setattr(desk.airflow, "states", stumble)
        stop = Rounds(3)
        desk.monitor.run(stop)
        assert desk.standing(execution)[:2] == ("failed", "failed")
        assert stop.left == 0

    def test_one_of_two_works(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        one, other = desk.monitor, desk.monitor
        one.run(Rounds(1))
        desk.set_controller(execution, "failed")
        other.run(Rounds(1))
        assert desk.standing(execution)[0] == "running"
        one.run(Rounds(1))
        assert desk.standing(execution)[0] == "failed"


class Rounds(threading.Event):
    """An event that is set after so many waits, none of which takes time."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        if self.left == 0:
            return True
        self.left -= 1
        return False
