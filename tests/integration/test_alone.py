"""SVOps' pipelines in DAG runs alone: what they are told, where they go on, and what is kept of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest

from svops_plugin.application.airflow_ports import Hindrance
from svops_plugin.domain.entities import Task, WorkflowRun
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from svops_plugin.domain.permissions import OPERATOR, Actor
from tests.integration.desk import Desk, cause
from tests.integration.support import a_dataset


def change(desk: Desk, task: Task, **values: Any) -> None:
    with desk.transactions() as uow:
        held = uow.tasks.lock(task.id)
        assert held is not None
        for name, value in values.items():
            setattr(held, name, value)


def succeed(desk: Desk, run: WorkflowRun, goes_on_from: str | None = None) -> dict[str, Any]:
    """Begin a run, let it succeed in Airflow, and return what its pipeline was told."""
    told = desk.tracker(run, goes_on_from).begin()
    desk.airflow.set(run.dag_id, run.dag_run_id, "success")
    desk.monitor.tick()
    assert desk.run(run.id).status == "success"
    return told


class TestTold:
    def test_the_same_as_in_a_chain(self, desk: Desk) -> None:
        task = desk.new_task(build_config="debug", video_out_enabled=True, video_out_path="/video")
        asked: dict[str, Any] = {"parameters": {"x": 1}, "note": "n"}
        in_chain = desk.tracker(desk.begin(desk.execute(task, **asked), 1)).begin()
        run = desk.run_alone("prepare", task_id=task.id, **asked)
        told = desk.tracker(run).begin()
        own = {"execution_id", "attempt", "workflow_run_id", "output"}
        assert {name: told[name] for name in told if name not in own} == {
            name: in_chain[name] for name in in_chain if name not in own
        }
        assert (told["execution_id"], told["attempt"], told["workflow_run_id"]) == (None, None, run.id)
        assert told["output"] == f"/out/task_{task.id}/alone/run_{run.id}"
        assert desk.run(run.id).status == "running"

    def test_what_is_edited_meanwhile_counts_for_later_runs(self, desk: Desk) -> None:
        task = desk.new_task(build_config="debug")
        run = desk.run_alone("prepare", task_id=task.id)
        told = desk.tracker(run).begin()
        change(desk, task, build_config="release", log_out_path="/elsewhere")
        assert desk.tracker(run).begin() == told
        later = desk.tracker(desk.run_alone("prepare", task_id=task.id)).begin()
        assert later["configuration"]["build_config"] == "release"

    def test_the_runs_own_dataset_goes_before_the_tasks(self, desk: Desk) -> None:
        task = desk.new_task()
        with desk.transactions() as uow:
            other = uow.datasets.add(a_dataset("another", path="/data/another"))
        run = desk.run_alone("prepare", task_id=task.id, dataset_id=other.id)
        assert desk.tracker(run).begin()["dataset"]["path"] == "/data/another"

    def test_a_run_that_names_no_task(self, desk: Desk) -> None:
        with pytest.raises(InvalidInput, match=r'run it with the id of one, as in \{"task_id": 1\}'):
            desk.tracker(desk.run_alone("prepare")).begin()

    def test_a_run_by_hand_that_was_noticed(self, desk: Desk) -> None:
        desk.run_alone("prepare")
        desk.airflow.trigger("prepare", "manual__1", {"task_id": desk.new_task().id}, "ann")
        desk.monitor.discover()
        with desk.transactions() as uow:
            noticed = uow.runs.of_dag_run("prepare", "manual__1")
        assert noticed is not None
        with pytest.raises(InvalidInput, match="works for a task"):
            desk.tracker(noticed).begin()

    def test_a_task_without_a_dataset(self, desk: Desk) -> None:
        task = desk.new_task()
        change(desk, task, dataset_id=None)
        with pytest.raises(InvalidInput, match="give it one, or run with a dataset_id"):
            desk.tracker(desk.run_alone("prepare", task_id=task.id)).begin()

    def test_a_task_or_dataset_that_is_deleted_before_the_run_begins(self, desk: Desk) -> None:
        task = desk.new_task()
        with desk.transactions() as uow:
            other = uow.datasets.add(a_dataset("another"))
        run = desk.run_alone("prepare", task_id=task.id, dataset_id=other.id)
        with desk.transactions() as uow:
            uow.datasets.delete(uow.datasets.get(other.id) or other)
        with pytest.raises(InvalidInput, match=f"there is no dataset {other.id} any more"):
            desk.tracker(run).begin()
        with desk.transactions() as uow:
            uow.tasks.delete(uow.tasks.get(task.id) or task)
        with pytest.raises(NotFound, match=f"no task {task.id}"):
            desk.tracker(run).begin()

    @pytest.mark.parametrize("state", ["failed", "success"])
    def test_a_run_that_has_ended_does_not_begin_again(self, desk: Desk, state: str) -> None:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        desk.tracker(run).begin()
        desk.airflow.set("prepare", run.dag_run_id, state)
        desk.monitor.tick()
        with pytest.raises(Conflict, match=f"has ended \\({state}\\)"):
            desk.tracker(run).begin()

    def test_a_run_of_which_the_stop_is_under_way_does_not_begin(self, desk: Desk) -> None:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        desk.airflow.down = True
        desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        with pytest.raises(Conflict):
            desk.tracker(run).begin()
        assert desk.run(run.id).status == "queued"

    def test_only_who_may_execute_the_task(self, desk: Desk) -> None:
        task = desk.new_task(created_by_id=None)
        with desk.transactions() as uow:
            user = Actor(uow.users.identify("eve", "eve").id, "eve", frozenset({"User"}))
        workflow = desk.workflows.create(user, {"name": "mine", "dag_id": "prepare"})
        with pytest.raises(PermissionDenied):
            desk.workflows.run(user, workflow.id, {"task_id": task.id})
        assert desk.airflow.runs == {}


class TestRegistering:
    VALUES: ClassVar = {"name": "mine", "dag_id": "prepare"}

    def test_a_dag_that_airflow_does_not_have(self, desk: Desk) -> None:
        desk.airflow.hindrances["prepare"] = Hindrance.MISSING
        with pytest.raises(InvalidInput, match=r"^dag_id: DAG prepare is missing: put its file"):
            desk.workflows.create(OPERATOR, self.VALUES)
        assert desk.events() == []

    @pytest.mark.parametrize("hindrance", [Hindrance.BROKEN, Hindrance.PAUSED])
    def test_one_that_cannot_run_now(self, desk: Desk, hindrance: Hindrance) -> None:
        desk.airflow.hindrances["prepare"] = hindrance
        workflow = desk.workflows.create(OPERATOR, self.VALUES)
        with pytest.raises(InvalidInput, match=f"^DAG prepare {hindrance.value}"):
            desk.workflows.run(OPERATOR, workflow.id, {})
        assert desk.airflow.runs == {}


class TestGoingOn:
    """Where the second pipeline finds what the first left."""

    def refused(self, desk: Desk, task: Task, **values: Any) -> None:
        run = desk.run_alone("train", task_id=task.id, **values)
        with pytest.raises(Conflict, match="goes on from what prepare left, which has not succeeded yet"):
            desk.tracker(run, "prepare").begin()
        assert desk.run(run.id).snapshot is None

    def source(self, desk: Desk, task: Task) -> str:
        run = desk.run_alone("train", task_id=task.id)
        return str(desk.tracker(run, "prepare").begin()["reused_from"])

    def test_nothing_has_succeeded_yet(self, desk: Desk) -> None:
        task, other = desk.new_task(), desk.new_task("other")
        succeed(desk, desk.run_alone("prepare", task_id=other.id))
        self.refused(desk, task)
        desk.tracker(desk.run_alone("prepare", task_id=task.id)).begin()
        self.refused(desk, task)

    def test_a_run_of_the_dag_that_was_told_nothing(self, desk: Desk) -> None:
        """A run that Airflow was made to call a success, or that is not of SVOps' pipelines."""
        task = desk.new_task()
        run = desk.run_alone("prepare", task_id=task.id)
        desk.airflow.set("prepare", run.dag_run_id, "success")
        desk.monitor.tick()
        self.refused(desk, task)

    def test_the_newest_of_both_chains_and_runs_alone(self, desk: Desk) -> None:
        task = desk.new_task()
        first = succeed(desk, desk.run_alone("prepare", task_id=task.id))
        assert self.source(desk, task) == first["output"]
        execution = desk.execute(task)
        desk.set_controller(execution, "running")
        desk.begin(execution, 1)
        assert self.source(desk, task) == first["output"]
        desk.begin(execution, 2)
        assert self.source(desk, task) == execution.output_path
        last = succeed(desk, desk.run_alone("prepare", task_id=task.id))
        assert self.source(desk, task) == last["output"]

    @pytest.mark.parametrize(
        "values", [{"build_config": "release"}, {"build_config_custom_conf": {"seed": 2}}, {"commit_id": "b"}]
    )
    def test_outputs_of_another_configuration_do_not_fit(self, desk: Desk, values: dict[str, Any]) -> None:
        task = desk.new_task(build_config="debug", commit_id="a")
        told = succeed(desk, desk.run_alone("prepare", task_id=task.id))
        change(desk, task, **values)
        self.refused(desk, task)
        change(desk, task, name="renamed", build_config="debug", build_config_custom_conf={}, commit_id="a")
        assert self.source(desk, task) == told["output"]

    def test_outputs_of_another_dataset_do_not_fit(self, desk: Desk) -> None:
        task = desk.new_task()
        with desk.transactions() as uow:
            other = uow.datasets.add(a_dataset("another"))
        told = succeed(desk, desk.run_alone("prepare", task_id=task.id))
        self.refused(desk, task, dataset_id=other.id)
        succeed(desk, desk.run_alone("prepare", task_id=task.id, dataset_id=other.id))
        assert self.source(desk, task) == told["output"]

    def test_what_succeeds_meanwhile_counts_for_later_runs(self, desk: Desk) -> None:
        task = desk.new_task()
        succeed(desk, desk.run_alone("prepare", task_id=task.id))
        run = desk.run_alone("train", task_id=task.id)
        told = desk.tracker(run, "prepare").begin()
        succeed(desk, desk.run_alone("prepare", task_id=task.id))
        assert desk.tracker(run, "prepare").begin() == told

    def test_the_third_goes_on_from_the_second(self, desk: Desk) -> None:
        task = desk.new_task()
        succeed(desk, desk.run_alone("prepare", task_id=task.id))
        second = succeed(desk, desk.run_alone("train", task_id=task.id), "prepare")
        third = succeed(desk, desk.run_alone("report", task_id=task.id), "train")
        assert third["reused_from"] == second["output"]


class TestKept:
    def test_a_repeated_name_overwrites_within_one_run_only(self, desk: Desk, tmp_path: Path) -> None:
        task_id = desk.new_task().id
        report = tmp_path / "report.html"
        runs = [desk.run_alone("prepare", task_id=task_id) for _ in range(2)]
        for run in runs:
            tracker = desk.tracker(run)
            for size in (1, run.id):
                report.write_text("x" * size)
                tracker.log_artifact(report, "report.html", "text/html")
                tracker.log_metric("accuracy", size / 10, None)
                tracker.log_metric("accuracy", size / 100, 0)
        for run in runs:
            detail = desk.workflows.detail(OPERATOR, run.workflow_id, run.id)
            measured = Counter((m.name, m.step, m.value) for m in detail.metrics)
            assert measured == Counter([("accuracy", None, run.id / 10), ("accuracy", 0, run.id / 100)])
            assert [(a.name, a.size) for a in detail.artifacts] == [("report.html", run.id)]

    def test_the_profile_goes_to_the_dataset_and_the_run(self, desk: Desk) -> None:
        task = desk.new_task()
        run = desk.run_alone("prepare", task_id=task.id)
        desk.tracker(run).begin()
        desk.tracker(run).dataset_profile({"samples": 4}, "f" * 64)
        dataset = desk.dataset(task.dataset_id)
        assert (dataset.profile, dataset.fingerprint) == ({"samples": 4}, "f" * 64)
        assert desk.tracker(run).begin()["dataset"]["fingerprint"] == "f" * 64

    def test_the_cause_of_its_failure(self, desk: Desk) -> None:
        run = desk.run_alone("prepare", task_id=desk.new_task().id)
        desk.tracker(run).begin()
        desk.tracker(run).cause(cause("prepare", "no labels"))
        desk.tracker(run).cause(cause("prepare", "late"))
        desk.airflow.set("prepare", run.dag_run_id, "failed")
        desk.monitor.tick()
        held = desk.run(run.id)
        assert (held.status, held.error) == ("failed", cause("prepare", "no labels"))

    def test_its_events_are_the_tasks_owners(self, desk: Desk) -> None:
        with desk.transactions() as uow:
            owner = uow.users.identify("ann", "ann")
        task = desk.new_task(created_by_id=owner.id)
        before = desk.last_event()
        run = desk.run_alone("prepare", task_id=task.id)
        desk.tracker(run).begin()
        desk.tracker(run).progress(1, 1, "done")
        desk.airflow.set("prepare", run.dag_run_id, "success", 5, 5)
        desk.monitor.tick()
        told = desk.events(before)
        assert [event.type for event in told] == [
            "workflow.triggered",
            "workflow.started",
            "workflow.progress",
            "workflow.progress",
            "workflow.completed",
        ]
        assert {(event.user_id, event.task_id) for event in told} == {(owner.id, task.id)}

    @pytest.mark.parametrize("end", ["success", "failed", "stopped"])
    def test_without_a_task_its_events_are_those_of_who_asked_for_it(self, desk: Desk, end: str) -> None:
        with desk.transactions() as uow:
            ann = uow.users.identify("ann", "ann")
        run = desk.run_alone("prepare", Actor(ann.id, "ann", frozenset({"Op"})))
        desk.airflow.set("prepare", run.dag_run_id, "running", 1, 5)
        desk.monitor.tick()
        if end == "stopped":
            desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        else:
            desk.airflow.set("prepare", run.dag_run_id, end, 5, 5)
            desk.monitor.tick()
        told = desk.events()
        assert {event.user_id for event in told} == {ann.id}
        assert len(told) >= 4

    def test_what_airflow_calls_somebody_is_nobody_of_svops(self, desk: Desk) -> None:
        """Where it names nobody, it is said to be ``airflow``."""
        with desk.transactions() as uow:
            uow.users.identify("airflow", "airflow")
            uow.workflows.for_dags(["prepare"])
        desk.airflow.trigger("prepare", "manual__1", {}, "airflow")
        desk.monitor.discover()
        desk.airflow.set("prepare", "manual__1", "success", 5, 5)
        desk.monitor.tick()
        assert {event.user_id for event in desk.events()} == {None}

    def test_it_moves_no_task(self, desk: Desk) -> None:
        task = desk.new_task()
        succeed(desk, desk.run_alone("prepare", task_id=task.id))
        assert (desk.task(task).status, desk.task(task).last_execution_id) == ("pending", None)
        assert desk.executions() == 0

    def test_stop_and_retry(self, desk: Desk) -> None:
        task = desk.new_task()
        run = desk.run_alone("prepare", task_id=task.id, parameters={"x": 1}, note="n")
        desk.tracker(run).begin()
        desk.airflow.set("prepare", run.dag_run_id, "running")
        stopped = desk.workflows.stop(OPERATOR, run.workflow_id, run.id)
        assert stopped.status == "cancelled"
        assert desk.airflow.runs["prepare", run.dag_run_id].state == "failed"
        again = desk.workflows.retry(OPERATOR, run.workflow_id, run.id)
        assert again.configuration == run.configuration
        told = succeed(desk, again)
        assert (told["parameters"], told["note"]) == ({"x": 1}, "n")
        assert told["output"] == f"/out/task_{task.id}/alone/run_{again.id}"
