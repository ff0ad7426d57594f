"""What the DAGs' tasks and callbacks do in the database, called as Airflow calls them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import Services, services
from svops_plugin.domain.entities import DataType, utcnow
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.orchestration import controller, pipeline
from svops_plugin.orchestration.step import ChainStepOperator, controller_run
from tests.conftest import OUTPUT

FIRST, SECOND, THIRD = CHAIN = ("data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example")


@pytest.fixture
def svops(svops_database: str, airflow_metadata: None) -> Services:  # noqa: ARG001
    return services()


def new_task(svops: Services, folder: Path) -> int:
    dataset = {"name": folder.name, "path": str(folder), "data_type": DataType.VECTOR}
    dataset_id = svops.datasets.create(OPERATOR, dataset).id
    task = {"name": "t", "customer": "c", "log_out_path": str(OUTPUT), "dataset_id": dataset_id}
    return svops.tasks.create(OPERATOR, task).id


def by_hand(svops: Services, folder: Path) -> tuple[int, dict[str, Any]]:
    """Trigger the controller as an operator does; return the task and the context of its run's tasks."""
    task_id = new_task(svops, folder)
    run = controllers_run("manual__1", {"task_id": task_id})
    svops.controller.begin_step(controller_run(run), 1, FIRST)
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
    step = svops.controller.begin_step(controller_run(context["dag_run"]), position, dag_id)
    return {"dag_run": SimpleNamespace(dag_id=dag_id, run_id=step.run_id, conf=step.conf)}


def states(svops: Services, task_id: int) -> tuple[str, list[str]]:
    standing = svops.executions.standing(OPERATOR, task_id)
    return str(standing.task.status), [str(run.status) for run in standing.runs]


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

    def test_a_running_task_fails_at_once_and_stays_as_it_is(
        self, svops: Services, dataset_folder: Path
    ) -> None:
        task_id, _ = by_hand(svops, dataset_folder)
        with pytest.raises(AirflowFailException, match="running already"):
            first_step(controllers_run("manual__2", {"task_id": task_id}, "eve"))
        controller.fail_execution({"run_id": "manual__2", "exception": ValueError("it failed")})
        assert states(svops, task_id) == ("running", ["queued"] * 3)

    def test_completes(self, svops: Services, dataset_folder: Path) -> None:
        task_id, context = by_hand(svops, dataset_folder)
        assert controller.complete(**context)["output_path"] == f"{OUTPUT}/task_{task_id}/1"
        assert states(svops, task_id) == ("completed", ["success"] * 3)

    def test_the_dags_own_callback_blames_the_controller(self, svops: Services, dataset_folder: Path) -> None:
        task_id, context = by_hand(svops, dataset_folder)
        controller.fail_execution({**context, "reason": "timed_out"})
        assert states(svops, task_id) == ("failed", ["skipped"] * 3)
        assert svops.tasks.get(OPERATOR, task_id).status_reason == f"{CONTROLLER}: timed_out"


class TestPipelines:
    def test_a_run_outside_a_chain_says_how_to_start_one(self, svops: Services) -> None:  # noqa: ARG002
        run = SimpleNamespace(dag_id=FIRST, run_id="manual__1", conf=None)
        with pytest.raises(AirflowFailException, match="execute a task instead"):
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
        assert isinstance(summary, dict)
        assert (OUTPUT / f"task_{task_id}" / "1").is_dir()
