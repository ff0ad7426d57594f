"""Requests that are fine, but not now: running tasks, stale versions, DAGs that cannot run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from httpx import Client
from sqlalchemy import update

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import host
from tests.integration.support import problem, status

SECOND = "ml_training_pipeline"
GONE, IS_GONE = host().DagRuns.gone


class TestConflicts:
    def test_a_running_task_is_not_executed_again(self, admin: Client, running: int) -> None:
        before = admin.get(f"tasks/{running}/status").json()
        assert "running already" in problem(admin.post(f"tasks/{running}/execute", json={}), 409)["detail"]
        assert admin.get(f"tasks/{running}/status").json() == before

    def test_a_running_task_is_not_edited(self, admin: Client, running: int) -> None:
        assert "is running" in problem(admin.put(f"tasks/{running}", json={"name": "x"}), 409)["detail"]
        assert admin.get(f"tasks/{running}").json()["name"] == "t"

    def test_a_running_task_is_not_deleted(self, admin: Client, running: int) -> None:
        assert "is running" in problem(admin.delete(f"tasks/{running}"), 409)["detail"]
        assert status(admin, running) == "running"

    def test_a_dataset_in_use_is_not_deleted(self, admin: Client, dataset_id: int, task_id: int) -> None:
        assert f"task {task_id} (t)" in problem(admin.delete(f"datasets/{dataset_id}"), 409)["detail"]
        assert admin.get(f"datasets/{dataset_id}").status_code == 200
        admin.put(f"tasks/{task_id}", json={"dataset_id": None})
        assert admin.delete(f"datasets/{dataset_id}").status_code == 204

    def test_many_uses_of_a_dataset_are_counted(
        self, admin: Client, dataset_id: int, task_body: dict[str, Any]
    ) -> None:
        for _ in range(5):
            admin.post("tasks", json={**task_body, "dataset_id": dataset_id})
        assert "and 2 more" in problem(admin.delete(f"datasets/{dataset_id}"), 409)["detail"]

    def test_a_name_that_is_taken(self, admin: Client, dataset_id: int, dataset_body: dict[str, Any]) -> None:
        assert f"dataset {dataset_id}" in problem(admin.post("datasets", json=dataset_body), 409)["detail"]
        other = admin.post("datasets", json={**dataset_body, "name": "other"}).json()["id"]
        problem(admin.put(f"datasets/{other}", json={"name": "small"}), 409)
        assert admin.put(f"datasets/{dataset_id}", json={"name": "small"}).status_code == 200

    @pytest.mark.parametrize("kind", ["tasks", "datasets"])
    def test_an_edit_of_an_older_version(
        self, admin: Client, task_id: int, dataset_id: int, kind: str
    ) -> None:
        path = f"{kind}/{task_id if kind == 'tasks' else dataset_id}"
        assert admin.put(path, json={"name": "first", "version": 1}).status_code == 200
        answer = problem(admin.put(path, json={"name": "second", "version": 1}), 409)
        assert "you have version 1, it is at 2" in answer["detail"]
        assert admin.get(path).json()["name"] == "first"
        assert admin.put(path, json={"name": "second", "version": 2}).status_code == 200

    @pytest.mark.parametrize("wanted", ["running", "completed", "failed", "cancelled"])
    def test_the_status_is_not_set_by_hand(self, admin: Client, task_id: int, wanted: str) -> None:
        answer = problem(admin.put(f"tasks/{task_id}", json={"status": wanted, "name": "x"}), 422)
        assert set(answer["errors"]) == {"status"}
        assert admin.get(f"tasks/{task_id}").json()["name"] == "t"

    def test_execute_without_dataset(self, admin: Client, task_body: dict[str, Any]) -> None:
        made = admin.post("tasks", json=task_body).json()["id"]
        assert set(problem(admin.post(f"tasks/{made}/execute", json={}), 422)["errors"]) == {"dataset_id"}
        assert status(admin, made) == "pending"


class TestChain:
    """DAGs that Airflow would not run, changed in Airflow's own table."""

    @pytest.fixture
    def dag_model(self, api_server: Any) -> Iterator[Callable[..., None]]:  # noqa: ARG002
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session

        changed: dict[str, dict[str, Any]] = {}
        good = {"is_paused": False, "has_import_errors": False, GONE: not IS_GONE}

        def write(dag_id: str, **values: Any) -> None:
            with create_session() as session:
                session.execute(update(DagModel).where(DagModel.dag_id == dag_id).values(**values))

        def change(dag_id: str, **values: Any) -> None:
            changed[dag_id] = good
            write(dag_id, **values)

        yield change
        for dag_id, values in changed.items():
            write(dag_id, **values)

    @pytest.mark.parametrize(
        "dag_id", [CONTROLLER, "data_processing_pipeline", SECOND, "simple_workflow_example"]
    )
    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"is_paused": True}, "is paused"),
            ({GONE: IS_GONE}, "is missing"),
            ({"has_import_errors": True}, "import errors"),
        ],
    )
    def test_a_dag_that_cannot_run(
        self,
        *,
        admin: Client,
        task_id: int,
        dag_model: Callable[..., None],
        dag_id: str,
        values: dict[str, Any],
        said: str,
    ) -> None:
        dag_model(dag_id, **values)
        answer = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)
        assert f"DAG {dag_id} " in answer["detail"]
        assert said in answer["detail"]
        assert status(admin, task_id) == "pending"
        dag_model(dag_id, is_paused=False, has_import_errors=False, **{GONE: not IS_GONE})
        assert admin.post(f"tasks/{task_id}/execute", json={}).status_code == 201

    def test_a_chain_of_dags_that_nobody_has(
        self, admin: Client, task_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from svops_plugin.bootstrap import services

        monkeypatch.setenv("AIRFLOW__SVOPS__CHAIN", "one_thing, other_thing")
        services.cache_clear()
        detail = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)["detail"]
        assert "DAG one_thing is missing" in detail
        assert "DAG other_thing is missing" in detail

    def test_every_dag_at_fault_is_named(
        self, admin: Client, task_id: int, dag_model: Callable[..., None]
    ) -> None:
        dag_model(CONTROLLER, is_paused=True)
        dag_model(SECOND, **{GONE: IS_GONE})
        answer = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)
        assert len(answer["errors"]["chain"]) == 2
        assert CONTROLLER in answer["detail"]
        assert SECOND in answer["detail"]
