"""A run alone whose trigger is slow, lost or overtaken: Airflow runs nothing that SVOps calls ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from svops_plugin.domain.entities import Json, WorkflowRun
from svops_plugin.domain.errors import Conflict, Unavailable
from svops_plugin.domain.permissions import OPERATOR
from tests.integration.desk import Desk

DAG = "prepare"


class Killed(BaseException):
    """The process dies."""


def nothing() -> None:
    pass


def made(desk: Desk) -> WorkflowRun:
    """Return the only run."""
    with desk.transactions() as uow:
        (active,) = uow.runs.active()
    return desk.run(active.id)


class TestTrigger:
    @pytest.fixture
    def around(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        """Lets something happen right before and right after Airflow makes a DAG run."""
        trigger = desk.airflow.trigger

        def arrange(before: Callable[[], Any] = nothing, after: Callable[[], Any] = nothing) -> None:
            def arranged(dag_id: str, run_id: str, conf: Json, username: str) -> None:
                before()
                trigger(dag_id, run_id, conf, username)
                after()

            monkeypatch.setattr(desk.airflow, "trigger", arranged)

        return arrange

    def silence(self) -> None:
        raise Unavailable("Airflow's database does not answer; try again later.")

    def die(self) -> None:
        raise Killed

    def state(self, desk: Desk, run: WorkflowRun) -> tuple[str, str]:
        """Return the states of a run, and of its DAG run."""
        return str(desk.run(run.id).status), desk.airflow.runs[DAG, run.dag_run_id].state

    def give_up(self, desk: Desk) -> None:
        """Let the monitor find that nothing has come of the run for too long."""
        run = made(desk)
        desk.age_run(run, seconds=60)
        desk.monitor.tick()
        assert desk.run(run.id).status == "failed"

    def stop(self, desk: Desk) -> None:
        run = made(desk)
        desk.workflows.stop(OPERATOR, run.workflow_id, run.id)

    def ask_for_stop(self, desk: Desk) -> None:
        """Ask for a stop that Airflow is not told of."""
        desk.airflow.down = True
        self.stop(desk)
        desk.airflow.down = False

    def test_one_that_airflow_took_without_an_answer_is_followed(
        self, desk: Desk, around: Callable[..., None]
    ) -> None:
        around(after=self.silence)
        run = desk.run_alone(DAG)
        assert self.state(desk, run) == ("queued", "queued")
        desk.airflow.set(DAG, run.dag_run_id, "success")
        desk.age_run(run, seconds=60)
        desk.monitor.tick()
        assert desk.run(run.id).status == "success"

    def test_one_that_airflow_did_not_take_never_began(self, desk: Desk, around: Callable[..., None]) -> None:
        around(before=self.silence)
        run = desk.run_alone(DAG)
        assert run.status == "queued"
        assert desk.monitor.tick() == []
        desk.age_run(run, seconds=60)
        desk.monitor.tick()
        held = desk.run(run.id)
        assert (held.status, (held.error or {})["message"]) == ("failed", "It never began.")

    def test_one_that_airflow_refuses(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise Conflict("Airflow refused to run it.")

        monkeypatch.setattr(desk.airflow, "trigger", refuse)
        with pytest.raises(Conflict):
            desk.run_alone(DAG)
        assert desk.events()[-1].type == "workflow.failed"
        assert desk.monitor.tick() == []

    def test_one_that_comes_after_it_was_given_up_is_stopped(
        self, desk: Desk, around: Callable[..., None]
    ) -> None:
        around(before=lambda: self.give_up(desk))
        run = desk.run_alone(DAG)
        assert (run.status, (run.error or {})["message"]) == ("failed", "It never began.")
        assert self.state(desk, run) == ("failed", "failed")

    def test_one_that_comes_after_its_stop_is_stopped(self, desk: Desk, around: Callable[..., None]) -> None:
        around(before=lambda: self.stop(desk))
        run = desk.run_alone(DAG)
        assert self.state(desk, run) == ("cancelled", "failed")

    def test_one_that_comes_while_its_stop_is_under_way_is_stopped(
        self, desk: Desk, around: Callable[..., None]
    ) -> None:
        around(before=lambda: self.ask_for_stop(desk))
        run = desk.run_alone(DAG)
        assert run.stop_requested_at is not None
        assert self.state(desk, run) == ("queued", "failed")
        desk.age_stop(run, seconds=60)
        desk.monitor.tick()
        assert self.state(desk, run) == ("cancelled", "failed")

    @pytest.mark.parametrize("meanwhile", ["give_up", "stop", "ask_for_stop"])
    def test_where_the_process_that_triggered_was_killed(
        self, desk: Desk, around: Callable[..., None], meanwhile: str
    ) -> None:
        known: list[WorkflowRun] = []

        def before() -> None:
            known.append(made(desk))
            getattr(self, meanwhile)(desk)

        around(before, self.die)
        with pytest.raises(Killed):
            desk.run_alone(DAG)
        (run,) = known
        assert desk.airflow.runs[DAG, run.dag_run_id].state == "queued"
        assert desk.monitor.discover() == [f"{DAG} {run.dag_run_id}: stopped, it was made after its end."]
        assert desk.airflow.runs[DAG, run.dag_run_id].state == "failed"
        assert desk.monitor.discover() == []

    def test_airflow_does_not_answer_when_it_is_to_be_stopped(
        self, desk: Desk, around: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stop = desk.airflow.stop

        def busy(*_: str) -> None:
            raise Unavailable("Airflow is busy; try again later.")

        around(lambda: self.stop(desk), lambda: monkeypatch.setattr(desk.airflow, "stop", busy))
        run = desk.run_alone(DAG)
        with pytest.raises(Unavailable):
            desk.monitor.discover()
        assert self.state(desk, run) == ("cancelled", "queued")
        monkeypatch.setattr(desk.airflow, "stop", stop)
        assert len(desk.monitor.discover()) == 1
        assert self.state(desk, run) == ("cancelled", "failed")

    def test_what_begins_in_time_goes_on(self, desk: Desk) -> None:
        run = desk.run_alone(DAG)
        assert desk.monitor.discover() == []
        assert self.state(desk, run) == ("queued", "queued")
