"""The tasks of SVOps' own DAG files, run alone one DAG after the other, as Airflow runs them."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.utils.session import create_session
from sqlalchemy import update

from svops_plugin.application.workflows import RunDetail
from svops_plugin.bootstrap import Services
from svops_plugin.domain.entities import WorkflowRun
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.orchestration.pipeline import record_cause
from tests.conftest import OUTPUT
from tests.integration.inside import CHAIN, FIRST, SECOND, THIRD, new_task

DAGS = Path(__file__).parents[2] / "dags"


@pytest.fixture
def task_id(svops: Services, dataset_folder: Path) -> int:
    """A task on forty samples of two classes that are easily told apart."""
    rows = [(f"s{number}", number % 2) for number in range(40)]
    table = [f"{sample},{label * 5 + number % 3},{number % 7}" for number, (sample, label) in enumerate(rows)]
    (dataset_folder / "table.csv").write_text("\n".join(["sample,height,width", *table]))
    labels = [f"{sample},{label}" for sample, label in rows]
    (dataset_folder / "labels.csv").write_text("\n".join(["sample,label", *labels]))
    return new_task(svops, dataset_folder, build_config="test-config-e2e")


def start(svops: Services, dag_id: str, **values: Any) -> WorkflowRun:
    """Run a DAG alone, registered first."""
    with svops.transactions() as uow:
        known = uow.workflows.of_dag(dag_id)
    workflow = known or svops.workflows.create(OPERATOR, {"name": dag_id, "dag_id": dag_id})
    return svops.workflows.run(OPERATOR, workflow.id, values)


def work(run: WorkflowRun) -> None:
    """Do what Airflow does with the tasks of a run, up to the first that fails, callback included."""
    dag = runpy.run_path(str(DAGS / f"{run.dag_id}.py"))["dag"]
    dag_run = SimpleNamespace(dag_id=run.dag_id, run_id=run.dag_run_id, conf={})
    for task in dag.topological_sort():
        context = {
            "dag_run": dag_run,
            "task_instance": SimpleNamespace(task_id=task.task_id, log_url="http://log"),
        }
        try:
            task.python_callable(**task.op_kwargs, **context)
        except AirflowFailException as error:
            record_cause({**context, "exception": error})
            raise


def end(svops: Services, run: WorkflowRun, state: str) -> RunDetail:
    """Let a DAG run end in Airflow, and return what SVOps says of it then."""
    with create_session() as session:
        session.execute(update(DagRun).where(DagRun.run_id == run.dag_run_id).values(state=state))
    svops.monitor.tick()
    return svops.workflows.detail(OPERATOR, run.workflow_id, run.id)


def test_one_after_the_other(svops: Services, task_id: int) -> None:
    details = {}
    for dag_id in CHAIN:
        run = start(svops, dag_id, task_id=task_id, note="alone")
        work(run)
        details[dag_id] = end(svops, run, "success")
    assert {str(detail.run.status) for detail in details.values()} == {"success"}
    folders = {dag_id: f"{OUTPUT}/task_{task_id}/alone/run_{details[dag_id].run.id}" for dag_id in CHAIN}
    left = {dag_id: {a.name: a.path for a in detail.artifacts} for dag_id, detail in details.items()}
    assert left[FIRST]["profile.json"] == f"{folders[FIRST]}/profile.json"
    assert left[SECOND]["model.joblib"] == f"{folders[SECOND]}/model/model.joblib"
    assert left[THIRD].keys() == {"report.html", "metrics.json"}
    measured = {m.name: m.value for m in details[THIRD].metrics}
    assert measured["accuracy"] == 1.0
    assert "cv_accuracy" in {m.name for m in details[SECOND].metrics}
    profile = svops.tasks.get(OPERATOR, task_id).dataset
    assert profile is not None
    assert (profile.profile or {})["samples"] == 40
    assert svops.tasks.get(OPERATOR, task_id).status == "pending"


@pytest.mark.parametrize(
    ("dag_id", "named", "words"),
    [
        (FIRST, False, "run it with the id of one"),
        (SECOND, True, f"goes on from what {FIRST} left"),
        (THIRD, True, f"goes on from what {SECOND} left"),
    ],
)
def test_a_refusal_is_the_runs_error(
    svops: Services, task_id: int, dag_id: str, named: bool, words: str
) -> None:
    run = start(svops, dag_id, **({"task_id": task_id} if named else {}))
    with pytest.raises(AirflowFailException, match=words):
        work(run)
    detail = end(svops, run, "failed")
    assert detail.run.status == "failed"
    error = detail.run.error or {}
    assert words in error["message"]
    assert error["dag_id"] == dag_id
    assert error["log_url"] == "http://log"


def test_a_task_that_was_killed_has_a_cause(svops: Services, task_id: int) -> None:
    """Airflow 3 calls back without an exception then: the process that had it is gone."""
    run = start(svops, FIRST, task_id=task_id)
    task_instance = SimpleNamespace(task_id="transform_data")
    record_cause(
        {"dag_run": SimpleNamespace(dag_id=FIRST, run_id=run.dag_run_id), "task_instance": task_instance}
    )
    error = end(svops, run, "failed").run.error or {}
    assert error["task_id"] == "transform_data"
    assert "its process was killed" in error["message"]
