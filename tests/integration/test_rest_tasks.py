"""The wire contract of tasks and of executing them, field by field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from svops_plugin.application.controller import ControllerRun
from svops_plugin.application.executions import CONTROLLER
from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.contract import CHAIN, CONFIGURATION, RUN, STATUS, TASK
from tests.integration.support import in_airflow, is_time, ok, problem


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
        run = in_airflow(CONTROLLER, run_id)
        assert run.conf == {"task_id": task["id"], "execution_id": answer["execution_id"]}
        assert (run.state, run.username) == ("queued", hosting().BY_HAND)

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

    def test_how_several_stand(self, admin: Client, task: dict[str, Any]) -> None:
        body = {"name": "other", "customer": "c", "log_out_path": str(OUTPUT)}
        other = ok(admin.post("tasks", json=body), 201)["id"]
        ok(admin.post(f"tasks/{task['id']}/execute", json={}), 201)
        answer = ok(admin.get("tasks/standing", params={"ids": f"{other},99,{task['id']}"}))
        alone = [ok(admin.get(f"tasks/{number}/status")) for number in (other, task["id"])]
        assert answer["items"] == alone
        assert [item["created_at"] is None for item in alone] == [True, False]
        assert alone[0]["estimate"] == {
            "seconds": None,
            "steps": [
                {"dag_id": dag_id, "seconds": None, "runs": 0, "same_dataset": False} for dag_id in CHAIN
            ],
        }
        since = {"since": answer["last_event_id"]}
        assert ok(admin.get("events", params=since))["items"] == []

    @pytest.mark.parametrize("ids", [None, "", "x", "1,1", "1 2", ",".join(map(str, range(1, 502)))])
    def test_bad_ids(self, admin: Client, ids: str | None) -> None:
        asked = {} if ids is None else {"ids": ids}
        assert set(problem(admin.get("tasks/standing", params=asked), 422)["errors"]) == {"ids"}

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
        services().controller.begin_step(ControllerRun(run_id, {}), 1, CHAIN[0], lambda _: None)
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
        tracker = services().tracker(first["dag_id"], first["external_trigger_id"])
        tracker.log_metric("accuracy", 0.97, None)
        services().controller.complete(first["external_trigger_id"].rsplit("__", 1)[0])
        shown = ok(admin.get(f"tasks/{task['id']}"))
        assert shown["status"] == "completed"
        assert shown["result"]["metrics"] == {"accuracy": 0.97}
        assert shown["result"]["output_path"] == f"{OUTPUT}/task_{task['id']}/1"
