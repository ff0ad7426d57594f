"""Executing and claiming: one execution per task at a time, whoever asks, and its run in Airflow."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Engine

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.domain.entities import Execution
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, PermissionDenied
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
