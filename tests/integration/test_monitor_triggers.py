"""The monitor makes up for triggers that were lost between the claim and Airflow."""

from __future__ import annotations

from typing import Any

import pytest

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.domain.entities import Execution
from svops_plugin.domain.errors import Conflict, Unavailable
from tests.integration.desk import Desk


class TestTriggers:
    def lost(self, desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str = "train") -> Execution:
        """Return an execution whose process died between claim and trigger."""

        class Killed(BaseException):
            pass

        def die(*_: Any) -> None:
            raise Killed

        task = desk.new_task(name)
        with monkeypatch.context() as patched:
            patched.setattr(desk.airflow, "trigger", die)
            with pytest.raises(Killed):
                desk.execute(task)
        return desk.execution(desk.task(task).last_execution_id or 0)

    def test_a_lost_trigger_is_made_up_for_under_the_same_run_id(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = self.lost(desk, monkeypatch)
        assert (execution.triggered_at, desk.airflow.runs) == (None, {})
        desk.age(execution, seconds=60)
        desk.monitor.tick()
        assert list(desk.airflow.runs) == [(CONTROLLER, execution.run_name)]
        assert desk.airflow.runs[CONTROLLER, execution.run_name].conf["execution_id"] == execution.id
        assert desk.execution(execution.id).triggered_at is not None
        assert desk.standing(execution)[0] == "running"
        desk.settle()

    def test_whoever_claimed_gets_time_to_trigger(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lost(desk, monkeypatch)
        assert desk.monitor.tick() == []
        assert desk.airflow.runs == {}

    def test_a_trigger_that_arrived_but_was_not_noted(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = self.lost(desk, monkeypatch)
        conf = {"task_id": execution.task_id, "execution_id": execution.id}
        desk.airflow.trigger(CONTROLLER, execution.run_name, conf, "")
        desk.monitor.tick()
        assert desk.execution(execution.id).triggered_at is not None
        assert desk.standing(execution)[0] == "running"

    def test_airflow_stays_down(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        execution = self.lost(desk, monkeypatch)
        desk.age(execution, seconds=60)
        desk.airflow.down = True
        with pytest.raises(Unavailable):
            desk.monitor.tick()
        assert desk.standing(execution) == ("running", "running", ["queued"] * 3)
        desk.airflow.down = False
        desk.monitor.tick()
        assert list(desk.airflow.runs) == [(CONTROLLER, execution.run_name)]

    def test_one_that_airflow_refuses_keeps_no_other_waiting(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bad, good = self.lost(desk, monkeypatch, "bad"), self.lost(desk, monkeypatch, "good")
        for execution in (bad, good):
            desk.age(execution, seconds=60)
        trigger = desk.airflow.trigger

        def refuse(dag_id: str, run_id: str, *rest: Any) -> None:
            if run_id == bad.run_name:
                raise Conflict("Airflow refused to run it.")
            trigger(dag_id, run_id, *rest)

        monkeypatch.setattr(desk.airflow, "trigger", refuse)
        desk.monitor.tick()
        assert desk.standing(bad)[:2] == ("failed", "failed")
        assert list(desk.airflow.runs) == [(CONTROLLER, good.run_name)]
