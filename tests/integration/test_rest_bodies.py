"""Bodies that cannot be accepted: a clear answer that names the field, and nothing half-written."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import Client

from tests.conftest import OUTPUT
from tests.integration.support import is_empty, problem, status
from tests.server import Clients


def dumps(body: Any) -> str:
    """Return JSON in ASCII, as a client in any language may send it, lone surrogates included."""
    import json

    return json.dumps(body)


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
            ("build_config_customized", "true"),
            ("video_out_enabled", 0),
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
        assert {name.split(".")[0] for name in problem(answer, 422)["errors"]} == {field}
        assert status(admin, task_id) == "pending"

    def test_numbers_of_any_size_come_through(self, admin: Client, task_id: int) -> None:
        parameters = {"big": 10**30, "small": 1e-300, "negative": -0.0, "deep": {"a": [None, True, "é🙂"]}}
        answer = admin.post(f"tasks/{task_id}/execute", json={"parameters": parameters})
        assert answer.status_code == 201
        assert answer.json()["workflow_runs"][0]["configuration"]["parameters"] == parameters


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


def test_users_cannot_fill_the_database_with_keys(client: Clients, task_body: dict[str, Any]) -> None:
    """Nothing but what the schema knows gets past it, at any depth that it knows."""
    body = {**task_body, "created_by_id": 1, "result": {}, "last_execution_id": 5}
    assert set(problem(client("user").post("tasks", json=body), 422)["errors"]) == {
        "created_by_id",
        "result",
        "last_execution_id",
    }
