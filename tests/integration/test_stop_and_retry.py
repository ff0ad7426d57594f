"""Stopping and going on: intents survive interruptions, finished steps are reused."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from svops_plugin.application.controller import Step
from svops_plugin.application.executions import CONTROLLER, ExecutionService, Standing
from svops_plugin.application.preflight import Preflight
from svops_plugin.domain.entities import Dataset, Execution, Task
from svops_plugin.domain.errors import Conflict, Gone, NotFound, PermissionDenied
from svops_plugin.domain.permissions import OPERATOR, Actor
from tests.conftest import OUTPUT
from tests.integration.desk import AnyPath, Desk, cause
from tests.integration.support import at_once

EVE = Actor(66, "eve", frozenset({"User"}))


class TestStop:
    def test_what_runs_is_cancelled_and_what_never_began_is_skipped(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.set_controller(execution, "running")
        desk.begin(execution, 1)
        desk.begin(execution, 2)
        desk.airflow.set("prepare", execution.step_run_id(1), "success")
        before = desk.last_event()
        desk.service.stop(OPERATOR, task.id)
        assert desk.standing(execution) == ("cancelled", "cancelled", ["success", "cancelled", "skipped"])
        assert "operator" in (desk.task(task).status_reason or "")
        assert desk.airflow.runs[CONTROLLER, execution.run_name].state == "failed"
        assert desk.airflow.runs["train", execution.step_run_id(2)].state == "failed"
        assert desk.airflow.runs["prepare", execution.step_run_id(1)].state == "success"
        kinds = Counter(event.type for event in desk.events(before))
        assert (kinds["task.cancelled"], kinds["workflow.stopped"], kinds["workflow.skipped"]) == (1, 1, 1)

    def test_what_has_begun_unnoticed_is_cancelled_too(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.airflow.set("prepare", execution.step_run_id(1), "running")
        desk.service.stop(OPERATOR, execution.task_id)
        assert desk.standing(execution) == ("cancelled", "cancelled", ["cancelled", "skipped", "skipped"])

    def test_what_has_succeeded_unnoticed_stays_so(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.airflow.set("prepare", execution.step_run_id(1), "success")
        desk.airflow.set("train", execution.step_run_id(2), "queued")
        desk.service.stop(OPERATOR, execution.task_id)
        assert desk.standing(execution) == ("cancelled", "cancelled", ["success", "skipped", "skipped"])

    def test_one_that_meets_a_step_just_triggering_waits_and_stops_what_was_triggered(
        self, desk: Desk
    ) -> None:
        execution = desk.execute(desk.new_task())
        stops: list[Future[Standing]] = []
        with ThreadPoolExecutor(1) as pool:

            def trigger(step: Step) -> None:
                stops.append(pool.submit(desk.service.stop, OPERATOR, execution.task_id))
                wait(stops, timeout=0.5)  # so that a stop that does not wait has come too early
                desk.airflow.trigger("prepare", step.run_id, step.conf, "")

            step = desk.step(execution.run_name, 1, trigger=trigger)
            stops[0].result()
        assert desk.airflow.runs["prepare", step.run_id].state == "failed"
        assert desk.standing(execution) == ("cancelled", "cancelled", ["skipped"] * 3)

    def test_a_step_that_begins_after_one_triggers_nothing(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        triggered: list[Step] = []
        desk.service.stop(OPERATOR, execution.task_id)
        with pytest.raises(Conflict):
            desk.step(execution.run_name, 1, trigger=triggered.append)
        assert triggered == []

    def test_what_is_triggered_by_hand_finds_its_execution(self, desk: Desk) -> None:
        """It is committed before the DAG run is made, which a failure of the trigger shows."""
        task = desk.new_task()

        def fail(_: Step) -> None:
            raise OSError("Airflow is down")

        with pytest.raises(OSError, match="is down"):
            desk.step("manual__1", 1, trigger=fail, conf={"task_id": task.id})
        assert desk.executions() == 1
        assert desk.task(task).status == "running"

    def test_later_steps_never_start(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.service.stop(OPERATOR, execution.task_id)
        with pytest.raises(Conflict):
            desk.step(execution.run_name, 1)
        desk.controller.fail(execution.run_name, cause("prepare"))
        assert desk.standing(execution) == ("cancelled", "cancelled", ["skipped"] * 3)

    def test_a_step_that_finds_a_stop_knows_that_the_one_before_succeeded(self, desk: Desk) -> None:
        """Its task fails, and its callback may be the first to end the execution."""
        execution = self.stopped_before_the_second(desk)
        desk.controller.fail(execution.run_name, cause("train"), position=2)
        assert desk.standing(execution) == ("cancelled", "cancelled", ["success", "skipped", "skipped"])
        with desk.transactions() as uow:
            task = uow.tasks.get(execution.task_id)
        assert task is not None
        again = desk.retry(task)
        assert desk.states(again) == ["reused", "queued", "queued"]

    def test_a_step_of_another_chain_knows_nothing_of_the_one_before(self, desk: Desk) -> None:
        execution = self.stopped_before_the_second(desk)
        desk.chain = ("report", "train")
        desk.controller.fail(execution.run_name, cause("train"), position=2)
        assert desk.states(execution) == ["cancelled", "skipped", "skipped"]

    def stopped_before_the_second(self, desk: Desk) -> Execution:
        """Return an execution that is to be stopped, and of which the second step has just been refused."""
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.airflow.set("prepare", execution.step_run_id(1), "success")
        desk.airflow.down = True
        desk.service.stop(OPERATOR, execution.task_id)
        desk.airflow.down = False
        with pytest.raises(Conflict, match="was stopped by"):
            desk.step(execution.run_name, 2)
        return execution

    def test_again_changes_nothing(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.service.stop(OPERATOR, execution.task_id)
        before = desk.last_event()
        desk.service.stop(OPERATOR, execution.task_id)
        assert desk.events(before) == []

    def test_what_does_not_run(self, desk: Desk) -> None:
        task = desk.new_task()
        with pytest.raises(Conflict, match="not running"):
            desk.service.stop(OPERATOR, task.id)
        desk.controller.complete(desk.execute(task).run_name)
        with pytest.raises(Conflict, match="not running; it is completed"):
            desk.service.stop(OPERATOR, task.id)

    def test_somebody_elses_and_nobodys(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        with pytest.raises(PermissionDenied):
            desk.service.stop(EVE, execution.task_id)
        with pytest.raises(NotFound):
            desk.service.stop(OPERATOR, 12345)
        assert desk.standing(execution)[0] == "running"

    def test_the_intent_outlives_an_airflow_that_is_down(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        desk.begin(execution, 1)
        desk.airflow.down = True
        desk.service.stop(OPERATOR, execution.task_id)
        assert desk.standing(execution)[0] == "running"
        with pytest.raises(Conflict, match="stopped by operator"):
            desk.step(execution.run_name, 2)
        desk.airflow.down = False
        desk.monitor.tick()
        assert desk.standing(execution) == ("cancelled", "cancelled", ["cancelled", "skipped", "skipped"])
        assert desk.airflow.runs["prepare", execution.step_run_id(1)].state == "failed"

    def test_a_failure_that_is_reported_after_the_intent_is_the_stops_own_doing(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.airflow.down = True
        desk.service.stop(OPERATOR, execution.task_id)
        desk.controller.fail(execution.run_name, cause("prepare", "killed"))
        assert desk.standing(execution)[:2] == ("cancelled", "cancelled")

    @pytest.mark.parametrize(("controller", "end"), [("running", "cancelled"), ("success", "completed")])
    def test_whoever_reports_the_completion_after_the_intent(
        self, desk: Desk, controller: str, end: str
    ) -> None:
        """It is for the stop to find out whether the controller's run has ended well before it."""
        execution = self.all_but_completed(desk)
        desk.airflow.down = True
        desk.service.stop(OPERATOR, execution.task_id)
        for _ in range(2):
            with pytest.raises(Conflict, match="was stopped by operator"):
                desk.controller.complete(execution.run_name)
        assert desk.standing(execution) == ("running", "running", ["success"] * 3)
        desk.airflow.down = False
        desk.set_controller(execution, controller)
        desk.monitor.tick()
        assert desk.standing(execution) == (end, end, ["success"] * 3)
        agreed = {"cancelled": "failed", "completed": "success"}
        assert desk.airflow.runs[CONTROLLER, execution.run_name].state == agreed[end]
        assert Counter(event.type for event in desk.events())[f"task.{end}"] == 1

    def test_one_that_a_step_completes_before_airflow_is_told(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The step is refused, for its own run is the next thing to be failed."""
        execution = self.all_but_completed(desk)
        stop, refused = desk.airflow.stop, list[Conflict]()

        def complete_first(dag_id: str, run_id: str) -> bool:
            if dag_id == CONTROLLER:
                with pytest.raises(Conflict) as refusal:
                    desk.controller.complete(run_id)
                refused.append(refusal.value)
            return stop(dag_id, run_id)

        monkeypatch.setattr(desk.airflow, "stop", complete_first)
        desk.service.stop(OPERATOR, execution.task_id)
        assert len(refused) == 1
        assert desk.airflow.runs[CONTROLLER, execution.run_name].state == "failed"
        assert desk.standing(execution) == ("cancelled", "cancelled", ["success"] * 3)

    def test_one_of_a_chain_that_has_succeeded_and_whose_completion_was_lost(self, desk: Desk) -> None:
        execution = self.all_but_completed(desk)
        desk.set_controller(execution, "success")
        standing = desk.service.stop(OPERATOR, execution.task_id)
        assert standing.task.status == "completed"
        assert desk.standing(execution) == ("completed", "completed", ["success"] * 3)
        assert desk.airflow.runs[CONTROLLER, execution.run_name].state == "success"
        assert (desk.execution(execution.id).result or {}).keys() == {"metrics", "artifacts", "output_path"}
        before = desk.last_event()
        desk.service.stop(OPERATOR, execution.task_id)
        assert desk.controller.complete(execution.run_name).id == execution.id
        assert desk.events(before) == []

    def test_one_whose_controller_was_set_to_success_too_early(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.begin(execution, 1)
        desk.set_controller(execution, "success")
        desk.service.stop(OPERATOR, execution.task_id)
        assert desk.standing(execution) == ("cancelled", "cancelled", ["cancelled", "skipped", "skipped"])

    def all_but_completed(self, desk: Desk) -> Execution:
        """Return an execution whose three DAG runs have succeeded, which nobody has reported of the last."""
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        for position, dag_id in enumerate(desk.chain, start=1):
            desk.begin(execution, position)
            desk.airflow.set(dag_id, execution.step_run_id(position), "success")
        return execution

    def test_a_step_that_was_just_being_triggered_is_stopped_too(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        desk.set_controller(execution, "running")
        step = desk.step(execution.run_name, 1)
        desk.service.stop(OPERATOR, execution.task_id)
        desk.airflow.trigger("prepare", step.run_id, step.conf, "")
        desk.monitor.tick()
        assert desk.airflow.runs["prepare", step.run_id].state == "failed"
        assert desk.standing(execution)[1] == "cancelled"

    def test_many_at_once_end_it_once(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        failures = [
            a
            for a in at_once(6, lambda _: desk.service.stop(OPERATOR, execution.task_id))
            if isinstance(a, Exception)
        ]
        assert failures == []
        assert Counter(event.type for event in desk.events())["task.cancelled"] == 1


class TestRetry:
    def failed_in(self, desk: Desk, position: int, task: Task) -> Execution:
        execution = desk.execute(task, parameters={"x": 1}, note="first")
        for each in range(1, position + 1):
            run = desk.begin(execution, each)
            desk.tracker(run).log_metric(f"of_step_{each}", each, None)
        desk.controller.fail(execution.run_name, cause(desk.chain[position - 1]))
        return execution

    def test_goes_on_with_the_first_unfinished_step(self, desk: Desk) -> None:
        task = desk.new_task()
        first = self.failed_in(desk, 2, task)
        second = desk.retry(task)
        assert (second.attempt, second.resumed_from_id) == (2, first.id)
        assert desk.standing(second) == ("running", "running", ["reused", "queued", "queued"])
        assert (second.parameters, second.note) == ({"x": 1}, "first")
        assert desk.step(second.run_name, 1).reused_from == first.output_path
        assert desk.step(second.run_name, 2).reused_from is None
        desk.begin(second, 3)
        result = desk.controller.complete(second.run_name).result
        assert result is not None
        assert result["metrics"] == {"of_step_1": 1.0}
        assert desk.standing(second) == ("completed", "completed", ["reused", "success", "success"])
        assert desk.standing(first)[1:] == ("failed", ["success", "failed", "skipped"])

    def test_from_the_start(self, desk: Desk) -> None:
        task = desk.new_task()
        self.failed_in(desk, 2, task)
        assert desk.states(desk.retry(task, from_start=True)) == ["queued"] * 3

    def test_a_retry_of_a_retry(self, desk: Desk) -> None:
        task = desk.new_task()
        first = self.failed_in(desk, 2, task)
        second = desk.retry(task)
        desk.begin(second, 2)
        desk.begin(second, 3)
        desk.controller.fail(second.run_name, cause("report"))
        third = desk.retry(task)
        assert desk.states(third) == ["reused", "reused", "queued"]
        took_from = [desk.step(third.run_name, position).reused_from for position in (1, 2)]
        assert took_from == [first.output_path, second.output_path]

    def test_artifacts_of_reused_steps_are_the_new_attempts(self, desk: Desk, tmp_path: Path) -> None:
        task = desk.new_task(log_out_path=str(OUTPUT / tmp_path.name))
        first = desk.execute(task)
        report = Path(first.output_path) / "prepare" / "profile.json"
        report.parent.mkdir(parents=True)
        report.write_text("{}")
        desk.tracker(desk.begin(first, 1)).log_artifact(report, "profile", "application/json")
        desk.begin(first, 2)
        desk.controller.fail(first.run_name, cause("train"))
        second = desk.retry(task)
        with desk.transactions() as uow:
            (artifact,) = uow.tracking.artifacts(second.id)
        assert artifact.path == f"{second.output_path}/prepare/profile.json"
        desk.service.stop(OPERATOR, task.id)  # before anything has been copied
        third = desk.retry(task)
        assert desk.step(third.run_name, 1).reused_from == first.output_path
        for execution in (first, second, third):
            assert desk.results.artifact(OPERATOR, execution.id, "profile")[1] == report
        report.unlink()
        with pytest.raises(Gone):
            desk.results.artifact(OPERATOR, third.id, "profile")

    def test_after_a_stop(self, desk: Desk) -> None:
        task = desk.new_task()
        desk.execute(task)
        desk.service.stop(OPERATOR, task.id)
        assert desk.standing(desk.retry(task))[0] == "running"

    def test_what_cannot_be_retried(self, desk: Desk) -> None:
        task = desk.new_task()
        with pytest.raises(Conflict, match="execute it instead"):
            desk.retry(task)
        execution = desk.execute(task)
        with pytest.raises(Conflict, match="running already"):
            desk.retry(task)
        desk.controller.complete(execution.run_name)
        with pytest.raises(Conflict, match="execute it instead"):
            desk.retry(task)
        with pytest.raises(PermissionDenied):
            desk.service.retry(EVE, task.id, lambda _: {})

    @pytest.mark.parametrize("from_start", [False, True])
    def test_what_another_attempt_has_finished_meanwhile(self, desk: Desk, from_start: bool) -> None:
        """Looking at the data takes its time."""
        task = desk.new_task()
        self.failed_in(desk, 1, task)

        def meanwhile(_: Dataset) -> list[str]:
            desk.controller.complete(desk.retry(task).run_name)
            return []

        service = ExecutionService(
            transactions=desk.transactions,
            airflow=desk.airflow,
            preflight=Preflight(AnyPath(), meanwhile, lambda _: None),
            dag_ids=desk.chain,
        )
        with pytest.raises(Conflict, match="executed again since"):
            service.retry(OPERATOR, task.id, lambda _: {}, from_start=from_start)
        assert desk.executions() == 2
        assert desk.task(task).status == "completed"

    def test_a_step_controls_its_own_execution_only(self, desk: Desk) -> None:
        task = desk.new_task()
        step = desk.runs(self.failed_in(desk, 1, task))[0]
        newer = desk.execute(task)
        for control in (desk.workflows.stop, desk.workflows.retry):
            with pytest.raises(Conflict, match="executed again since"):
                control(OPERATOR, step.workflow_id, step.id)
        assert desk.standing(newer)[:2] == ("running", "running")

    @pytest.mark.parametrize("change", ["build_config", "customer", "dataset_id"])
    def test_finished_steps_are_not_mixed_with_steps_that_are_told_something_else(
        self, desk: Desk, change: str
    ) -> None:
        task = desk.new_task()
        self.failed_in(desk, 2, task)
        value = desk.new_task("other").dataset_id if change == "dataset_id" else "debug"
        with desk.transactions() as uow:
            held = uow.tasks.lock(task.id)
            assert held is not None
            setattr(held, change, value)
        with pytest.raises(Conflict, match=r"from.*start"):
            desk.retry(task)
        assert desk.states(desk.retry(task, from_start=True)) == ["queued"] * 3

    def test_many_at_once_are_one_attempt(self, desk: Desk) -> None:
        task = desk.new_task()
        self.failed_in(desk, 1, task)
        kinds = Counter(type(answer) for answer in at_once(8, lambda _: desk.retry(task)))
        assert kinds == {Execution: 1, Conflict: 7}
