"""Bad input: a clear answer that names what is wrong, and nothing half-written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from sqlalchemy import update

from svops_plugin.application.executions import CONTROLLER
from tests.conftest import DATA, OUTPUT
from tests.integration.conftest import BASE, Clients
from tests.integration.support import problem

SECOND = "ml_training_pipeline"


@pytest.fixture
def dataset_body(dataset_folder: Path) -> dict[str, Any]:
    return {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}


@pytest.fixture
def task_body() -> dict[str, Any]:
    return {"name": "t", "customer": "c", "log_out_path": str(OUTPUT)}


@pytest.fixture
def dataset_id(admin: Client, dataset_body: dict[str, Any]) -> int:
    return int(admin.post("datasets", json=dataset_body).json()["id"])


@pytest.fixture
def task_id(admin: Client, task_body: dict[str, Any], dataset_id: int) -> int:
    return int(admin.post("tasks", json={**task_body, "dataset_id": dataset_id}).json()["id"])


@pytest.fixture
def running(admin: Client, task_id: int) -> int:
    assert admin.post(f"tasks/{task_id}/execute", json={}).status_code == 201
    return task_id


def status(client: Client, task_id: int) -> str:
    return str(client.get(f"tasks/{task_id}").json()["status"])


def is_empty(client: Client, path: str) -> bool:
    return bool(client.get(path).json()["total"] == 0)


class TestBodies:
    @pytest.mark.parametrize(
        "content", [b"{", b"", b"nothing", b'{"name": }', b"\xff\xfe", b'{"a": 1}}', b"{'a': 1}"]
    )
    def test_malformed_json(self, admin: Client, content: bytes) -> None:
        answer = admin.post("tasks", content=content, headers={"Content-Type": "application/json"})
        problem(answer, 422 if content == b"" else 400)
        assert is_empty(admin, "tasks")

    @pytest.mark.parametrize("content", [b"[]", b"1", b"null", b'"text"', b"true", b"[{}]"])
    def test_json_that_is_no_object(self, admin: Client, content: bytes) -> None:
        problem(admin.post("tasks", content=content, headers={"Content-Type": "application/json"}), 422)

    @pytest.mark.parametrize("depth", [100, 100_000])
    def test_very_deep_json(self, admin: Client, task_body: dict[str, Any], depth: int) -> None:
        head = ", ".join(f'"{name}": "{value}"' for name, value in task_body.items())
        content = f'{{{head}, "build_config_custom_ini": {{"a": {"[" * depth}{"]" * depth}}}}}'
        answer = admin.post("tasks", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}
        problem(answer, answer.status_code)

    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ""],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_wrong_content_type(self, admin: Client, task_id: int, method: str, content_type: str) -> None:
        path = "tasks" if method == "POST" else f"tasks/{task_id}"
        answer = admin.request(method, path, content=b'{"name": "x"}', headers={"Content-Type": content_type})
        assert "application/json" in problem(answer, 415)["detail"]

    @pytest.mark.parametrize(
        "content_type",
        ["application/json; charset=utf-8", "application/merge-patch+json", "APPLICATION/JSON"],
    )
    def test_every_kind_of_json_is_good(
        self, admin: Client, task_body: dict[str, Any], content_type: str
    ) -> None:
        answer = admin.post("tasks", json=task_body, headers={"Content-Type": content_type})
        assert answer.status_code == 201

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", ""),
            ("name", "x" * 256),
            ("name", None),
            ("name", 1),
            ("name", ["x"]),
            ("name", "a\0b"),
            ("name", "\ud800"),
            ("description", "x" * 10_001),
            ("description", "\0"),
            ("customer", "x" * 33),
            ("customer", ""),
            ("log_out_path", ""),
            ("log_out_path", f"{OUTPUT}/{'x' * 4096}"),
            ("log_out_path", f"{OUTPUT}/\0"),
            ("log_out_path", f"{OUTPUT}/\ud800"),
            ("branch_name", "x" * 256),
            ("commit_id", 5),
            ("build_config_customized", "perhaps"),
            ("build_config_custom_conf", []),
            ("build_config_custom_conf", "x"),
            ("build_config_custom_ini", None),
            ("build_config_custom_ini", {"section": {"key": "\0"}}),
            ("dataset_id", "1"),
            ("dataset_id", 0),
            ("dataset_id", 2**31),
            ("dataset_id", 1.5),
            ("dataset_id", True),
            ("dataset_id", 12345),
            ("video_out_path", "\0"),
            ("tags", "x"),
            ("tags", ["x" * 65]),
            ("tags", [""]),
            ("tags", [1]),
            ("tags", ["a\0"]),
            ("tags", ["x"] * 33),
            ("status", "nonsense"),
            ("nothing", 1),
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_fields_of_tasks(
        self, *, admin: Client, task_id: int, task_body: dict[str, Any], method: str, field: str, value: Any
    ) -> None:
        path, body = ("tasks", task_body) if method == "POST" else (f"tasks/{task_id}", {})
        before = admin.get(f"tasks/{task_id}").json()
        content = dumps({**body, field: value})
        answer = admin.request(method, path, content=content, headers={"Content-Type": "application/json"})
        errors = problem(answer, 422)["errors"]
        assert {name.split(".")[0] for name in errors} == {field}
        assert all(errors.values())
        assert admin.get(f"tasks/{task_id}").json() == before
        assert admin.get("tasks").json()["total"] == 1

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("name", "x" * 256),
            ("name", "\ud83d"),
            ("description", "\0"),
            ("path", 1),
            ("path", "x" * 4097),
            ("data_type", "vector"),
            ("data_type", "Lidar"),
            ("data_type", None),
            ("data_type", 1),
            ("gt_path", ""),
            ("tags", {"a": 1}),
            ("id", 5),
            ("created_by_id", 1),
            ("profile", {}),
            ("fingerprint", "x"),
        ],
    )
    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_fields_of_datasets(
        self,
        *,
        admin: Client,
        dataset_id: int,
        dataset_body: dict[str, Any],
        method: str,
        field: str,
        value: Any,
    ) -> None:
        path, body = ("datasets", dataset_body) if method == "POST" else (f"datasets/{dataset_id}", {})
        before = admin.get(f"datasets/{dataset_id}").json()
        content = dumps({**body, field: value})
        answer = admin.request(method, path, content=content, headers={"Content-Type": "application/json"})
        assert {name.split(".")[0] for name in problem(answer, 422)["errors"]} == {field}
        assert admin.get(f"datasets/{dataset_id}").json() == before

    @pytest.mark.parametrize(
        ("path", "fields"),
        [("tasks", {"name", "customer", "log_out_path"}), ("datasets", {"name", "path", "data_type"})],
    )
    def test_everything_that_is_missing_is_named(self, admin: Client, path: str, fields: set[str]) -> None:
        assert set(problem(admin.post(path, json={}), 422)["errors"]) == fields

    def test_the_longest_name_is_good(self, admin: Client, task_body: dict[str, Any]) -> None:
        body = {**task_body, "name": "é" * 255, "customer": "漢" * 32}
        assert admin.post("tasks", json=body).status_code == 201


def dumps(body: Any) -> str:
    """Return JSON in ASCII, as a client in any language may send it, lone surrogates included."""
    import json

    return json.dumps(body)


class TestExecuteBodies:
    @pytest.mark.parametrize(
        ("content", "field"),
        [
            ('{"parameters": []}', "parameters"),
            ('{"parameters": "x"}', "parameters"),
            ('{"parameters": {"a": "\\u0000"}}', "parameters"),
            ('{"parameters": {"\\u0000": 1}}', "parameters"),
            ('{"parameters": {"a": ["\\ud800"]}}', "parameters"),
            ('{"parameters": {"a": NaN}}', "parameters"),
            ('{"parameters": {"a": 1e400}}', "parameters"),
            ('{"parameters": {"a": -Infinity}}', "parameters"),
            ('{"note": 1}', "note"),
            ('{"note": "\\u0000"}', "note"),
            ('{"nothing": 1}', "nothing"),
        ],
    )
    def test_fields(self, admin: Client, task_id: int, content: str, field: str) -> None:
        answer = admin.post(
            f"tasks/{task_id}/execute", content=content, headers={"Content-Type": "application/json"}
        )
        if answer.status_code == 400:  # not JSON at all, strictly speaking
            problem(answer, 400)
        else:
            assert {name.split(".")[0] for name in problem(answer, 422)["errors"]} == {field}
        assert status(admin, task_id) == "pending"

    def test_numbers_of_any_size_come_through(self, admin: Client, task_id: int) -> None:
        parameters = {"big": 10**30, "small": 1e-300, "negative": -0.0, "deep": {"a": [None, True, "é🙂"]}}
        answer = admin.post(f"tasks/{task_id}/execute", json={"parameters": parameters})
        assert answer.status_code == 201
        assert answer.json()["workflow_runs"][0]["configuration"]["parameters"] == parameters


class TestPaths:
    """Dataset paths are read below data_roots, outputs written below output_roots, and nowhere else."""

    def refused(self, admin: Client, kind: str, body: dict[str, Any], field: str) -> str:
        answer = problem(admin.post(kind, json=body), 422)
        assert set(answer["errors"]) == {field}
        assert is_empty(admin, kind)
        return str(answer["detail"])

    @pytest.mark.parametrize(
        "path",
        [
            "/etc",
            "/",
            "relative",
            f"{DATA}/../output",
            f"{DATA}/x/..",
            f"{DATA}2",
            str(OUTPUT),
            "file:///etc",
            "~",
        ],
    )
    def test_datasets_outside(self, admin: Client, dataset_body: dict[str, Any], path: str) -> None:
        self.refused(admin, "datasets", {**dataset_body, "path": path}, "path")
        self.refused(admin, "datasets", {**dataset_body, "gt_path": path}, "gt_path")

    def test_a_link_that_leads_out(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        link = dataset_folder / "link"
        link.symlink_to("/etc")
        self.refused(admin, "datasets", {**dataset_body, "path": str(link)}, "path")

    def test_a_link_in_circles(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        link = dataset_folder / "link"
        link.symlink_to(link)
        self.refused(admin, "datasets", {**dataset_body, "path": f"{link}/x"}, "path")

    @pytest.mark.parametrize("path", ["/tmp", "relative", f"{OUTPUT}/../data", str(DATA)])  # noqa: S108  # refused
    def test_outputs_outside(self, admin: Client, task_body: dict[str, Any], path: str) -> None:
        self.refused(admin, "tasks", {**task_body, "log_out_path": path}, "log_out_path")
        body = {**task_body, "video_out_enabled": True, "video_out_path": path}
        self.refused(admin, "tasks", body, "video_out_path")

    def test_a_change_to_a_path_outside(self, admin: Client, dataset_id: int, task_id: int) -> None:
        assert set(problem(admin.put(f"datasets/{dataset_id}", json={"path": "/etc"}), 422)["errors"]) == {
            "path"
        }
        assert set(problem(admin.put(f"tasks/{task_id}", json={"log_out_path": "/etc"}), 422)["errors"]) == {
            "log_out_path"
        }

    def test_roots_that_were_never_set(
        self,
        admin: Client,
        dataset_body: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW__SVOPS__DATA_ROOTS", "")
        assert "[svops] data_roots" in self.refused(admin, "datasets", dataset_body, "path")


class TestFiles:
    @pytest.mark.parametrize("data_type", ["Vector", "Surf", "Jetson"])
    def test_a_missing_folder(self, admin: Client, data_type: str) -> None:
        body = {"name": "d", "path": f"{DATA}/nowhere", "data_type": data_type}
        answer = problem(admin.post("datasets", json=body), 422)
        assert "does not exist" in answer["detail"]
        assert set(answer["errors"]) == {"path"}
        assert is_empty(admin, "datasets")

    @pytest.mark.parametrize("data_type", ["Vector", "Surf", "Jetson"])
    def test_an_empty_folder(self, admin: Client, dataset_folder: Path, data_type: str) -> None:
        empty = dataset_folder / "empty"
        empty.mkdir()
        body = {"name": "d", "path": str(empty), "data_type": data_type}
        assert "is empty" in problem(admin.post("datasets", json=body), 422)["detail"]

    @pytest.mark.parametrize("data_type", ["Surf", "Jetson"])
    def test_files_of_another_type(self, admin: Client, dataset_body: dict[str, Any], data_type: str) -> None:
        answer = problem(admin.post("datasets", json={**dataset_body, "data_type": data_type}), 422)
        assert "no file ends in" in answer["detail"]

    def test_without_ground_truth(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        (dataset_folder / "labels.csv").unlink()
        assert "ground truth" in problem(admin.post("datasets", json=dataset_body), 422)["detail"]
        body = {**dataset_body, "gt_path": f"{dataset_folder}/nowhere.csv"}
        assert "ground truth" in problem(admin.post("datasets", json=body), 422)["detail"]

    def test_a_name_that_no_file_system_takes(self, admin: Client, dataset_body: dict[str, Any]) -> None:
        problem(admin.post("datasets", json={**dataset_body, "path": f"{DATA}/{'x' * 300}"}), 422)
        problem(admin.post("datasets", json={**dataset_body, "gt_path": f"{DATA}/{'x' * 300}"}), 422)

    def test_files_that_went_away_since(self, admin: Client, task_id: int, dataset_folder: Path) -> None:
        for file in dataset_folder.iterdir():
            file.unlink()
        dataset_folder.rmdir()
        answer = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)
        assert "does not exist" in answer["detail"]
        assert "small" in answer["detail"]
        assert status(admin, task_id) == "pending"

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
    def test_a_folder_that_may_not_be_read(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        dataset_folder.chmod(0)
        try:
            problem(admin.post("datasets", json=dataset_body), 422)
        finally:
            dataset_folder.chmod(0o755)


class TestConfigurations:
    @pytest.mark.parametrize(
        ("changes", "field", "said"),
        [
            ({"build_config": "nonsense"}, "build_config", "debug"),
            (
                {"build_config_custom_conf": {"estimator": "oracle"}},
                "build_config_custom_conf.estimator",
                "svc",
            ),
            (
                {"build_config_custom_conf": {"estimator": "svc", "params": {"depth": 3}}},
                "build_config_custom_conf.params.depth",
                "unknown hyper-parameter of svc",
            ),
            ({"build_config_custom_conf": {"test_size": 2}}, "build_config_custom_conf.test_size", ""),
            ({"build_config_custom_conf": {"nothing": 2}}, "build_config_custom_conf.nothing", "known"),
            ({"build_config_custom_ini": {"section": 1}}, "build_config_custom_ini.section", ""),
        ],
    )
    def test_what_a_pipeline_would_refuse(
        self,
        *,
        admin: Client,
        task_body: dict[str, Any],
        task_id: int,
        changes: dict[str, Any],
        field: str,
        said: str,
    ) -> None:
        body = {"build_config_customized": True, **changes}
        answer = problem(admin.post("tasks", json={**task_body, **body}), 422)
        assert set(answer["errors"]) == {field}
        assert said in answer["detail"]
        assert set(problem(admin.put(f"tasks/{task_id}", json=body), 422)["errors"]) == {field}
        assert admin.get("tasks").json()["total"] == 1

    def test_video_without_a_path(self, admin: Client, task_body: dict[str, Any], task_id: int) -> None:
        answer = problem(admin.post("tasks", json={**task_body, "video_out_enabled": True}), 422)
        assert set(answer["errors"]) == {"video_out_path"}
        answer = problem(admin.put(f"tasks/{task_id}", json={"video_out_enabled": True}), 422)
        assert set(answer["errors"]) == {"video_out_path"}


class TestUnknown:
    @pytest.mark.parametrize("number", ["0", "12345", "2147483648", "9223372036854775808", "9" * 100])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "tasks/{}"),
            ("PUT", "tasks/{}"),
            ("DELETE", "tasks/{}"),
            ("POST", "tasks/{}/execute"),
            ("GET", "tasks/{}/status"),
            ("GET", "datasets/{}"),
            ("PUT", "datasets/{}"),
            ("DELETE", "datasets/{}"),
        ],
    )
    def test_ids_that_nothing_has(self, admin: Client, method: str, path: str, number: str) -> None:
        body = {} if method in {"PUT", "POST"} else None
        assert number in problem(admin.request(method, path.format(number), json=body), 404)["detail"]

    @pytest.mark.parametrize("root", ["/svops/api/v1", "/pluginsv2/svops/api/v1"])
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/nothing",
            "/tasks/x",
            "/tasks/1/nothing",
            "/tasks/-1",
            "/tasks//1",
            "/datasets/1.5",
            "/auth",
            "/%00",
        ],
    )
    def test_paths_that_nothing_has(self, admin: Client, root: str, path: str) -> None:
        assert "nothing at" in problem(admin.get(f"{BASE}{root}{path}"), 404)["detail"]

    @pytest.mark.parametrize("path", ["/svops/", "/svops/nothing", "/svops/api", "/svops/api/v2/tasks"])
    def test_paths_beside_the_api(self, admin: Client, path: str) -> None:
        assert "/svops/api/v1" in problem(admin.get(f"{BASE}{path}"), 404)["detail"]

    @pytest.mark.parametrize("root", ["/svops/api/v1", "/pluginsv2/svops/api/v1"])
    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PATCH", "tasks/1", {"GET", "PUT", "DELETE"}),
            ("POST", "tasks/1", {"GET", "PUT", "DELETE"}),
            ("GET", "tasks/1/execute", {"POST"}),
            ("DELETE", "tasks/1/status", {"GET"}),
            ("DELETE", "datasets", {"GET", "POST"}),
            ("GET", "auth/login", {"POST"}),
        ],
    )
    def test_methods_that_a_path_does_not_take(
        self, admin: Client, root: str, method: str, path: str, allowed: set[str]
    ) -> None:
        for end in ("", "/"):
            answer = admin.request(method, f"{BASE}{root}/{path}{end}")
            assert path in problem(answer, 405)["detail"]
            assert set(answer.headers["allow"].split(", ")) == allowed


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
        good = {"is_paused": False, "is_stale": False, "has_import_errors": False}

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
            ({"is_stale": True}, "is missing"),
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
        dag_model(dag_id, is_paused=False, is_stale=False, has_import_errors=False)
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
        dag_model(SECOND, is_stale=True)
        answer = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)
        assert len(answer["errors"]["chain"]) == 2
        assert CONTROLLER in answer["detail"]
        assert SECOND in answer["detail"]


def test_users_cannot_fill_the_database_with_keys(client: Clients, task_body: dict[str, Any]) -> None:
    """Nothing but what the schema knows gets past it, at any depth that it knows."""
    body = {**task_body, "created_by_id": 1, "result": {}, "last_execution_id": 5}
    assert set(problem(client("user").post("tasks", json=body), 422)["errors"]) == {
        "created_by_id",
        "result",
        "last_execution_id",
    }
