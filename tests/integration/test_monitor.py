"""The monitor: whatever a callback missed ends right, at the same cost for any number of runs."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, ClassVar

import pytest

from svops_plugin.application import monitor as monitors
from svops_plugin.application.airflow_ports import DagRunState
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.application.monitor import Monitor
from svops_plugin.domain.entities import Execution, Json, utcnow
from tests.integration.desk import CHAIN, Desk, cause
from tests.integration.support import counted
from tests.integration.test_monitor_races import Rounds


class TestCost:
    def queries(self, desk: Desk) -> list[str]:
        with counted(desk.engine) as statements:
            assert desk.monitor.tick() == []
        return [statement.split()[0] for statement in statements]

    def start(self, desk: Desk, number: int, first: int = 0) -> None:
        for index in range(first, first + number):
            execution = desk.execute(desk.new_task(f"{index}"))
            desk.set_controller(execution, "running")
            desk.begin(execution, 1)

    def test_a_tick_with_nothing_to_change_costs_the_same_for_10_and_300_runs(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[int] = []
        states = desk.airflow.states
        monkeypatch.setattr(desk.airflow, "states", lambda runs: (asked.append(len(runs)), states(runs))[1])
        self.start(desk, 4)
        few = self.queries(desk)
        self.start(desk, 96, first=4)
        many = self.queries(desk)
        assert few == many
        assert set(many) <= {"SELECT", "BEGIN"}
        assert len(asked) == 2
        assert asked[1] >= 300

    def test_idle_it_asks_airflow_nothing(self, desk: Desk) -> None:
        desk.new_task()
        desk.airflow.down = True
        assert desk.monitor.tick() == []

    def test_what_has_ended_is_not_asked_for_again(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.controller.complete(execution.controller_run_id)
        desk.airflow.down = True
        assert desk.monitor.tick() == []


class TestFollowing:
    def test_progress_and_beginnings_and_successes(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.airflow.set("prepare", execution.step_run_id(1), "running", 1, 5)
        desk.monitor.tick()
        first = desk.runs(execution)[0]
        assert (str(first.status), first.progress_done, first.progress_total) == ("running", 1, 5)
        assert first.start_date is not None
        desk.airflow.set("prepare", execution.step_run_id(1), "success", 5, 5)
        desk.airflow.set("train", execution.step_run_id(2), "running", 0, 5)
        desk.monitor.tick()
        assert desk.states(execution) == ["success", "running", "queued"]
        types = [event.type for event in desk.events() if event.type.startswith("workflow.")]
        assert types.count("workflow.started") == 2
        assert types.count("workflow.completed") == 1
        desk.settle()

    def test_the_whole_chain_without_a_single_callback(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        for position, dag_id in enumerate(CHAIN, start=1):
            for state in ("running", "success"):
                desk.airflow.set(dag_id, execution.step_run_id(position), state)
                desk.monitor.tick()
        desk.set_controller(execution, "success")
        desk.monitor.tick()
        assert desk.standing(execution) == ("completed", "completed", ["success"] * 3)
        desk.settle()

    def test_how_many_tasks_there_are_is_known_from_the_first_look(self, desk: Desk) -> None:
        """Also of a run that the next step has ended before the monitor saw it."""
        desk.airflow.tasks = dict(zip(CHAIN, (5, 4, 3), strict=True))
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.begin(execution, 1)
        desk.airflow.set("prepare", execution.step_run_id(1), "success", 5, 5)
        desk.begin(execution, 2)
        desk.monitor.tick()
        progress = [(run.progress_done, run.progress_total) for run in desk.runs(execution)]
        assert progress == [(5, 5), (0, 4), (0, 3)]
        desk.settle()

    def test_a_run_whose_task_instances_are_not_made_yet_keeps_what_is_known(self, desk: Desk) -> None:
        desk.airflow.tasks = dict.fromkeys(CHAIN, 5)
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.monitor.tick()
        desk.airflow.set("prepare", execution.step_run_id(1), "queued", 0, 0)
        before = desk.last_event()
        assert desk.monitor.tick() == []
        assert desk.events(before) == []
        assert desk.runs(execution)[0].progress_total == 5

    def test_nothing_new_changes_nothing(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.airflow.set("prepare", execution.step_run_id(1), "running", 1, 5)
        desk.monitor.tick()
        before = desk.last_event()
        assert desk.monitor.tick() == []
        assert desk.events(before) == []

    def test_a_step_that_ended_between_two_looks(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.airflow.set("prepare", execution.step_run_id(1), "success", 5, 5)
        desk.monitor.tick()
        first = desk.runs(execution)[0]
        assert str(first.status) == "success"
        assert first.start_date is not None
        assert first.end_date is not None
        assert first.start_date <= first.end_date
        assert (first.progress_done, first.progress_total) == (5, 5)


class TestEnds:
    def test_a_failed_step_whose_callback_was_lost(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.begin(execution, 2)
        desk.airflow.set("prepare", execution.step_run_id(1), "success")
        desk.airflow.set("train", execution.step_run_id(2), "failed")
        desk.monitor.tick()
        assert desk.standing(execution) == ("failed", "failed", ["success", "failed", "skipped"])
        error = desk.execution(execution.id).error
        assert error is not None
        assert error["dag_id"] == "train"
        desk.settle()

    def test_a_cause_the_pipeline_wrote_is_kept(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.tracker(desk.begin(execution, 1)).cause(cause("prepare", "no labels"))
        desk.airflow.set("prepare", execution.step_run_id(1), "failed")
        desk.monitor.tick()
        assert desk.execution(execution.id).error == cause("prepare", "no labels")

    def test_the_controller_failed_by_hand(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.begin(execution, 1)
        desk.set_controller(execution, "failed")
        desk.monitor.tick()
        assert desk.standing(execution)[:2] == ("failed", "failed")
        assert desk.states(execution)[1:] == ["skipped", "skipped"]
        assert CONTROLLER in (desk.task(task).status_reason or "")

    def test_a_chain_that_took_too_long_whose_callback_was_lost(self, desk: Desk) -> None:
        """The controller's run ended five seconds after it began, which is what it was given."""
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.set_controller(execution, "failed")
        monitor = Monitor(desk.transactions, desk.airflow, desk.service, timedelta(seconds=5))
        monitor.tick()
        assert desk.standing(execution) == ("failed", "failed", ["cancelled", "skipped", "skipped"])
        assert "did not end within 0:00:05" in (desk.execution(execution.id).error or {})["message"]
        monitor.tick()
        assert desk.airflow.runs["prepare", execution.step_run_id(1)].state == "failed"

    def test_the_controller_set_to_success_by_hand_too_early(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.begin(execution, 1)
        desk.set_controller(execution, "success")
        desk.monitor.tick()
        assert desk.standing(execution)[:2] == ("failed", "failed")
        assert "set to success before prepare" in (desk.task(task).status_reason or "")

    def test_the_controller_succeeded_and_complete_was_lost(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        for position, dag_id in enumerate(CHAIN, start=1):
            desk.tracker(desk.begin(execution, position)).log_metric("accuracy", 0.9, None)
            desk.airflow.set(dag_id, execution.step_run_id(position), "success")
        desk.set_controller(execution, "success")
        desk.monitor.tick()
        assert desk.standing(execution) == ("completed", "completed", ["success"] * 3)
        result = desk.execution(execution.id).result
        assert result is not None
        assert result["metrics"] == {"accuracy": 0.9}

    def test_a_deleted_controller_run(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.airflow.runs.clear()
        desk.monitor.tick()
        assert desk.standing(execution) == ("failed", "failed", ["skipped"] * 3)
        assert "was deleted" in (desk.execution(execution.id).error or {})["message"]

    def test_a_deleted_step(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        run = desk.begin(execution, 1)
        del desk.airflow.runs["prepare", run.dag_run_id]
        desk.monitor.tick()
        assert desk.standing(execution) == ("failed", "failed", ["failed", "skipped", "skipped"])
        assert "was deleted" in (desk.execution(execution.id).error or {})["message"]

    def test_an_end_that_somebody_else_reports_meanwhile(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.set_controller(execution, "failed")
        states = desk.airflow.states

        def late(runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], DagRunState]:
            known = states(runs)
            desk.controller.fail(execution.controller_run_id, cause("prepare", "the callback was first"))
            return known

        monkeypatch.setattr(desk.airflow, "states", late)
        desk.monitor.tick()
        assert (desk.execution(execution.id).error or {})["message"] == "the callback was first"
        assert [event.type for event in desk.events()].count("task.failed") == 1


class TestPaused:
    """Somebody pauses a DAG while a chain needs it: the chain waits, and says for what."""

    def messages(self, desk: Desk, execution: Execution) -> list[str]:
        return [run.message for run in desk.runs(execution)]

    def test_a_step_that_waits_says_so_and_goes_on(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.airflow.set("prepare", execution.step_run_id(1), "queued")
        desk.airflow.paused = {"prepare"}
        before = desk.last_event()
        desk.settle()
        words = "waiting: prepare is paused; unpause it in Airflow"
        assert self.messages(desk, execution) == [words, "", ""]
        (event,) = desk.events(before)
        assert (event.type, event.data["progress"]["message"]) == ("workflow.progress", words)
        desk.airflow.paused = set()
        desk.settle()
        assert self.messages(desk, execution) == ["", "", ""]
        assert desk.standing(execution) == ("running", "running", ["queued"] * 3)

    def test_a_paused_controller(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.airflow.paused = {CONTROLLER}
        desk.settle()
        assert {message.split(";")[0] for message in self.messages(desk, execution)} == {
            f"waiting: {CONTROLLER} is paused"
        }

    def test_what_the_pipeline_says_stays(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.tracker(desk.begin(execution, 1)).progress(1, 1, "fold")
        desk.settle()
        assert self.messages(desk, execution)[0] == "fold (1/1)"


class TestCauses:
    """What a failure's own report does not know, the monitor looks up in the log."""

    CAUSE: ClassVar[Json] = {**cause("prepare", "ValueError: no labels"), "log_tail": ["line 1", "line 2"]}

    def failed(self, desk: Desk, error: Json, name: str = "train") -> Execution:
        execution = desk.execute(desk.new_task(name))
        desk.set_controller(execution, "running")
        desk.begin(execution, 1)
        desk.airflow.set("prepare", execution.step_run_id(1), "failed")
        desk.controller.fail(execution.run_name, error)
        desk.airflow.errors["prepare", execution.step_run_id(1)] = self.CAUSE
        return execution

    def test_where_the_report_names_no_task(self, desk: Desk) -> None:
        execution = self.failed(desk, cause("prepare", "prepare ended as failed.", None))
        desk.settle()
        assert desk.execution(execution.id).error == desk.runs(execution)[0].error == self.CAUSE

    def test_the_end_of_the_log_where_it_does(self, desk: Desk) -> None:
        known = cause("prepare", "the first cause", "the_task")
        execution = self.failed(desk, known)
        desk.settle()
        assert desk.execution(execution.id).error == {**known, "log_tail": ["line 1", "line 2"]}
        assert desk.runs(execution)[0].error == {**known, "log_tail": ["line 1", "line 2"]}

    def test_where_no_log_can_be_read(self, desk: Desk) -> None:
        execution = self.failed(desk, cause("prepare", "failed", None))
        desk.airflow.errors.clear()
        desk.settle()
        assert (desk.execution(execution.id).error or {})["message"] == "failed"

    def test_airflow_is_asked_once_for_each(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also where it does not know, as of a run that somebody has deleted."""
        asked: list[str] = []
        known = desk.airflow.cause
        monkeypatch.setattr(desk.airflow, "cause", lambda *run: (asked.append(run[1]), known(*run))[1])
        reported = cause("prepare", "failed", None)
        deleted, other = (self.failed(desk, reported, name) for name in ("deleted", "other"))
        del desk.airflow.runs["prepare", deleted.step_run_id(1)]
        del desk.airflow.errors["prepare", deleted.step_run_id(1)]
        monitor = desk.monitor
        for _ in range(3):
            monitor.tick()
        assert sorted(asked) == sorted([deleted.step_run_id(1), other.step_run_id(1)])
        assert desk.execution(other.id).error == self.CAUSE


class TestStrays:
    @pytest.mark.parametrize("position", [1, 2])
    def test_what_still_runs_when_its_execution_has_failed_is_stopped(
        self, desk: Desk, position: int
    ) -> None:
        """The step's task was lost, or somebody failed it: Airflow leaves the run that it waited for."""
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause(CHAIN[position - 1], "lost", None))
        desk.monitor.tick()
        assert desk.airflow.runs["prepare", execution.step_run_id(1)].state == "failed"
        desk.settle()

    @pytest.mark.parametrize("hours", [0.1, 100])
    def test_what_failed_while_no_server_ran_is_stopped_and_explained_by_the_next(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, hours: float
    ) -> None:
        monitor = desk.monitor
        monitor.run(Rounds(1))
        stray, foreign = desk.execute(desk.new_task("stray")), desk.execute(desk.new_task("foreign"))
        for execution in (stray, foreign):
            desk.begin(execution, 1)
            desk.controller.fail(execution.run_name, cause("prepare", "prepare ended as failed.", None))
        desk.airflow.set("prepare", foreign.step_run_id(1), "failed")
        known = desk.airflow.errors["prepare", foreign.step_run_id(1)] = TestCauses.CAUSE
        monkeypatch.setattr(monitors, "utcnow", lambda: utcnow() + timedelta(hours=hours))
        monitor.run(Rounds(1))
        assert desk.airflow.runs["prepare", stray.step_run_id(1)].state == "failed"
        assert desk.execution(foreign.id).error == known
        desk.airflow.down = True
        assert monitor.tick() == [], "what it has looked at is asked for again"


class TestDefects:
    def test_what_is_wrong_with_one_execution_keeps_no_other_waiting(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        bad, good = desk.execute(desk.new_task("bad")), desk.execute(desk.new_task("good"))
        for execution in (bad, good):
            desk.set_controller(execution, "failed")
        monitor = desk.monitor
        repair = monitor._repair

        def defective(seen: Execution, *rest: Any) -> list[str]:
            if seen.id == bad.id:
                raise TypeError("a defect")
            return repair(seen, *rest)

        monkeypatch.setattr(monitor, "_repair", defective)
        monitor.tick()
        assert desk.standing(good)[:2] == ("failed", "failed")
        assert f"Execution {bad.id} could not be repaired" in caplog.text
