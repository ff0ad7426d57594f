"""What the DAGs' tasks and callbacks do in the database, called as Airflow calls them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred
from airflow.triggers.base import TaskSuccessEvent

from svops_plugin.application import chain
from svops_plugin.application.controller import ControllerRun
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.application.tasks import found_task
from svops_plugin.bootstrap import Services, host
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import ConfigurationProblem, InvalidInput
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.domain.states import RunStatus, TaskStatus
from svops_plugin.orchestration import PipelineOperator, controller, pipeline
from svops_plugin.orchestration import step as steps
from svops_plugin.orchestration.step import ChainStepOperator, controller_run
from svops_plugin.orchestration.trigger import ChainStepTrigger
from svops_plugin.pipelines import tracking
from svops_plugin.pipelines.errors import PerformanceError
from svops_plugin.pipelines.run import PipelineRun
from tests.conftest import OUTPUT
from tests.integration.inside import CHAIN, FIRST, THIRD, new_task, states


def by_hand(svops: Services, folder: Path) -> tuple[int, dict[str, Any]]:
    """Trigger the controller as an operator does; return the task and the context of its run's tasks."""
    task_id = new_task(svops, folder)
    run = controllers_run("manual__1", {"task_id": task_id})
    svops.controller.begin_step(controller_run(run), 1, FIRST, lambda _: None)
    return task_id, {"dag_run": run, "run_id": run.run_id}


def controllers_run(run_id: str, conf: Any, username: str | None = "ann") -> Any:
    """Return a run of the controller as its tasks' context has it."""
    return SimpleNamespace(
        run_id=run_id, conf=conf, triggering_user_name=username, clear_number=0, start_date=utcnow()
    )


def first_step(run: Any) -> None:
    """Execute the controller's first step in a run."""
    step = ChainStepOperator(task_id="first", trigger_dag_id=FIRST, position=1)
    step.execute({"dag_run": run, "run_id": run.run_id})


def child(svops: Services, context: dict[str, Any], position: int) -> dict[str, Any]:
    """Return the context of the tasks of a step's DAG run."""
    dag_id = CHAIN[position - 1]
    step = svops.controller.begin_step(controller_run(context["dag_run"]), position, dag_id, lambda _: None)
    assert step is not None
    return {"dag_run": SimpleNamespace(dag_id=dag_id, run_id=step.run_id, conf=step.conf)}


@pytest.fixture
def child_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every DAG run that a trigger asks for has succeeded."""

    async def state(*_: str) -> str:
        return "success"

    monkeypatch.setattr(host(), "child_state", state)


def await_trigger(trigger: ChainStepTrigger) -> list[Any]:
    """Return the events of a trigger, run to its end in a loop as the triggerer's."""

    async def events() -> list[Any]:
        return [event async for event in trigger.run()]

    return asyncio.run(events())


def instance(task_id: str) -> Any:
    return SimpleNamespace(task_id=task_id, log_url=f"http://airflow.example/log/{task_id}")


class TestGroundTruth:
    """Ground truth that does not fit the data: a failed task that says what and where."""

    @pytest.mark.parametrize(
        ("labels", "said"),
        [
            ("sample,label\na,x\nb,y\nc,x\n", "'d'"),
            ("sample,label\na,x\nb,y\nc,x\nd,y\ne,x\n", "'e'"),
            ("sample,label\na,x\na,y\nb,y\nc,x\nd,y\n", "'a' was labelled before"),
            ("sample,label\na,x\nb,x\nc,x\nd,x\n", "at least two classes"),
            ("name,kind\na,x\n", "columns sample and label"),
            ("", "columns sample and label"),
        ],
    )
    def test_the_chain_fails_in_its_first_dag(
        self, svops: Services, dataset_folder: Path, labels: str, said: str
    ) -> None:
        task_id, context = by_hand(svops, dataset_folder)
        (dataset_folder / "labels.csv").write_text(labels)
        run = child(svops, context, 1)
        with pytest.raises(AirflowFailException) as refusal:
            pipeline.run_pipeline_step("extract_data", **run)
        assert said in str(refusal.value)
        failed = {"task_instance": instance("extract_data"), "exception": refusal.value}
        pipeline.record_cause({**run, **failed})
        step = {"task": SimpleNamespace(position=1), "task_instance": instance("1_step")}
        controller.fail_execution(
            {**context, **step, "exception": AirflowFailException(f"{FIRST} ended as failed.")}
        )
        assert states(svops, task_id) == ("failed", ["failed", "skipped", "skipped"])
        reason = svops.tasks.get(OPERATOR, task_id).status_reason or ""
        assert reason.startswith(f"{FIRST}, task extract_data: ")
        assert said in reason
        error = svops.executions.standing(OPERATOR, task_id).execution.error  # type: ignore[union-attr]  # it has one
        assert error is not None
        assert error["log_url"] == "http://airflow.example/log/extract_data"


class TestController:
    def test_claims_for_whoever_triggered_it(self, svops: Services, dataset_folder: Path) -> None:
        task_id, _ = by_hand(svops, dataset_folder)
        standing = svops.executions.standing(OPERATOR, task_id)
        assert (str(standing.task.status), standing.chain) == ("running", list(CHAIN))
        assert standing.execution is not None
        assert standing.execution.requested_by == "ann"

    @pytest.mark.parametrize("conf", [None, {}, {"task_id": 12345}, {"task_id": "1"}])
    def test_a_bad_conf_fails_at_once_and_for_good(self, svops: Services, conf: Any) -> None:  # noqa: ARG002
        with pytest.raises(AirflowFailException, match="task"):
            first_step(controllers_run("manual__1", conf, None))
        controller.fail_execution({"run_id": "manual__1", "exception": ValueError("it failed")})

    def test_a_connection_that_is_not_found_may_be_found_by_the_next_try(
        self, svops: Services, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Kept in Airflow's database, it is "not found" while that is away: Airflow asks elsewhere."""
        task_id = new_task(svops, dataset_folder)
        with monkeypatch.context() as meanwhile:
            meanwhile.delenv("AIRFLOW_CONN_SVOPS_DB")
            with pytest.raises(ConfigurationProblem, match="database is not set"):
                first_step(controllers_run("manual__1", {"task_id": task_id}))
        assert svops.executions.standing(OPERATOR, task_id).execution is None

    def test_a_running_task_fails_at_once_and_stays_as_it_is(
        self, svops: Services, dataset_folder: Path
    ) -> None:
        task_id, _ = by_hand(svops, dataset_folder)
        with pytest.raises(AirflowFailException, match="running already"):
            first_step(controllers_run("manual__2", {"task_id": task_id}, "eve"))
        controller.fail_execution({"run_id": "manual__2", "exception": ValueError("it failed")})
        assert states(svops, task_id) == ("running", ["queued"] * 3)

    def test_the_last_step_completes_the_execution_from_the_triggerer(
        self,
        svops: Services,
        dataset_folder: Path,
        child_succeeds: None,  # noqa: ARG002
    ) -> None:
        task_id, context = by_hand(svops, dataset_folder)
        for position in (2, 3):
            run = child(svops, context, position)["dag_run"]
        (event,) = await_trigger(ChainStepTrigger(THIRD, run.run_id, 0.0, context["run_id"]))
        assert isinstance(event, TaskSuccessEvent)
        assert states(svops, task_id) == ("completed", ["success"] * 3)

    @pytest.mark.parametrize("execution", ["failed", "unknown"])
    def test_what_cannot_be_completed_from_the_triggerer_is_left_to_the_monitor(
        self,
        svops: Services,
        dataset_folder: Path,
        child_succeeds: None,  # noqa: ARG002
        execution: str,
    ) -> None:
        task_id, context = by_hand(svops, dataset_folder)
        completes, stays = "manual__other", "running"
        if execution == "failed":
            svops.controller.fail(context["run_id"], failure(FIRST, "first"))
            completes, stays = context["run_id"], "failed"
        (event,) = await_trigger(ChainStepTrigger(THIRD, "run", 0.0, completes))
        assert isinstance(event, TaskSuccessEvent)
        assert states(svops, task_id)[0] == stays

    @pytest.mark.parametrize(
        ("parallelism", "looked"), [("1", 0), ("2", len(steps.LOOKS)), ("0", len(steps.LOOKS))]
    )
    def test_no_slot_is_held_while_slots_are_scarce(
        self,
        svops: Services,
        dataset_folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        parallelism: str,
        looked: int,
    ) -> None:
        """With as many chains as slots a step defers at once; with fewer it looks first."""
        looks: list[str] = []
        airflow = SimpleNamespace(
            start_child=lambda *_: True, child_state_in_task=lambda *run: looks.append(run[-1])
        )
        monkeypatch.setattr(steps, "host", lambda: airflow)
        monkeypatch.setattr(steps, "LOOKS", [0.0] * len(steps.LOOKS))
        monkeypatch.setenv("AIRFLOW__CORE__PARALLELISM", parallelism)
        task_id = new_task(svops, dataset_folder)
        with pytest.raises(TaskDeferred):
            first_step(controllers_run("manual__1", {"task_id": task_id}))
        assert len(looks) == looked

    @pytest.mark.parametrize("position", [1, 2, 3])
    def test_a_step_that_is_repeated_after_the_completion_succeeds(
        self, svops: Services, dataset_folder: Path, position: int
    ) -> None:
        """A scheduler that was killed has lost sight of the process that did it, and starts another."""
        task_id, context = by_hand(svops, dataset_folder)
        svops.controller.complete(context["run_id"])
        step = ChainStepOperator(task_id="again", trigger_dag_id=CHAIN[position - 1], position=position)
        step.execute(context)
        assert states(svops, task_id) == ("completed", ["success"] * 3)

    def test_a_reused_last_step_completes_the_execution(self, svops: Services, dataset_folder: Path) -> None:
        """Somebody failed the controller's run when all three DAGs had succeeded: nothing is left to run."""
        task_id, context = by_hand(svops, dataset_folder)
        with svops.transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            for run in uow.runs.of_execution(task.last_execution_id or 0):
                chain.end_run(uow, task, run, RunStatus.SUCCESS)
        svops.controller.fail(context["run_id"], failure(CONTROLLER, "set to failed"))
        run = controllers_run("manual__1", {"task_id": task_id})
        run.clear_number, run.start_date = 1, utcnow()
        for position, dag_id in enumerate(CHAIN, start=1):
            assert states(svops, task_id)[0] == ("failed" if position == 1 else "running")
            step = ChainStepOperator(task_id="step", trigger_dag_id=dag_id, position=position)
            step.execute({"dag_run": run, "run_id": run.run_id})
        assert states(svops, task_id) == ("completed", ["reused"] * 3)


class TestPlacesAreLookedAtAgain:
    """A run by hand goes no other way to the files than one that REST has triggered."""

    def refused(self, svops: Services, task_id: int, field: str) -> None:
        run = ControllerRun("manual__1", {"task_id": task_id})
        with pytest.raises(InvalidInput, match="outside the allowed folders") as refusal:
            svops.controller.begin_step(run, 1, FIRST, lambda _: pytest.fail("It was triggered."))
        assert set(refusal.value.errors) == {field}
        task = svops.tasks.get(OPERATOR, task_id)
        assert (task.status, task.last_execution_id) == (TaskStatus.PENDING, None)

    def test_a_dataset_that_leads_elsewhere_now(self, svops: Services, dataset_folder: Path) -> None:
        task_id = new_task(svops, dataset_folder)
        dataset_folder.rename(f"{dataset_folder}-aside")
        dataset_folder.symlink_to("/etc")
        self.refused(svops, task_id, "dataset")

    def test_an_output_folder_that_leads_elsewhere_now(
        self, svops: Services, dataset_folder: Path, tmp_path: Path
    ) -> None:
        task_id = new_task(svops, dataset_folder)
        output = OUTPUT / dataset_folder.name
        svops.tasks.update(OPERATOR, task_id, {"log_out_path": str(output)})
        output.symlink_to(tmp_path)
        self.refused(svops, task_id, "log_out_path")
        assert list(tmp_path.iterdir()) == []


class TestPipelines:
    def test_a_run_by_hand_says_how_to_start_one(self, svops: Services) -> None:  # noqa: ARG002
        run = SimpleNamespace(dag_id=FIRST, run_id="manual__1", conf=None)
        with pytest.raises(AirflowFailException, match="execute a task, or run the DAG's workflow"):
            pipeline.run_pipeline_step("extract_data", dag_run=run)

    def test_a_first_step_begins_the_run(self, svops: Services, dataset_folder: Path) -> None:
        rows = [(f"s{number}", number % 2) for number in range(40)]
        features = "".join(f"{sample},{label},{len(sample)}\n" for sample, label in rows)
        (dataset_folder / "table.csv").write_text(f"sample,height,width\n{features}")
        (dataset_folder / "labels.csv").write_text(
            "sample,label\n" + "".join(f"{sample},{label}\n" for sample, label in rows)
        )
        task_id, context = by_hand(svops, dataset_folder)
        summary = pipeline.run_pipeline_step("extract_data", **child(svops, context, 1))
        assert states(svops, task_id) == ("running", ["running", "queued", "queued"])
        assert summary["samples"] == 40
        assert (OUTPUT / f"task_{task_id}" / "1").is_dir()


class TestPipelineOperator:
    """A DAG of somebody's own, in the chain."""

    def operator(self, pipeline_function: Any, **arguments: Any) -> PipelineOperator:
        return PipelineOperator(task_id="own", pipeline=pipeline_function, **arguments)

    def test_it_is_given_the_run_and_reports_to_it(self, svops: Services, dataset_folder: Path) -> None:
        def measure(run: PipelineRun) -> list[Any]:
            tracking.log_metric("own", 0.5)
            return [run.task_id, str(run.dataset.path), run.output.is_dir()]

        task_id, context = by_hand(svops, dataset_folder)
        answer = self.operator(measure).execute(child(svops, context, 1))
        assert answer == [task_id, str(dataset_folder), True]
        (run, *_) = svops.executions.standing(OPERATOR, task_id).runs
        detail = svops.workflows.detail(OPERATOR, run.workflow_id, run.id)
        assert [(metric.name, metric.value) for metric in detail.metrics] == [("own", 0.5)]

    def test_a_refusal_is_not_tried_again(self, svops: Services, dataset_folder: Path) -> None:
        def refuse(_run: PipelineRun) -> None:
            raise PerformanceError("too bad")

        _, context = by_hand(svops, dataset_folder)
        with pytest.raises(AirflowFailException, match="too bad"):
            self.operator(refuse).execute(child(svops, context, 1))

    def test_any_other_error_is_airflows_to_try_again(self, svops: Services, dataset_folder: Path) -> None:
        def stumble(_run: PipelineRun) -> None:
            raise OSError("no space left")

        _, context = by_hand(svops, dataset_folder)
        with pytest.raises(OSError, match="no space left"):
            self.operator(stumble).execute(child(svops, context, 1))

    def test_svops_is_told_first_and_others_after_it(self) -> None:
        def own(_context: Any) -> None:
            """Be told."""

        told = [[pipeline.record_cause, own]] * 3
        given = [{"on_failure_callback": own}, {"on_failure_callback": [own]}, {}]
        with DAG("own", schedule=None, default_args={"on_failure_callback": own}):
            operators = [
                PipelineOperator(task_id=f"own_{number}", pipeline=print, **arguments)
                for number, arguments in enumerate(given)
            ]
        assert [operator.on_failure_callback for operator in operators] == told
        assert self.operator(print).on_failure_callback == [pipeline.record_cause]
