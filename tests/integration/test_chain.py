"""The chain's state machine on a real database: claim, steps, ends, and who reports first."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.application.tracking import RunTracker
from svops_plugin.domain.entities import Execution
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, PermissionDenied, SVOpsError
from svops_plugin.domain.permissions import Actor
from tests.integration.desk import CHAIN, Desk, cause
from tests.integration.support import a_task, at_once

RUNNING = ("running", "running", ["queued", "queued", "queued"])


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


class TestExecute:
    def test_claims_and_triggers(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task, parameters={"x": [1, "é"]}, note="again")
        assert desk.standing(execution) == RUNNING
        assert desk.task(task).last_execution_id == execution.id
        assert (execution.attempt, execution.chain, execution.note) == (1, list(CHAIN), "again")
        assert execution.parameters == {"x": [1, "é"]}
        assert execution.requested_by == "operator"
        assert execution.triggered_at is not None
        ((dag_id, run_id), run) = desk.airflow.runs.popitem()
        assert (dag_id, run_id) == (CONTROLLER, execution.run_name)
        assert run.conf == {"task_id": task.id, "execution_id": execution.id}
        assert run.username == "operator"

    def test_runs_have_their_names_and_places(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        runs = desk.runs(execution)
        assert [run.dag_id for run in runs] == list(CHAIN)
        assert [run.position for run in runs] == [1, 2, 3]
        assert [run.dag_run_id for run in runs] == [execution.step_run_id(position) for position in (1, 2, 3)]
        assert {str(run.trigger_type) for run in runs} == {"api"}

    def test_remembers_what_it_depends_on(self, desk: Desk) -> None:
        task = desk.new_task(
            build_config="debug", commit_id="abc", video_out_enabled=True, video_out_path="/out/video"
        )
        execution = desk.execute(task)
        assert execution.task_snapshot["build_config"] == "debug"
        assert execution.task_snapshot["commit_id"] == "abc"
        assert execution.task_snapshot["video_out_path"] == "/out/video"
        assert execution.dataset_snapshot["id"] == task.dataset_id
        assert execution.dataset_snapshot["path"] == "/data/digits"

    def test_again_after_the_end(self, desk: Desk) -> None:
        task = desk.new_task()
        first = desk.execute(task)
        desk.controller.fail(first.controller_run_id, cause("prepare"))
        second = desk.execute(task)
        assert (second.attempt, desk.standing(second)) == (2, RUNNING)
        assert second.output_path != first.output_path
        assert desk.standing(first)[1] == "failed"

    def test_a_running_task_is_refused(self, desk: Desk) -> None:
        task = desk.new_task()
        first = desk.execute(task)
        with pytest.raises(Conflict, match=rf"running already \(execution {first.id}\)"):
            desk.execute(task)
        assert desk.executions() == 1

    def test_100_at_once_are_one_execution(self, desk: Desk) -> None:
        task = desk.new_task()
        answers = at_once(100, lambda _: desk.execute(task))
        kinds = Counter(type(answer) for answer in answers)
        assert kinds == {Execution: 1, Conflict: 99}, kinds
        assert desk.executions() == 1
        assert len(desk.airflow.runs) == 1
        assert Counter(event.type for event in desk.events()) == {"task.started": 1, "workflow.triggered": 3}

    def test_different_tasks_at_once_do_not_disturb_each_other(self, desk: Desk) -> None:
        tasks = [desk.new_task(f"{number}") for number in range(10)]
        answers = at_once(10, lambda number: desk.execute(tasks[number]))
        assert all(isinstance(answer, Execution) for answer in answers), answers
        assert len(desk.airflow.runs) == 10

    def test_unknown_task(self, desk: Desk) -> None:
        with pytest.raises(NotFound, match="no task 12345"):
            desk.execute(_with_id(12345))

    def test_without_dataset(self, desk: Desk) -> None:
        with desk.transactions() as uow:
            task = uow.tasks.add(a_task())
        with pytest.raises(InvalidInput, match="no dataset") as refusal:
            desk.execute(task)
        assert set(refusal.value.errors) == {"dataset_id"}
        assert str(desk.task(task).status) == "pending"

    def test_unreadable_dataset(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.problems = ["it is empty"]
        with pytest.raises(InvalidInput, match="it is empty"):
            desk.execute(task)
        assert (str(desk.task(task).status), desk.executions()) == ("pending", 0)

    def test_a_chain_that_cannot_run(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.airflow.refusals["train"] = "DAG train is paused: unpause it."
        with pytest.raises(InvalidInput, match="DAG train is paused"):
            desk.execute(task)
        assert (str(desk.task(task).status), desk.executions()) == ("pending", 0)

    def test_somebody_elses(self, desk: Desk) -> None:
        task = desk.new_task()
        with pytest.raises(PermissionDenied):
            desk.execute(task, Actor(5, "eve", frozenset({"User"})))
        assert desk.executions() == 0

    def test_airflow_goes_down_between_preflight_and_trigger(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(desk.airflow, "problems", lambda _: setattr(desk.airflow, "down", True) or [])
        execution = desk.execute(desk.new_task())
        assert desk.standing(execution) == RUNNING
        assert execution.triggered_at is None
        desk.airflow.down = False
        assert desk.monitor.tick() == []
        desk.age(execution, seconds=60)
        desk.monitor.tick()
        assert list(desk.airflow.runs) == [(CONTROLLER, execution.run_name)]
        assert desk.execution(execution.id).triggered_at is not None

    def test_a_foreign_run_with_the_same_id(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.airflow.runs[CONTROLLER, execution.run_name].conf = {"execution_id": execution.id + 1}
        with pytest.raises(Conflict, match="run id taken"):
            desk.service.trigger(execution)
        assert desk.standing(execution) == ("failed", "failed", ["skipped"] * 3)
        assert "run id taken" in (desk.task(task).status_reason or "")

    def test_its_own_run_with_the_same_id_is_adopted(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.service.trigger(execution)
        assert desk.standing(execution) == RUNNING
        assert len(desk.airflow.runs) == 1

    def test_airflow_refuses(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: Any) -> None:
            raise Conflict("Airflow refused to run it: max_active_runs")

        monkeypatch.setattr(desk.airflow, "trigger", refuse)
        task = desk.new_task()
        with pytest.raises(Conflict, match="max_active_runs"):
            desk.execute(task)
        assert str(desk.task(task).status) == "failed"
        assert "max_active_runs" in (desk.task(task).status_reason or "")
        monkeypatch.undo()
        assert desk.execute(task).attempt == 2


def _with_id(task_id: int) -> Any:
    task = a_task()
    task.id = task_id
    return task


class TestClaim:
    """The controller DAG's first task."""

    def test_a_run_that_rest_triggered_finds_its_execution(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        conf = desk.airflow.runs[CONTROLLER, execution.run_name].conf
        assert desk.controller.claim(execution.run_name, conf, "operator").id == execution.id
        assert desk.executions() == 1

    def test_its_beginning_proves_that_it_was_triggered(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        with desk.transactions() as uow:
            held = uow.executions.lock(execution.id)
            assert held is not None
            held.triggered_at = None
        desk.controller.claim(execution.run_name, {"execution_id": execution.id}, "operator")
        assert desk.execution(execution.id).triggered_at is not None

    def test_by_hand_with_a_task_id(self, desk: Desk) -> None:
        with desk.transactions() as uow:
            ann = uow.users.identify("9", "ann").id
        task = desk.new_task()
        conf = {"task_id": task.id, "parameters": {"x": 1}, "note": "by hand"}
        execution = desk.controller.claim("manual__1", conf, "ann")
        assert desk.standing(execution) == RUNNING
        assert execution.controller_run_id == "manual__1"
        assert execution.triggered_at is not None
        assert (execution.requested_by, execution.requested_by_id) == ("ann", ann)
        assert (execution.parameters, execution.note) == ({"x": 1}, "by hand")
        assert {str(run.trigger_type) for run in desk.runs(execution)} == {"manual"}
        assert [run.dag_run_id for run in desk.runs(execution)] == [
            execution.step_run_id(position) for position in (1, 2, 3)
        ]

    def test_repeated_it_is_the_same(self, desk: Desk) -> None:
        task = desk.new_task()
        first = desk.controller.claim("manual__1", {"task_id": task.id}, "ann")
        assert desk.controller.claim("manual__1", {"task_id": task.id}, "ann").id == first.id
        assert desk.executions() == 1

    def test_two_runs_by_hand_for_one_task(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.controller.claim("manual__1", {"task_id": task.id}, "ann")
        with pytest.raises(Conflict, match="running already"):
            desk.controller.claim("manual__2", {"task_id": task.id}, "ann")

    @pytest.mark.parametrize(
        "conf",
        [
            {},
            {"task_id": None},
            {"task_id": "1"},
            {"task_id": True},
            {"task_id": 1.5},
            {"task_id": [1]},
            {"parameters": {}},
        ],
    )
    def test_a_conf_that_names_no_task(self, desk: Desk, conf: dict[str, Any]) -> None:
        desk.new_task()
        with pytest.raises(InvalidInput, match="must name a task"):
            desk.controller.claim("manual__1", conf, "ann")
        assert desk.executions() == 0

    @pytest.mark.parametrize("parameters", ["x", [1], 1])
    def test_parameters_that_are_no_object(self, desk: Desk, parameters: Any) -> None:
        task = desk.new_task()
        with pytest.raises(InvalidInput, match="parameters"):
            desk.controller.claim("manual__1", {"task_id": task.id, "parameters": parameters}, "ann")

    @pytest.mark.parametrize("task_id", [12345, 0, -1, 2**31, 2**70])
    def test_an_unknown_task(self, desk: Desk, task_id: int) -> None:
        with pytest.raises(NotFound, match=f"no task {task_id}"):
            desk.controller.claim("manual__1", {"task_id": task_id}, "ann")

    def test_another_runs_execution_is_not_believed(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        conf = {"task_id": execution.task_id, "execution_id": execution.id}
        with pytest.raises(InvalidInput, match="does not carry it"):
            desk.controller.claim("manual__1", conf, "eve")

    @pytest.mark.parametrize("end", ["failed", "completed"])
    def test_a_cleared_run_makes_a_new_attempt(self, desk: Desk, end: str) -> None:
        task = desk.new_task()
        first = desk.execute(task, parameters={"x": 1}, note="first")
        if end == "failed":
            desk.controller.fail(first.run_name, cause("prepare"))
        else:
            desk.controller.complete(first.run_name)
        conf = {"task_id": task.id, "execution_id": first.id}
        second = desk.controller.claim(first.run_name, conf, "ann")
        assert (second.attempt, second.controller_run_id) == (2, first.run_name)
        assert (second.parameters, second.note) == ({"x": 1}, "first")
        assert desk.standing(second) == RUNNING
        assert desk.standing(first)[1] == end
        assert {run.dag_run_id for run in desk.runs(first)}.isdisjoint(
            run.dag_run_id for run in desk.runs(second)
        )
        step = desk.controller.begin_step(first.run_name, 1, "prepare")
        assert step.conf["execution_id"] == second.id

    def test_a_cleared_run_of_a_task_that_runs_elsewhere(self, desk: Desk) -> None:
        task = desk.new_task()
        first = desk.execute(task)
        desk.controller.fail(first.run_name, cause("prepare"))
        desk.execute(task)
        with pytest.raises(Conflict, match="running already"):
            desk.controller.claim(first.run_name, {"task_id": task.id, "execution_id": first.id}, "ann")


class TestSteps:
    def test_what_a_step_triggers(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task(), parameters={"x": 1}, note="n")
        step = desk.controller.begin_step(execution.run_name, 1, "prepare")
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
        first = desk.controller.begin_step(execution.run_name, 2, "train")
        before = desk.last_event()
        assert desk.controller.begin_step(execution.run_name, 2, "train") == first
        assert desk.events(before) == []

    def test_a_run_that_carries_nothing(self, desk: Desk) -> None:
        with pytest.raises(NotFound, match="carries no execution"):
            desk.controller.begin_step("manual__1", 1, "prepare")

    def test_an_execution_that_has_ended(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.controller.fail(execution.run_name, cause("prepare"))
        with pytest.raises(Conflict, match=r"has ended \(failed\)"):
            desk.controller.begin_step(execution.run_name, 2, "train")
        assert desk.states(execution) == ["failed", "skipped", "skipped"]

    def test_a_chain_that_was_changed(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.chain = ("prepare", "other", "report")
        with pytest.raises(Conflict, match=r"The chain was .*train.* and is .*other"):
            desk.controller.begin_step(execution.run_name, 2, "other")

    def test_a_step_that_is_not_where_it_was(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        with pytest.raises(Conflict, match="The chain was"):
            desk.controller.begin_step(execution.run_name, 2, "report")


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
            desk.controller.begin_step(execution.run_name, position, CHAIN[position - 1])
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
        desk.airflow.refusals["train"] = "DAG train is missing."
        with pytest.raises(SVOpsError):
            desk.execute(task)
        assert desk.events() == []


class TestTracking:
    @pytest.mark.parametrize(
        "conf",
        [{}, {"execution_id": 1}, {"workflow_run_id": 1}, {"execution_id": "x", "workflow_run_id": None}],
    )
    def test_a_run_outside_a_chain(self, desk: Desk, conf: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match="execute a task instead"):
            RunTracker(desk.transactions, conf)

    def test_a_deleted_execution(self, desk: Desk) -> None:
        tracker = RunTracker(desk.transactions, {"execution_id": 99, "workflow_run_id": 99})
        with pytest.raises(NotFound, match="gone"):
            tracker.begin()

    def test_beginning_is_told_once(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        run = desk.begin(execution, 1)
        before = desk.last_event()
        assert desk.tracker(run).begin().id == execution.id
        assert desk.events(before) == []

    def test_a_run_that_ended_does_not_begin_again(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        run = desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause("prepare"))
        with suppress(Conflict):
            desk.tracker(run).begin()
        desk.tracker(run).progress(1, 2, "late")
        assert desk.states(execution) == ["failed", "skipped", "skipped"]

    def test_progress_is_kept_and_told_last_word_included(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        tracker = desk.tracker(desk.begin(execution, 1))
        before = desk.last_event()
        for done in range(51):
            tracker.progress(done, 50, "fold")
        assert desk.runs(execution)[0].message == "fold (50/50)"
        told = [event.data["progress"]["message"] for event in desk.events(before)]
        assert told[-1] == "fold (50/50)"
        assert len(told) < 51

    def test_a_repeated_metric_overwrites(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        tracker = desk.tracker(desk.begin(execution, 1))
        tracker.log_metric("accuracy", 0.5, None)
        tracker.log_metric("accuracy", 0.9, None)
        result = desk.controller.complete(execution.run_name).result
        assert result is not None
        assert result["metrics"] == {"accuracy": 0.9}

    def test_the_profile_goes_to_the_dataset_and_the_execution(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.tracker(desk.begin(execution, 1)).dataset_profile({"samples": 4}, "f" * 64)
        dataset = desk.dataset(task.dataset_id)
        assert (dataset.profile, dataset.fingerprint) == ({"samples": 4}, "f" * 64)
        assert desk.execution(execution.id).dataset_snapshot["fingerprint"] == "f" * 64

    def test_the_profile_of_other_files_is_not_the_datasets(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        run = desk.begin(execution, 1)
        with desk.transactions() as uow:
            dataset = uow.datasets.lock(task.dataset_id or 0)
            assert dataset is not None
            dataset.path = "/data/moved"
        desk.tracker(run).dataset_profile({"samples": 4}, "f" * 64)
        assert desk.dataset(task.dataset_id).profile is None
        assert desk.execution(execution.id).dataset_snapshot["fingerprint"] == "f" * 64


def test_deleting_a_task_in_the_middle_is_survived_by_its_callbacks(desk: Desk) -> None:
    """REST refuses to delete a running task; its row may go all the same, from a database console."""
    task = desk.new_task()
    execution = desk.execute(task)
    run = desk.begin(execution, 1)
    with desk.transactions() as uow:
        held = uow.tasks.lock(task.id)
        assert held is not None
        uow.tasks.delete(held)
    desk.controller.fail(execution.run_name, cause("prepare"))
    with pytest.raises(NotFound):
        desk.tracker(run).begin()
    assert desk.monitor.tick() == []
