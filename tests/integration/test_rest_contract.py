"""The wire contract, field by field, on a real API server of Airflow at both of its addresses."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import Client, Response

from svops_plugin.application.executions import CONTROLLER
from tests.conftest import OUTPUT
from tests.integration.conftest import BASE, PASSWORD, Clients
from tests.integration.support import problem

CHAIN = ["data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example"]
USER = {"id", "username", "email", "name", "is_active", "is_superuser", "roles", "created_at"}
TOKENS = {"access_token", "refresh_token", "token_type", "expires_in", "user"}
DATASET = {
    "id",
    "name",
    "description",
    "path",
    "data_type",
    "gt_path",
    "created_by_id",
    "created_at",
    "updated_at",
    "tags",
    "profile",
    "fingerprint",
    "version",
}
CONFIGURATION = {
    "branch_name",
    "commit_id",
    "build_config",
    "build_config_customized",
    "build_config_custom_conf",
    "build_config_custom_ini",
}
TASK = {
    "id",
    "name",
    "description",
    "customer",
    "log_out_path",
    "status",
    "created_at",
    "updated_at",
    "created_by_id",
    "configuration",
    "dataset",
    "video_output",
    "status_reason",
    "last_execution_id",
    "result",
    "tags",
    "version",
}
STATUS = {
    "task_id",
    "task_status",
    "task_name",
    "dag_chain",
    "workflow_runs",
    "total_workflow_runs",
    "overall_status",
    "execution_id",
    "attempt",
    "progress",
    "error",
}
RUN = {
    "id",
    "workflow_id",
    "status",
    "trigger_type",
    "configuration",
    "start_date",
    "end_date",
    "execution_date",
    "triggered_by",
    "external_trigger_id",
    "note",
    "dag_id",
    "position",
    "progress",
    "error",
}


def ok(answer: Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).utcoffset() == timedelta(0)


@pytest.fixture
def dataset(admin: Client, dataset_folder: Path) -> dict[str, Any]:
    body = {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}
    made: dict[str, Any] = ok(admin.post("datasets", json=body), 201)
    return made


@pytest.fixture
def task(admin: Client, dataset: dict[str, Any]) -> dict[str, Any]:
    body = {"name": "t", "customer": "acme", "log_out_path": str(OUTPUT), "dataset_id": dataset["id"]}
    made: dict[str, Any] = ok(admin.post("tasks", json=body), 201)
    return made


class TestAddresses:
    @pytest.mark.parametrize("root", ["/svops/api/v1", "/pluginsv2/svops/api/v1"])
    @pytest.mark.parametrize("end", ["", "/"])
    def test_both_addresses_with_and_without_slash(
        self, admin: Client, dataset: dict[str, Any], root: str, end: str
    ) -> None:
        listed = ok(admin.get(f"{BASE}{root}/datasets{end}"))
        assert [item["id"] for item in listed["items"]] == [dataset["id"]]
        assert ok(admin.get(f"{BASE}{root}/datasets/{dataset['id']}{end}")) == dataset
        changed = ok(admin.put(f"{BASE}{root}/datasets/{dataset['id']}{end}", json={"description": "x"}))
        assert changed["description"] == "x"
        assert admin.delete(f"{BASE}{root}/datasets/{dataset['id']}{end}").status_code == 204
        again = {name: dataset[name] for name in ("name", "path", "data_type")}
        ok(admin.post(f"{BASE}{root}/datasets{end}", json=again), 201)

    @pytest.mark.parametrize("root", ["/svops/api/v1", "/pluginsv2/svops/api/v1"])
    @pytest.mark.parametrize("end", ["", "/"])
    def test_actions_with_and_without_slash(
        self, admin: Client, task: dict[str, Any], root: str, end: str
    ) -> None:
        assert ok(admin.get(f"{BASE}{root}/tasks/{task['id']}/status{end}"))["task_id"] == task["id"]
        ok(admin.post(f"{BASE}{root}/tasks/{task['id']}/execute{end}", json={}), 201)
        assert ok(admin.get(f"{BASE}{root}/auth/me{end}"))["username"] == "admin"

    def test_below_a_base_path(self, api_server: Any, svops_database: str, tokens: dict[str, str]) -> None:  # noqa: ARG002
        """As behind a proxy, where [api] base_url has a path."""
        from starlette.testclient import TestClient

        below = TestClient(api_server, base_url=BASE, root_path="/air/flow")
        headers = {"Authorization": f"Bearer {tokens['admin']}"}
        for root in ("/svops/api/v1", "/pluginsv2/svops/api/v1"):
            assert ok(below.get(f"/air/flow{root}/tasks", headers=headers))["total"] == 0
            problem(below.get(f"/air/flow{root}/nothing", headers=headers), 404)


class TestAuth:
    def login(self, nobody: Client, name: str = "admin") -> dict[str, Any]:
        body: dict[str, Any] = ok(nobody.post("auth/login", json={"username": name, "password": PASSWORD}))
        return body

    def test_login(self, nobody: Client) -> None:
        body = self.login(nobody)
        assert body.keys() == TOKENS
        assert body["token_type"] == "bearer"  # noqa: S105
        assert type(body["expires_in"]) is int
        assert body["user"].keys() >= USER
        assert body["user"]["username"] == "admin"
        assert body["user"]["email"] == "admin@svops.example"
        assert body["user"]["name"] == "Admin Van Dyke"
        assert (body["user"]["is_active"], body["user"]["is_superuser"]) == (True, True)
        assert body["user"]["roles"] == ["Admin"]
        assert is_time(body["user"]["created_at"])
        me = ok(nobody.get("auth/me", headers={"Authorization": f"Bearer {body['access_token']}"}))
        assert {name: me[name] for name in body["user"]} == body["user"]

    def test_the_token_serves_airflows_own_api_too(self, nobody: Client) -> None:
        token = self.login(nobody)["access_token"]
        answer = nobody.get(f"{BASE}/api/v2/dags", headers={"Authorization": f"Bearer {token}"})
        assert {dag["dag_id"] for dag in ok(answer)["dags"]} >= {CONTROLLER, *CHAIN}

    @pytest.mark.parametrize("way", ["body", "bearer", "bearer without body"])
    def test_refresh(self, nobody: Client, way: str) -> None:
        token = self.login(nobody, "user")["refresh_token"]
        if way == "body":
            answer = nobody.post("auth/refresh", json={"refresh_token": token})
        else:
            more: dict[str, Any] = {"json": {}} if way == "bearer" else {}
            answer = nobody.post("auth/refresh", headers={"Authorization": f"Bearer {token}"}, **more)
        body = ok(answer)
        assert body.keys() == TOKENS
        assert body["refresh_token"] != token
        assert body["user"]["username"] == "user"
        problem(nobody.post("auth/refresh", json={"refresh_token": token}), 401)

    def test_me(self, client: Clients) -> None:
        body = ok(client("viewer").get("auth/me"))
        assert body.keys() >= USER | {"permissions"}
        assert (body["is_superuser"], body["roles"]) == (False, ["Viewer"])
        assert body["permissions"]["dataset"] == ["read"]
        assert "execute" in ok(client("user").get("auth/me"))["permissions"]["task"]

    def test_the_id_of_a_user_is_airflows(self, admin: Client) -> None:
        from airflow.api_fastapi.app import get_auth_manager

        manager: Any = get_auth_manager()
        assert ok(admin.get("auth/me"))["id"] == manager.security_manager.find_user("admin").id


class TestDatasets:
    def test_a_new_one(self, admin: Client, dataset_folder: Path) -> None:
        body = {
            "name": "digits é",
            "description": "of the year",
            "path": str(dataset_folder),
            "data_type": "Vector",
            "gt_path": str(dataset_folder / "labels.csv"),
            "tags": ["a", "b"],
        }
        made = ok(admin.post("datasets", json=body), 201)
        assert made.keys() == DATASET
        assert {name: made[name] for name in body} == body
        assert made["created_by_id"] == ok(admin.get("auth/me"))["id"]
        assert is_time(made["created_at"])
        assert is_time(made["updated_at"])
        assert (made["profile"], made["fingerprint"], made["version"]) == (None, None, 1)
        assert ok(admin.get(f"datasets/{made['id']}")) == made

    def test_what_is_left_out(self, dataset: dict[str, Any]) -> None:
        assert (dataset["description"], dataset["gt_path"], dataset["tags"]) == (None, None, [])

    def test_a_change(self, admin: Client, dataset: dict[str, Any]) -> None:
        changed = ok(
            admin.put(f"datasets/{dataset['id']}", json={"name": "other", "tags": ["x"], "version": 1})
        )
        assert (changed["name"], changed["tags"], changed["version"]) == ("other", ["x"], 2)
        assert changed["path"] == dataset["path"]
        assert datetime.fromisoformat(changed["updated_at"]) > datetime.fromisoformat(dataset["updated_at"])

    def test_no_change(self, admin: Client, dataset: dict[str, Any]) -> None:
        assert ok(admin.put(f"datasets/{dataset['id']}", json={"name": dataset["name"]})) == dataset

    def test_gone(self, admin: Client, dataset: dict[str, Any]) -> None:
        answer = admin.delete(f"datasets/{dataset['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert f"no dataset {dataset['id']}" in problem(admin.get(f"datasets/{dataset['id']}"), 404)["detail"]
        problem(admin.delete(f"datasets/{dataset['id']}"), 404)

    def test_filters(
        self, client: Clients, admin: Client, dataset: dict[str, Any], dataset_folder: Path
    ) -> None:
        body = {"name": "50%_x", "path": str(dataset_folder), "data_type": "Vector", "tags": ["t"]}
        mine = ok(client("user").post("datasets", json=body), 201)
        for filters, expected in [
            ({}, ["50%_x", "small"]),
            ({"data_type": "Vector"}, ["50%_x", "small"]),
            ({"data_type": "Surf"}, []),
            ({"creator_id": mine["created_by_id"]}, ["50%_x"]),
            ({"creator_id": dataset["created_by_id"], "data_type": "Vector"}, ["small"]),
            ({"tag": "t"}, ["50%_x"]),
            ({"q": "%_"}, ["50%_x"]),
            ({"q": "SMALL"}, ["small"]),
        ]:
            listed = ok(admin.get("datasets", params=filters))
            assert [item["name"] for item in listed["items"]] == expected, filters
            assert listed["total"] == len(expected)


class TestLists:
    @pytest.fixture
    def five(self, admin: Client, dataset_folder: Path) -> list[str]:
        for name in "bdace":
            ok(
                admin.post(
                    "datasets", json={"name": name, "path": str(dataset_folder), "data_type": "Vector"}
                ),
                201,
            )
        return list("bdace")

    def test_the_form_of_a_list(self, admin: Client, five: list[str]) -> None:
        listed = ok(admin.get("datasets"))
        assert listed.keys() == {"items", "total", "skip", "limit"}
        assert (listed["total"], listed["skip"], listed["limit"]) == (5, 0, 100)
        assert all(item.keys() == DATASET for item in listed["items"])
        assert [item["name"] for item in listed["items"]] == five[::-1]

    def test_skip_limit_and_order(self, admin: Client, five: list[str]) -> None:  # noqa: ARG002
        listed = ok(admin.get("datasets", params={"skip": 1, "limit": 2, "order_by": "name"}))
        assert [item["name"] for item in listed["items"]] == ["b", "c"]
        assert (listed["total"], listed["skip"], listed["limit"]) == (5, 1, 2)
        listed = ok(admin.get("datasets", params={"skip": 3, "order_by": "-name"}))
        assert [item["name"] for item in listed["items"]] == ["b", "a"]

    @pytest.mark.parametrize("path", ["datasets", "tasks"])
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("skip", "-1"),
            ("skip", "x"),
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "1.5"),
            ("order_by", "nothing"),
            ("order_by", ""),
            ("creator_id", "x"),
            ("creator_id", "0"),
            ("q", "a\0b"),
            ("nothing", "1"),
        ],
    )
    def test_bad_parameters(self, admin: Client, path: str, name: str, value: str) -> None:
        assert set(problem(admin.get(path, params={name: value}), 422)["errors"]) == {name}

    @pytest.mark.parametrize("path", ["datasets", "tasks"])
    def test_the_largest_page(self, admin: Client, path: str) -> None:
        assert ok(admin.get(path, params={"limit": 1000}))["limit"] == 1000


class TestTasks:
    def test_a_new_one(self, admin: Client, dataset: dict[str, Any]) -> None:
        configuration = {
            "branch_name": "main",
            "commit_id": "abc123",
            "build_config": "debug",
            "build_config_customized": True,
            "build_config_custom_conf": {"estimator": "svc", "params": {"C": 10}, "test_size": 0.2},
            "build_config_custom_ini": {"section": {"key": "value"}},
        }
        body = {
            "name": "t é",
            "description": "d",
            "customer": "acme",
            "log_out_path": str(OUTPUT / "logs"),
            "dataset_id": dataset["id"],
            "video_out_enabled": True,
            "video_out_path": str(OUTPUT / "video"),
            "tags": ["x"],
            "status": "completed",
            **configuration,
        }
        made = ok(admin.post("tasks", json=body), 201)
        assert made.keys() >= TASK
        assert made["configuration"] == configuration
        assert made["configuration"].keys() == CONFIGURATION
        assert made["dataset"] == dataset
        assert made["video_output"] == {"enabled": True, "path": str(OUTPUT / "video")}
        assert made["status"] == "pending"
        for name in ("name", "description", "customer", "log_out_path", "tags"):
            assert made[name] == body[name]
        assert made["created_by_id"] == dataset["created_by_id"]
        assert (made["last_execution_id"], made["result"], made["status_reason"]) == (None, None, None)
        assert is_time(made["created_at"])
        assert is_time(made["updated_at"])
        assert ok(admin.get(f"tasks/{made['id']}")) == made

    def test_what_is_left_out(self, admin: Client) -> None:
        body = {"name": "t", "customer": "acme", "log_out_path": str(OUTPUT)}
        made = ok(admin.post("tasks", json=body), 201)
        assert made["configuration"] == {
            "branch_name": None,
            "commit_id": None,
            "build_config": None,
            "build_config_customized": False,
            "build_config_custom_conf": {},
            "build_config_custom_ini": {},
        }
        assert made["video_output"] == {"enabled": False, "path": ""}
        assert (made["dataset"], made["description"], made["tags"]) == (None, None, [])

    def test_a_change(self, admin: Client, task: dict[str, Any], dataset: dict[str, Any]) -> None:
        path = f"tasks/{task['id']}"
        changed = ok(admin.put(path, json={"name": "n", "customer": "c", "dataset_id": None, "version": 1}))
        assert (changed["name"], changed["customer"], changed["dataset"]) == ("n", "c", None)
        assert changed["version"] == 2
        back = ok(
            admin.put(path, json={"dataset_id": dataset["id"], "build_config": "debug", "status": "pending"})
        )
        assert back["dataset"] == dataset
        assert back["configuration"]["build_config"] == "debug"

    def test_gone(self, admin: Client, task: dict[str, Any]) -> None:
        assert admin.delete(f"tasks/{task['id']}").status_code == 204
        problem(admin.get(f"tasks/{task['id']}"), 404)
        problem(admin.get(f"tasks/{task['id']}/status"), 404)
        problem(admin.post(f"tasks/{task['id']}/execute", json={}), 404)

    def test_filters(self, admin: Client, task: dict[str, Any], dataset: dict[str, Any]) -> None:
        body = {"name": "other_", "customer": "c2", "log_out_path": str(OUTPUT), "tags": ["x"]}
        ok(admin.post("tasks", json=body), 201)
        ok(admin.post(f"tasks/{task['id']}/execute", json={}), 201)
        for filters, expected in [
            ({}, ["other_", "t"]),
            ({"status": "running"}, ["t"]),
            ({"status": "failed"}, []),
            ({"customer": "c2"}, ["other_"]),
            ({"creator_id": task["created_by_id"]}, ["other_", "t"]),
            ({"dataset_id": dataset["id"]}, ["t"]),
            ({"tag": "x"}, ["other_"]),
            ({"q": "_"}, ["other_"]),
            ({"q": "t", "customer": "acme"}, ["t"]),
        ]:
            listed = ok(admin.get("tasks", params=filters))
            assert [item["name"] for item in listed["items"]] == expected, filters
            assert listed["total"] == len(expected)
            assert all(item.keys() >= TASK for item in listed["items"])


class TestExecute:
    def test_the_answer(self, admin: Client, task: dict[str, Any], dataset: dict[str, Any]) -> None:
        body = {"parameters": {"x": 1}, "note": "again"}
        answer = ok(admin.post(f"tasks/{task['id']}/execute", json=body), 201)
        assert answer.keys() >= {"task_id", "total_dags", "workflow_runs", "message", "execution_id"}
        assert (answer["task_id"], answer["total_dags"]) == (task["id"], 3)
        assert answer["message"] == f"Task {task['id']} execution started with 3 DAG chain"
        assert [run["dag_id"] for run in answer["workflow_runs"]] == CHAIN
        for position, run in enumerate(answer["workflow_runs"], start=1):
            assert run.keys() >= RUN
            assert run["id"].startswith("run_")
            assert run["workflow_id"].startswith("wf_")
            assert (run["status"], run["trigger_type"], run["position"]) == ("queued", "api", position)
            assert run["configuration"] == {
                "task_id": task["id"],
                "dataset_id": dataset["id"],
                "parameters": {"x": 1},
                "note": "again",
            }
            assert run["external_trigger_id"].startswith(f"svops__task_{task['id']}__1__")
            assert run["external_trigger_id"].endswith(f"__{position}_{CHAIN[position - 1]}")
            assert (run["start_date"], run["end_date"], run["error"]) == (None, None, None)
            assert (run["triggered_by"], run["note"]) == ("admin", "again")
            assert is_time(run["execution_date"])
            assert {run["progress"]["done"], run["progress"]["total"]} == {0}

    @pytest.mark.parametrize("body", [{}, {"note": ""}, {"parameters": {}}])
    def test_everything_can_be_left_out(
        self, admin: Client, task: dict[str, Any], body: dict[str, Any]
    ) -> None:
        ok(admin.post(f"tasks/{task['id']}/execute", json=body), 201)

    def test_without_any_body(self, admin: Client, task: dict[str, Any]) -> None:
        ok(admin.post(f"tasks/{task['id']}/execute"), 201)

    def test_airflow_has_the_controllers_run(self, admin: Client, task: dict[str, Any]) -> None:
        answer = ok(admin.post(f"tasks/{task['id']}/execute", json={}), 201)
        run_id = answer["workflow_runs"][0]["external_trigger_id"].rsplit("__", 1)[0]
        run = ok(admin.get(f"{BASE}/api/v2/dags/{CONTROLLER}/dagRuns/{run_id}"))
        assert run["conf"] == {"task_id": task["id"], "execution_id": answer["execution_id"]}
        assert (run["state"], run["triggering_user_name"]) == ("queued", "admin")

    def test_the_status_before(self, admin: Client, task: dict[str, Any]) -> None:
        answer = ok(admin.get(f"tasks/{task['id']}/status"))
        assert answer.keys() >= STATUS
        assert (answer["task_id"], answer["task_name"], answer["task_status"]) == (task["id"], "t", "pending")
        assert (answer["overall_status"], answer["dag_chain"]) == ("pending", CHAIN)
        assert (answer["workflow_runs"], answer["total_workflow_runs"]) == ([], 0)
        assert (answer["execution_id"], answer["attempt"], answer["error"]) == (None, None, None)
        assert answer["progress"] == {"done": 0, "total": 0}

    def test_the_status_while_it_runs(self, admin: Client, task: dict[str, Any]) -> None:
        started = ok(admin.post(f"tasks/{task['id']}/execute", json={}), 201)
        answer = ok(admin.get(f"tasks/{task['id']}/status"))
        assert answer.keys() >= STATUS
        assert (answer["task_status"], answer["overall_status"]) == ("running", "running")
        assert (answer["execution_id"], answer["attempt"]) == (started["execution_id"], 1)
        assert answer["workflow_runs"] == started["workflow_runs"]
        assert answer["total_workflow_runs"] == 3
        shown = ok(admin.get(f"tasks/{task['id']}"))
        assert (shown["status"], shown["last_execution_id"]) == ("running", started["execution_id"])

    def test_the_status_after_a_failure(self, admin: Client, task: dict[str, Any]) -> None:
        from svops_plugin.bootstrap import services

        started = ok(admin.post(f"tasks/{task['id']}/execute", json={}), 201)
        run_id = started["workflow_runs"][0]["external_trigger_id"].rsplit("__", 1)[0]
        error = {
            "dag_id": CHAIN[0],
            "task_id": "extract_data",
            "message": "no labels",
            "log_url": "http://log",
        }
        services().controller.begin_step(run_id, 1, CHAIN[0])
        services().controller.fail(run_id, error)
        answer = ok(admin.get(f"tasks/{task['id']}/status"))
        assert (answer["task_status"], answer["overall_status"]) == ("failed", "failed")
        assert [run["status"] for run in answer["workflow_runs"]] == ["failed", "skipped", "skipped"]
        assert {name: answer["error"][name] for name in error} == error
        assert answer["workflow_runs"][0]["error"] == answer["error"]
        shown = ok(admin.get(f"tasks/{task['id']}"))
        assert shown["status_reason"] == f"{CHAIN[0]}, task extract_data: no labels"

    def test_the_result(self, admin: Client, task: dict[str, Any]) -> None:
        from svops_plugin.bootstrap import services

        started = ok(admin.post(f"tasks/{task['id']}/execute", json={}), 201)
        first = started["workflow_runs"][0]
        conf = {"execution_id": started["execution_id"], "workflow_run_id": int(first["id"].split("_")[1])}
        services().tracker(conf).log_metric("accuracy", 0.97, None)
        services().controller.complete(first["external_trigger_id"].rsplit("__", 1)[0])
        shown = ok(admin.get(f"tasks/{task['id']}"))
        assert shown["status"] == "completed"
        assert shown["result"]["metrics"] == {"accuracy": 0.97}
        assert shown["result"]["output_path"] == f"{OUTPUT}/task_{task['id']}/1"


def test_health(nobody: Client) -> None:
    assert ok(nobody.get("health"))["status"] == "healthy"
