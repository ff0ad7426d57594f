"""Runs outside a chain are stopped, also where the stop was interrupted."""

from __future__ import annotations

from collections import Counter

import pytest

from svops_plugin.domain.entities import WorkflowRun
from svops_plugin.domain.errors import Conflict, PermissionDenied, Unavailable
from svops_plugin.domain.permissions import OPERATOR, Actor
from tests.integration.desk import Desk
from tests.integration.support import at_once


class TestStop:
    def running(self, desk: Desk) -> WorkflowRun:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        desk.tracker(run).begin()
        desk.airflow.set("prepare", run.dag_run_id, "running")
        return run

    def interrupted(self, desk: Desk) -> WorkflowRun:
        """Return a run whose stop was asked for a while ago, and which Airflow was not told of."""
        run = self.running(desk)
        desk.airflow.down = True
        assert desk.workflows.stop(OPERATOR, run.workflow_id, run.id).status == "running"
        desk.airflow.down = False
        desk.age_stop(run, seconds=60)
        return run

    def test_the_monitor_leaves_it_to_who_was_asked(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, stop = self.running(desk), desk.airflow.stop

        def slow(dag_id: str, run_id: str) -> bool:
            stopped = stop(dag_id, run_id)
            desk.monitor.tick()
            return stopped

        monkeypatch.setattr(desk.airflow, "stop", slow)
        desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        told = desk.events()[-1]
        assert (told.type, told.actor) == ("workflow.stopped", "operator")

    def test_what_has_succeeded_unnoticed_stays_so(self, desk: Desk) -> None:
        run = self.running(desk)
        desk.airflow.set("prepare", run.dag_run_id, "success")
        before = desk.last_event()
        with pytest.raises(Conflict, match=f"run_{run.id} has ended already \\(success\\)"):
            desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        assert desk.run(run.id).status == "success"
        assert [event.type for event in desk.events(before)] == ["workflow.completed"]

    def test_one_that_was_interrupted_is_gone_on_with(self, desk: Desk) -> None:
        run = self.interrupted(desk)
        desk.monitor.tick()
        assert desk.run(run.id).status == "cancelled"
        assert desk.airflow.runs["prepare", run.dag_run_id].state == "failed"
        assert desk.events()[-1].type == "workflow.stopped"
        assert desk.monitor.tick() == []

    def test_what_has_succeeded_before_one_is_gone_on_with(self, desk: Desk) -> None:
        run = self.interrupted(desk)
        desk.airflow.set("prepare", run.dag_run_id, "success")
        desk.monitor.tick()
        assert desk.run(run.id).status == "success"

    def test_one_that_airflow_is_busy_with_keeps_no_other_waiting(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, other = self.interrupted(desk), desk.run_alone("train")
        desk.airflow.set("train", other.dag_run_id, "running")

        def busy(dag_id: str, run_id: str) -> bool:
            raise Unavailable(f"Airflow is busy with {dag_id} {run_id}; try again later.")

        with monkeypatch.context() as patch:
            patch.setattr(desk.airflow, "stop", busy)
            desk.monitor.tick()
        assert (desk.run(run.id).status, desk.run(other.id).status) == ("running", "running")
        desk.monitor.tick()
        assert desk.run(run.id).status == "cancelled"

    def test_what_has_begun_unnoticed(self, desk: Desk) -> None:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        desk.airflow.set("prepare", run.dag_run_id, "running")
        before = desk.last_event()
        stopped = desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        assert stopped.start_date is not None
        told = [(event.type, event.actor) for event in desk.events(before)]
        assert told == [("workflow.started", "airflow"), ("workflow.stopped", "operator")]

    def test_what_airflow_started_is_nobodys_who_has_the_name_that_it_tells(self, desk: Desk) -> None:
        """Where it names nobody, it is said to be ``airflow``."""
        with desk.transactions() as uow:
            user = uow.users.identify("airflow", "airflow")
            uow.workflows.for_dags(["prepare"])
        desk.airflow.trigger("prepare", "scheduled__1", {}, "airflow")
        desk.monitor.discover()
        with desk.transactions() as uow:
            run = uow.runs.of_dag_run("prepare", "scheduled__1")
            assert run is not None
        actor = Actor(user.id, "airflow", frozenset({"User"}))
        with pytest.raises(PermissionDenied):
            desk.workflows.stop(actor, run.workflow_id, run.id)
        assert desk.run(run.id).status == "queued"

    def test_what_never_began_has_no_beginning(self, desk: Desk) -> None:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        stopped = desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        assert (stopped.status, stopped.start_date) == ("cancelled", None)
        assert stopped.end_date is not None

    def test_again_changes_nothing(self, desk: Desk) -> None:
        run = self.running(desk)
        desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        before = desk.last_event()
        assert desk.workflows.stop(OPERATOR, run.workflow_id, run.id).status == "cancelled"
        assert desk.events(before) == []

    def test_many_at_once_end_it_once(self, desk: Desk) -> None:
        run = self.running(desk)
        answers = at_once(6, lambda _: desk.workflows.stop(OPERATOR, run.workflow_id, run.id))
        assert [a for a in answers if isinstance(a, Exception)] == []
        assert Counter(event.type for event in desk.events())["workflow.stopped"] == 1
