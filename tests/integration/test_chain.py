"""The chain's state machine on a real database: steps, ends, and who reports first."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from svops_plugin.application.airflow_ports import Hindrance
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import Conflict, NotFound, SVOpsError
from svops_plugin.domain.permissions import OPERATOR
from tests.integration.desk import CHAIN, Desk, cause
from tests.integration.support import at_once

RUNNING = ("running", "running", ["queued", "queued", "queued"])


class TestSteps:
    def test_what_a_step_triggers(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task(), parameters={"x": 1}, note="n")
        step = desk.step(execution.run_name, 1)
        run = desk.runs(execution)[0]
        assert step.run_id == run.dag_run_id
        assert step.conf == {
            "task_id": execution.task_id,
            "dataset_id": execution.dataset_snapshot["id"],
            "parameters": {"x": 1},
            "note": "n",
            "execution_id": execution.id,
            "workflow_run_id": run.id,
        }

    def test_a_step_that_begins_tells_that_those_before_succeeded(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        assert desk.states(execution) == ["running", "queued", "queued"]
        desk.begin(execution, 2)
        assert desk.states(execution) == ["success", "running", "queued"]
        desk.begin(execution, 3)
        assert desk.states(execution) == ["success", "success", "running"]
        assert all(run.start_date and run.end_date for run in desk.runs(execution)[:2])

    def test_a_step_can_be_repeated(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        first = desk.step(execution.run_name, 2)
        before = desk.last_event()
        assert desk.step(execution.run_name, 2) == first
        assert desk.events(before) == []

    def test_a_run_that_carries_nothing(self, desk: Desk) -> None:
        with pytest.raises(NotFound, match="carries no execution"):
            desk.step("manual__1", 2)

    def test_an_execution_that_has_ended(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.controller.fail(execution.run_name, cause("prepare"))
        with pytest.raises(Conflict, match=r"has ended \(failed\)"):
            desk.step(execution.run_name, 2)
        assert desk.states(execution) == ["failed", "skipped", "skipped"]

    def test_a_chain_that_was_changed(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.chain = ("prepare", "other", "report")
        with pytest.raises(Conflict, match=r"The chain was .*train.* and is .*other"):
            desk.step(execution.run_name, 2, "other")

    def test_a_step_that_is_not_where_it_was(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        with pytest.raises(Conflict, match="The chain was"):
            desk.step(execution.run_name, 2, "report")


class TestTimes:
    def test_a_run_that_nobody_has_seen_begin_ends_no_earlier(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.controller.complete(execution.run_name)
        with desk.transactions() as uow:
            took = [duration.seconds for duration in uow.runs.durations(CHAIN, 9)]
        assert len(took) == 3
        assert min(took) >= 0

    @pytest.mark.parametrize("state", ["success", "failed"])
    def test_a_worker_whose_clock_is_ahead_of_airflows(self, desk: Desk, state: str) -> None:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        desk.tracker(run).begin()
        desk.airflow.set("prepare", run.dag_run_id, state)
        desk.airflow.runs["prepare", run.dag_run_id].ended = utcnow() - timedelta(minutes=1)
        desk.monitor.tick()
        ended = desk.run(run.id)
        assert ended.status == state
        assert ended.start_date == ended.end_date

    def test_those_of_airflow_where_it_knows_them(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.airflow.set("prepare", execution.step_run_id(1), "success")
        desk.service.stop(OPERATOR, execution.task_id)
        first, seen = desk.runs(execution)[0], desk.airflow.runs["prepare", execution.step_run_id(1)]
        assert (first.start_date, first.end_date) == (seen.started, seen.ended)


class TestComplete:
    def test_collects_what_the_pipelines_measured_and_left(self, desk: Desk, tmp_path: Path) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        (tmp_path / "report.html").write_text("<html>")
        for position in (1, 2, 3):
            tracker = desk.tracker(desk.begin(execution, position))
            tracker.log_metric("accuracy", position / 4, None)
            tracker.log_metric("loss", 0.5, position)
        tracker.log_artifact(tmp_path / "report.html", "report", "text/html")
        completed = desk.controller.complete(execution.run_name)
        assert desk.standing(execution) == ("completed", "completed", ["success"] * 3)
        assert (
            completed.result
            == desk.task(task).result
            == {
                "metrics": {"accuracy": 0.75},
                "artifacts": {"report": str(tmp_path / "report.html")},
                "output_path": f"/out/task_{task.id}/1",
            }
        )

    def test_can_be_repeated(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.controller.complete(execution.run_name)
        before = desk.last_event()
        assert desk.controller.complete(execution.run_name).id == execution.id
        assert desk.events(before) == []

    def test_after_a_failure(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.controller.fail(execution.run_name, cause("train"))
        with pytest.raises(Conflict, match="has ended as failed"):
            desk.controller.complete(execution.run_name)
        assert desk.standing(execution)[:2] == ("failed", "failed")

    def test_forgets_the_reason_of_an_earlier_failure(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.controller.fail(desk.execute(task).run_name, cause("train"))
        assert desk.task(task).status_reason
        desk.controller.complete(desk.execute(task).run_name)
        assert desk.task(task).status_reason is None


class TestFail:
    def test_first_success_second_failed_third_skipped(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.begin(execution, 1)
        desk.begin(execution, 2)
        desk.controller.fail(execution.run_name, cause("train", "no labels", "evaluate"))
        assert desk.standing(execution) == ("failed", "failed", ["success", "failed", "skipped"])
        assert desk.execution(execution.id).error == cause("train", "no labels", "evaluate")
        assert desk.task(task).status_reason == "train, task evaluate: no labels"
        first, second, third = desk.runs(execution)
        assert first.error is None
        assert second.error == cause("train", "no labels", "evaluate")
        assert (third.error, third.start_date, third.end_date) == (None, None, None)

    def test_by_the_controller_itself(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause(CONTROLLER, "killed", None))
        assert desk.standing(execution) == ("failed", "failed", ["cancelled", "skipped", "skipped"])

    def test_a_dag_that_stands_twice_in_the_chain(self, desk: Desk) -> None:
        desk.chain = ("prepare", "train", "prepare")
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause("prepare"))
        assert desk.states(execution) == ["failed", "skipped", "skipped"]

    def test_a_later_cause_takes_the_place_of_general_words_once(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        run = desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause("prepare", "prepare ended as failed.", None))
        assert desk.task(task).status_reason == "prepare: prepare ended as failed."
        desk.tracker(run).cause(cause("prepare", "file a.csv is missing"))
        assert desk.task(task).status_reason == "prepare, task load_data: file a.csv is missing"
        assert desk.execution(execution.id).error == cause("prepare", "file a.csv is missing")
        assert desk.runs(execution)[0].error == cause("prepare", "file a.csv is missing")
        desk.tracker(run).cause(cause("prepare", "and another", "other_task"))
        assert desk.execution(execution.id).error == cause("prepare", "file a.csv is missing")

    def test_a_cause_that_came_first_stays(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        run = desk.begin(execution, 1)
        desk.tracker(run).cause(cause("prepare", "file a.csv is missing"))
        assert desk.standing(execution)[0] == "running"
        desk.controller.fail(execution.run_name, cause("prepare", "prepare ended as failed.", None))
        assert desk.execution(execution.id).error == cause("prepare", "file a.csv is missing")

    def test_a_late_cause_does_not_touch_a_later_attempt(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        run = desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause("prepare", "failed", None))
        second = desk.execute(task)
        desk.tracker(run).cause(cause("prepare", "late"))
        assert desk.standing(second) == RUNNING
        assert desk.task(task).status_reason is None
        assert desk.execution(execution.id).error == cause("prepare", "late")

    @pytest.mark.parametrize("message", ["a \0 byte", "\ud800 half a pair", "x" * 100_000, "", "é\n<b>"])
    def test_whatever_an_exception_says(self, desk: Desk, message: str) -> None:
        execution = desk.execute(desk.new_task())
        desk.tracker(desk.begin(execution, 1)).cause(cause("prepare", message))
        desk.controller.fail(execution.run_name, cause("prepare", message))
        assert desk.standing(execution) == ("failed", "failed", ["failed", "skipped", "skipped"])

    def test_a_run_that_carries_nothing(self, desk: Desk) -> None:
        desk.controller.fail("manual__1", cause("prepare"))
        assert desk.events() == []


class TestFirstWriterWins:
    @pytest.mark.parametrize("first", ["completed", "failed"])
    def test_an_end_never_changes(self, desk: Desk, first: str) -> None:
        execution = desk.execute(desk.new_task())
        ends = {
            "completed": lambda: desk.controller.complete(execution.run_name),
            "failed": lambda: desk.controller.fail(execution.run_name, cause("train")),
        }
        ends[first]()
        before, standing = desk.last_event(), desk.standing(execution)
        for end in (*ends.values(), *ends.values()):
            with suppress(Conflict):
                end()
        assert desk.standing(execution) == standing
        assert desk.events(before) == []

    def test_of_many_reports_at_once_one_counts(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        before = desk.last_event()

        def report(number: int) -> None:
            if number % 2:
                desk.controller.fail(execution.run_name, cause("prepare", f"{number}"))
            else:
                desk.controller.complete(execution.run_name)

        failures = [answer for answer in at_once(12, report) if answer is not None]
        assert all(isinstance(answer, Conflict) for answer in failures), failures
        kinds = Counter(event.type for event in desk.events(before))
        assert kinds["task.completed"] + kinds["task.failed"] == 1
        task, state, runs = desk.standing(execution)
        assert task == state
        assert runs == (["success"] * 3 if state == "completed" else ["failed", "skipped", "skipped"])


class TestEvents:
    def test_every_transition_is_told_once(self, desk: Desk) -> None:
        task = desk.new_task(customer="acme", branch_name="main", commit_id="abc")
        execution = desk.execute(task)
        for position in (1, 2, 3):
            desk.begin(execution, position)
            desk.step(execution.run_name, position)
        desk.controller.complete(execution.run_name)
        assert [(event.type, event.data.get("dag_id")) for event in desk.events()] == [
            ("task.started", None),
            ("workflow.triggered", "prepare"),
            ("workflow.triggered", "train"),
            ("workflow.triggered", "report"),
            ("workflow.started", "prepare"),
            ("workflow.completed", "prepare"),
            ("workflow.started", "train"),
            ("workflow.completed", "train"),
            ("workflow.started", "report"),
            ("workflow.completed", "report"),
            ("task.completed", None),
        ]
        runs = {run.dag_id: run for run in desk.runs(execution)}
        for event in desk.events():
            assert (event.task_id, event.execution_id) == (task.id, execution.id)
            if event.type.startswith("workflow."):
                run = runs[event.data["dag_id"]]
                assert (event.run_id, event.workflow_id) == (run.id, run.workflow_id)
            else:
                assert event.data["customer"] == "acme"
                assert (event.data["branch_name"], event.data["commit_id"]) == ("main", "abc")

    def test_a_failure_is_told_with_its_cause(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        before = desk.last_event()
        desk.controller.fail(execution.run_name, cause("prepare"))
        events = desk.events(before)
        assert [event.type for event in events] == [
            "workflow.failed",
            "workflow.skipped",
            "workflow.skipped",
            "task.failed",
        ]
        assert events[0].data["error"] == events[-1].data["error"] == cause("prepare")

    def test_events_belong_to_the_owner_of_the_task(self, desk: Desk) -> None:
        with desk.transactions() as uow:
            owner = uow.users.identify("7", "ann").id
        desk.execute(desk.new_task(created_by_id=owner))
        assert {event.user_id for event in desk.events()} == {owner}
        assert {event.actor for event in desk.events()} == {"operator"}

    def test_a_refused_execution_tells_nothing(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.airflow.hindrances["train"] = Hindrance.MISSING
        with pytest.raises(SVOpsError):
            desk.execute(task)
        assert desk.events() == []
