"""Executing and claiming: one execution per task at a time, whoever asks, and its run in Airflow."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from svops_plugin.application.airflow_ports import Hindrance
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.domain.entities import Execution, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from svops_plugin.domain.permissions import OPERATOR, Actor
from tests.integration.desk import CHAIN, Desk, cause
from tests.integration.support import a_task, at_once

RUNNING = ("running", "running", ["queued", "queued", "queued"])


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
        desk.airflow.hindrances["train"] = Hindrance.PAUSED
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
    """The first step of the controller DAG: it claims what nobody has claimed."""

    def test_a_run_that_rest_triggered_finds_its_execution(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        conf = desk.airflow.runs[CONTROLLER, execution.run_name].conf
        assert desk.claim(execution.run_name, conf, "operator").id == execution.id
        assert desk.executions() == 1

    def test_its_beginning_proves_that_it_was_triggered(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        with desk.transactions() as uow:
            held = uow.executions.lock(execution.id)
            assert held is not None
            held.triggered_at = None
        desk.claim(execution.run_name, {"execution_id": execution.id}, "operator")
        assert desk.execution(execution.id).triggered_at is not None

    def test_by_hand_with_a_task_id(self, desk: Desk) -> None:
        with desk.transactions() as uow:
            ann = uow.users.identify("9", "ann").id
        task = desk.new_task()
        conf = {"task_id": task.id, "parameters": {"x": 1}, "note": "by hand"}
        execution = desk.claim("manual__1", conf)
        assert desk.standing(execution) == RUNNING
        assert execution.controller_run_id == "manual__1"
        assert execution.triggered_at is not None
        assert (execution.requested_by, execution.requested_by_id) == ("ann", ann)
        assert (execution.parameters, execution.note) == ({"x": 1}, "by hand")
        assert {str(run.trigger_type) for run in desk.runs(execution)} == {"manual"}
        assert [run.dag_run_id for run in desk.runs(execution)] == [
            execution.step_run_id(position) for position in (1, 2, 3)
        ]

    def test_by_hand_without_a_dataset(self, desk: Desk) -> None:
        with desk.transactions() as uow:
            task = uow.tasks.add(a_task("bare"))
        with pytest.raises(InvalidInput, match="has no dataset"):
            desk.claim("manual__1", {"task_id": task.id})
        assert desk.executions() == 0

    def test_by_hand_with_a_dataset_that_cannot_be_read(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.problems.append("labels.csv is missing")
        with pytest.raises(InvalidInput, match=r"cannot be read: labels\.csv is missing"):
            desk.claim("manual__1", {"task_id": task.id})
        assert desk.executions() == 0
        desk.problems.clear()
        desk.claim("manual__1", {"task_id": task.id})
        assert desk.executions() == 1

    def test_repeated_it_is_the_same(self, desk: Desk) -> None:
        task = desk.new_task()
        first = desk.claim("manual__1", {"task_id": task.id})
        assert desk.claim("manual__1", {"task_id": task.id}).id == first.id
        assert desk.executions() == 1

    def test_two_runs_by_hand_for_one_task(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.claim("manual__1", {"task_id": task.id})
        with pytest.raises(Conflict, match="running already"):
            desk.claim("manual__2", {"task_id": task.id})

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
            desk.claim("manual__1", conf)
        assert desk.executions() == 0

    @pytest.mark.parametrize("parameters", ["x", [1], 1])
    def test_parameters_that_are_no_object(self, desk: Desk, parameters: Any) -> None:
        task = desk.new_task()
        with pytest.raises(InvalidInput, match="parameters"):
            desk.claim("manual__1", {"task_id": task.id, "parameters": parameters})

    @pytest.mark.parametrize("task_id", [12345, 0, -1, 2**31, 2**70])
    def test_an_unknown_task(self, desk: Desk, task_id: int) -> None:
        with pytest.raises(NotFound, match=f"no task {task_id}"):
            desk.claim("manual__1", {"task_id": task_id})

    def test_another_runs_execution_is_not_believed(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        conf = {"task_id": execution.task_id, "execution_id": execution.id}
        with pytest.raises(InvalidInput, match="does not carry it"):
            desk.claim("manual__1", conf, "eve")


def later(execution: Execution) -> dict[str, Any]:
    """Describe a run that was cleared after its execution had ended."""
    assert execution.ended_at is not None
    return {
        "conf": {"task_id": execution.task_id, "execution_id": execution.id},
        "username": "ann",
        "cleared_at": execution.ended_at + timedelta(seconds=1),
    }


class TestCleared:
    """Clearing a run of the controller whose execution has ended is a retry."""

    def ended(self, desk: Desk, end: str, finished: int = 0) -> Execution:
        execution = desk.execute(desk.new_task(), parameters={"x": 1}, note="first")
        for position in range(1, finished + 2):
            desk.begin(execution, position)
        if end == "failed":
            desk.controller.fail(execution.run_name, cause(desk.chain[finished]))
        elif end == "completed":
            desk.controller.complete(execution.run_name)
        else:
            desk.service.stop(OPERATOR, execution.task_id)
        return desk.execution(execution.id)

    @pytest.mark.parametrize("end", ["failed", "completed", "cancelled"])
    def test_a_new_attempt(self, desk: Desk, end: str) -> None:
        first = self.ended(desk, end)
        second = desk.claim(first.run_name, **later(first))
        assert (second.attempt, second.controller_run_id) == (2, first.run_name)
        assert (second.parameters, second.note, second.requested_by) == ({"x": 1}, "first", "ann")
        assert desk.standing(second) == RUNNING
        assert desk.standing(first)[1] == end
        assert {run.dag_run_id for run in desk.runs(first)}.isdisjoint(
            run.dag_run_id for run in desk.runs(second)
        )
        assert desk.step(first.run_name, 1, **later(first)).execution_id == second.id

    @pytest.mark.parametrize("end", ["failed", "cancelled"])
    @pytest.mark.parametrize("cleared_at", [None, -1])
    def test_a_task_that_is_only_late_makes_none(self, desk: Desk, end: str, cleared_at: int | None) -> None:
        """Its run was not cleared since the end: it is about to be killed, or was cleared before."""
        first = self.ended(desk, end)
        run = later(first)
        run["cleared_at"] = cleared_at and run["cleared_at"] + timedelta(seconds=2 * cleared_at)
        for position in (1, 2):
            with pytest.raises(Conflict, match=rf"has ended \({end}\)"):
                desk.step(first.run_name, position, **run)
        assert desk.executions() == 1

    def test_as_a_whole_it_reuses_what_was_finished(self, desk: Desk) -> None:
        first = self.ended(desk, "failed", finished=2)
        assert desk.states(desk.claim(first.run_name, **later(first))) == ["reused", "reused", "queued"]

    @pytest.mark.parametrize("end", ["failed", "completed"])
    def test_from_a_step_on_it_reuses_those_before(self, desk: Desk, end: str) -> None:
        first = self.ended(desk, end, finished=2)
        step = desk.step(first.run_name, 2, **later(first))
        second = desk.execution(step.execution_id)
        assert (step.reused_from, step.run_id) == (None, second.step_run_id(2))
        assert (second.attempt, second.resumed_from_id) == (2, first.id)
        assert desk.states(second) == ["reused", "queued", "queued"]

    def test_from_a_step_on_whose_forerunner_did_not_finish(self, desk: Desk) -> None:
        first = self.ended(desk, "failed", finished=1)
        with pytest.raises(Conflict, match=r"finished 1 steps, not the 2 before.*from step 2 on"):
            desk.step(first.run_name, 3, **later(first))
        assert desk.executions() == 1
        assert desk.standing(first)[:2] == ("failed", "failed")

    def test_while_its_execution_runs_it_goes_on(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        again = desk.claim(execution.run_name, {"task_id": execution.task_id}, cleared_at=utcnow())
        assert again.id == execution.id
        assert desk.executions() == 1

    def test_of_a_task_that_runs_elsewhere(self, desk: Desk) -> None:
        first = self.ended(desk, "failed")
        desk.execute(_with_id(first.task_id))
        with pytest.raises(Conflict, match="running already"):
            desk.claim(first.run_name, **later(first))
