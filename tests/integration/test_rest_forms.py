"""What forms need: checks while somebody types, presets, copies, and what others have edited meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from svops_plugin.bootstrap import services
from tests.conftest import OUTPUT
from tests.integration.support import is_empty, ok, problem
from tests.server import Clients

PRESETS = ["debug", "release", "test-config-e2e"]


class TestClone:
    def test_it_says_the_same_and_is_ones_own(
        self, client: Clients, admin: Client, dataset_id: int, task_body: dict[str, Any]
    ) -> None:
        body = {
            **task_body,
            "dataset_id": dataset_id,
            "tags": ["x"],
            "build_config": "debug",
            "build_config_customized": True,
            "build_config_custom_conf": {"seed": 3},
            "video_out_enabled": True,
            "video_out_path": str(OUTPUT),
        }
        source = ok(admin.post("tasks", json=body), 201)
        ok(admin.post(f"tasks/{source['id']}/execute", json={}), 201)
        source = ok(admin.get(f"tasks/{source['id']}"))
        copy = ok(client("user").post(f"tasks/{source['id']}/clone", json={}), 201)
        own = {
            "id": source["id"] + 1,
            "name": "t (copy)",
            "status": "pending",
            "version": 1,
            "created_by_id": ok(client("user").get("auth/me"))["id"],
            "created_by": "user",
            "last_execution_id": None,
        }
        same = source.keys() - own.keys() - {"created_at", "updated_at", "status_reason"}
        assert {name: copy[name] for name in own} == own
        assert {name: copy[name] for name in same} == {name: source[name] for name in same}
        assert ok(admin.get(f"tasks/{source['id']}")) == source

    def test_names(self, admin: Client, task_id: int) -> None:
        assert ok(admin.post(f"tasks/{task_id}/clone", json={"name": "n"}), 201)["name"] == "n"
        assert ok(admin.post(f"tasks/{task_id}/clone"), 201)["name"] == "t (copy)"
        ok(admin.put(f"tasks/{task_id}", json={"name": "x" * 255}))
        assert ok(admin.post(f"tasks/{task_id}/clone"), 201)["name"] == f"{'x' * 248} (copy)"

    @pytest.mark.parametrize("name", ["", "x" * 256, 1, "\0"])
    def test_bad_names(self, admin: Client, task_id: int, name: object) -> None:
        answer = problem(admin.post(f"tasks/{task_id}/clone", json={"name": name}), 422)
        assert set(answer["errors"]) == {"name"}

    def test_of_nothing(self, admin: Client) -> None:
        problem(admin.post("tasks/99/clone", json={}), 404)

    def test_of_what_is_not_good_any_more(self, admin: Client, task_id: int) -> None:
        with services(pooled=True).transactions() as uow:
            task = uow.tasks.lock(task_id)
            task.log_out_path, task.build_config = "/etc", "nothing"
        answer = problem(admin.post(f"tasks/{task_id}/clone", json={}), 422)
        assert set(answer["errors"]) == {"log_out_path", "build_config"}
        assert ok(admin.get("tasks"))["total"] == 1


class TestEditedMeanwhile:
    @pytest.mark.parametrize("kind", ["tasks", "datasets"])
    def test_the_refusal_tells_what_it_is_now(
        self, admin: Client, task_id: int, dataset_id: int, kind: str
    ) -> None:
        path = f"{kind}/{task_id if kind == 'tasks' else dataset_id}"
        ok(admin.put(path, json={"description": "first", "version": 1}))
        answer = problem(admin.put(path, json={"description": "second", "version": 1}), 409)
        assert answer["current"] == ok(admin.get(path))
        assert answer["current"]["description"] == "first"

    def test_of_a_notification_no_more_than_is_ever_shown(self, admin: Client) -> None:
        body = {"name": "n", "channel": "webhook", "webhook_url": "https://1.1.1.1/hook"}
        ok(admin.post("notifications/configs", json=body), 201)
        path = "notifications/configs/n"
        ok(admin.put(path, json={"enabled": False, "version": 1}))
        answer = problem(admin.put(path, json={"enabled": True, "version": 1}), 409)
        assert answer["current"] == ok(admin.get(path))
        assert "hook" not in answer["current"]["webhook_url"]

    def test_other_conflicts_do_not(self, admin: Client, running: int, dataset_id: int) -> None:
        assert "current" not in problem(admin.put(f"tasks/{running}", json={"name": "x"}), 409)
        assert "current" not in problem(admin.delete(f"datasets/{dataset_id}"), 409)


class TestCheck:
    def test_what_is_good(self, admin: Client) -> None:
        body = {
            "name": "t",
            "log_out_path": str(OUTPUT),
            "build_config": "debug",
            "build_config_customized": True,
            "build_config_custom_conf": {"params": {"C": 3}},
            "build_config_custom_ini": {"report": {"title": "T"}},
        }
        answer = ok(admin.post("tasks/check", json=body))
        assert (answer["valid"], answer["errors"]) == (True, {})
        assert (answer["resolved"]["preset"], answer["resolved"]["estimator"]) == ("debug", "svc")
        assert answer["resolved"]["params"]["C"] == 3
        assert answer["resolved"]["ini"] == {"report": {"title": "T"}}
        assert is_empty(admin, "tasks")
        assert ok(admin.get("events"))["items"] == []

    @pytest.mark.parametrize("body", [{}, {"status": "running"}, {"version": 7}, {"name": "x"}])
    def test_what_is_left_out_is_not_looked_at(self, admin: Client, body: dict[str, Any]) -> None:
        answer = ok(admin.post("tasks/check", json=body))
        assert (answer["valid"], answer["resolved"]["preset"]) == (True, "release")

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"build_config": "nothing"}, "build_config"),
            ({"build_config_custom_conf": {"params": {"C": "x"}}}, "build_config_custom_conf.params.C"),
            ({"build_config_custom_conf": {"nothing": 1}}, "build_config_custom_conf.nothing"),
            ({"build_config_custom_ini": {"x": 1}}, "build_config_custom_ini.x"),
            ({"log_out_path": "/etc"}, "log_out_path"),
            ({"log_out_path": f"{OUTPUT}/.."}, "log_out_path"),
            ({"video_out_enabled": True}, "video_out_path"),
            ({"video_out_path": "/etc"}, "video_out_path"),
            ({"dataset_id": 99}, "dataset_id"),
        ],
    )
    def test_the_reasons_are_those_of_keeping_it(
        self, admin: Client, task_body: dict[str, Any], body: dict[str, Any], field: str
    ) -> None:
        answer = ok(admin.post("tasks/check", json=body))
        refused = problem(admin.post("tasks", json={**task_body, **body}), 422)
        assert answer["valid"] is False
        assert answer["errors"] == refused["errors"]
        assert set(answer["errors"]) == {field}
        assert (answer["resolved"] is None) is field.startswith("build_config")

    def test_all_reasons_at_once(self, admin: Client) -> None:
        body = {"log_out_path": "/etc", "video_out_path": "/etc", "dataset_id": 99, "build_config": "nothing"}
        assert ok(admin.post("tasks/check", json=body))["errors"].keys() == body.keys()

    def test_what_is_no_task_at_all(self, admin: Client) -> None:
        assert set(problem(admin.post("tasks/check", json={"nothing": 1}), 422)["errors"]) == {"nothing"}


class TestPresets:
    def test_svops_own(self, admin: Client) -> None:
        items = ok(admin.get("presets"))["items"]
        assert [item["name"] for item in items] == PRESETS
        assert [item["name"] for item in items if item["is_default"]] == ["release"]
        debug = items[0]
        assert debug["description"].startswith("Small and fast")
        assert (debug["values"]["preset"], debug["values"]["cv_folds"]) == ("debug", 3)
        assert all(item["problem"] is None for item in items)

    def test_a_teams(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, client: Clients) -> None:
        (tmp_path / "ours.toml").write_text('# For the\n# night shift.\n\nestimator = "svc"\n# not this\n')
        (tmp_path / "broken.toml").write_text("estimator =")
        monkeypatch.setenv("AIRFLOW__SVOPS__PRESET_DIRS", str(tmp_path))
        services.cache_clear()
        items = {item["name"]: item for item in ok(client("viewer").get("presets"))["items"]}
        assert list(items) == sorted([*PRESETS, "ours", "broken"])
        assert items["ours"]["description"] == "For the night shift."
        assert (items["broken"]["values"], "cannot be read" in items["broken"]["problem"]) == (None, True)

    def test_a_folder_that_is_not_there(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, admin: Client
    ) -> None:
        monkeypatch.setenv("AIRFLOW__SVOPS__PRESET_DIRS", str(tmp_path / "nothing"))
        services.cache_clear()
        assert "preset_dirs" in problem(admin.get("presets"), 503)["detail"]
