"""When something SVOps needs is down or defective: a clear answer, nothing half-written, and back again."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from svops_plugin.application.tasks import TaskService
from tests.conftest import OUTPUT, PostgreSQL, connection
from tests.hosts import hosting
from tests.integration.support import at_once, problem
from tests.server import BASE


@pytest.fixture
def task_id(admin: Client, dataset_folder: Path) -> int:
    body: dict[str, Any] = {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}
    dataset_id = admin.post("datasets", json=body).json()["id"]
    body = {"name": "t", "customer": "c", "log_out_path": str(OUTPUT), "dataset_id": dataset_id}
    return int(admin.post("tasks", json=body).json()["id"])


class TestAirflowsDatabaseDown:
    def test_everything_is_503_and_works_again(
        self, admin: Client, task_id: int, postgresql: PostgreSQL
    ) -> None:
        """Nobody's token can be looked at then."""
        from airflow import settings

        before = admin.get(f"tasks/{task_id}").json()
        settings.Session.remove()  # this thread's, which making the tokens has left with a connection
        postgresql.close("airflow")
        try:
            for method, path in [
                ("GET", "tasks"),
                ("GET", f"tasks/{task_id}/status"),
                ("POST", f"tasks/{task_id}/execute"),
                ("DELETE", f"tasks/{task_id}"),
            ]:
                answer = admin.request(method, path, json={} if method == "POST" else None)
                assert "Airflow's database does not answer" in problem(answer, 503)["detail"], path
                assert answer.headers["retry-after"].isdigit()
        finally:
            postgresql.open("airflow")
        assert admin.get(f"tasks/{task_id}").json() == before
        assert before["status"] == "pending"


class TestDatabaseDown:
    def test_everything_is_503_and_works_again(
        self, admin: Client, task_id: int, postgresql: PostgreSQL, svops_database: str
    ) -> None:
        before = admin.get(f"tasks/{task_id}").json()
        postgresql.close(svops_database)
        for method, path, body in [
            ("GET", "tasks", None),
            ("GET", f"tasks/{task_id}", None),
            ("GET", f"tasks/{task_id}/status", None),
            ("POST", f"tasks/{task_id}/execute", {}),
            ("PUT", f"tasks/{task_id}", {"name": "x"}),
            ("DELETE", f"tasks/{task_id}", None),
            ("GET", "datasets", None),
            ("POST", "tasks", {"name": "t", "customer": "c", "log_out_path": str(OUTPUT)}),
        ]:
            answer = admin.request(method, path, json=body)
            assert "does not answer" in problem(answer, 503)["detail"], path
            assert answer.headers["retry-after"].isdigit()
        postgresql.open(svops_database)
        assert admin.get(f"tasks/{task_id}").json() == before
        assert before["status"] == "pending"
        assert admin.post(f"tasks/{task_id}/execute", json={}).status_code == 201

    def test_signing_in(
        self, nobody: Client, admin: Client, postgresql: PostgreSQL, svops_database: str
    ) -> None:
        from tests.server import PASSWORD

        credentials = {"username": "admin", "password": PASSWORD}
        token = nobody.post("auth/login", json=credentials).json()["refresh_token"]
        postgresql.close(svops_database)
        problem(nobody.post("auth/login", json=credentials), 503)
        problem(nobody.post("auth/refresh", json={"refresh_token": token}), 503)
        problem(admin.get("tasks"), 503)
        postgresql.open(svops_database)
        assert nobody.post("auth/refresh", json={"refresh_token": token}).status_code == 200

    def test_health_says_so(self, nobody: Client, postgresql: PostgreSQL, svops_database: str) -> None:
        assert nobody.get("health").status_code == 200
        postgresql.close(svops_database)
        answer = nobody.get("health")
        assert (answer.status_code, answer.json()["status"]) == (503, "unhealthy")
        assert "does not answer" in answer.json()["detail"]
        postgresql.open(svops_database)
        assert nobody.get("health").status_code == 200

    def test_a_server_that_is_not_there(
        self,
        admin: Client,
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", "postgres://nobody@127.0.0.1:1/nothing")
        problem(admin.get("tasks"), 503)

    def test_an_old_schema(
        self,
        admin: Client,
        empty_postgresql: str,
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", connection(empty_postgresql))
        assert "svops db upgrade" in problem(admin.get("tasks"), 503)["detail"]

    def test_no_connection(
        self,
        admin: Client,
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_SVOPS_DB")
        assert "AIRFLOW_CONN_SVOPS_DB" in problem(admin.get("tasks"), 503)["detail"]

    def test_a_connection_of_another_type(
        self,
        admin: Client,
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", "mysql://somebody:hush@127.0.0.1/svops")
        detail = problem(admin.get("tasks"), 503)["detail"]
        assert "needs postgres" in detail
        assert "hush" not in detail


class TestDefects:
    @pytest.fixture
    def defect(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("a secret of the server")

        monkeypatch.setattr(TaskService, "page", fail)

    @pytest.mark.usefixtures("defect")
    def test_an_unexpected_exception(self, admin: Client, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.ERROR, "svops_plugin"):
            answer = problem(admin.get("tasks"), 500)
        assert "secret" not in str(answer)
        assert any(record.exc_info for record in caplog.records)
        assert admin.get("datasets").status_code == 200

    @pytest.mark.usefixtures("defect")
    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_at_every_address(self, admin: Client, root: str) -> None:
        problem(admin.get(f"{BASE}{root}/tasks"), 500)


def test_many_requests_at_once(admin: Client, task_id: int) -> None:
    """Of as many as the server has threads for and more, one executes and each is answered."""
    answers = at_once(40, lambda _: admin.post(f"tasks/{task_id}/execute", json={}).status_code)
    assert sorted(map(str, answers)) == ["201"] + ["409"] * 39
