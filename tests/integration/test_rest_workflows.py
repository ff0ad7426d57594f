"""Stopping, going on, keys, and workflows over REST."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from sqlalchemy import select

from svops_plugin.bootstrap import host, services
from svops_plugin.domain.entities import utcnow
from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.contract import CHAIN, RUN, STATUS
from tests.integration.support import at_once, is_time, ok, problem
from tests.server import BASE, Clients

WORKFLOW = {"id", "name", "description", "dag_id", "is_active", "created_at", "updated_at"} | {
    "created_by_id",
    "created_by",
}
DAG = "simple_workflow_example"


@pytest.fixture
def task_id(user: Client, dataset_folder: Path) -> int:
    body: dict[str, Any] = {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}
    dataset_id = ok(user.post("datasets", json=body), 201)["id"]
    body = {"name": "t", "customer": "c", "log_out_path": str(OUTPUT), "dataset_id": dataset_id}
    return int(ok(user.post("tasks", json=body), 201)["id"])


@pytest.fixture
def workflow(user: Client) -> dict[str, Any]:
    made: dict[str, Any] = ok(user.post("workflows", json={"name": "example", "dag_id": DAG}), 201)
    return made


@pytest.fixture
def missing_values(airflow_metadata: None) -> Iterator[str]:  # noqa: ARG001
    """The id of a paused DAG."""
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    table: Any = DagModel.__table__
    dag_id = "missing_values"
    with create_session() as session:
        like = session.execute(select(table).where(table.c.dag_id == DAG)).mappings().one()
        session.execute(table.insert().values({**like, "dag_id": dag_id, "is_paused": True}))
    yield dag_id
    with create_session() as session:
        session.execute(table.delete().where(table.c.dag_id == dag_id))


class TestStopAndRetry:
    def test_stop_and_retry(self, user: Client, task_id: int) -> None:
        first = ok(user.post(f"tasks/{task_id}/execute", json={"parameters": {"x": 1}, "note": "n"}), 201)
        stopped = ok(user.post(f"tasks/{task_id}/stop"))
        assert stopped.keys() >= STATUS
        assert (stopped["task_status"], stopped["overall_status"]) == ("cancelled", "cancelled")
        assert [run["status"] for run in stopped["workflow_runs"]] == ["skipped"] * 3
        second = ok(user.post(f"tasks/{task_id}/retry", json={}), 201)
        assert second["execution_id"] > first["execution_id"]
        assert second["workflow_runs"][0]["configuration"]["parameters"] == {"x": 1}
        history = ok(user.get(f"tasks/{task_id}/executions"))
        assert [item["attempt"] for item in history["items"]] == [2, 1]
        assert history["total"] == 2

    def test_what_cannot_be_stopped_or_retried(self, user: Client, task_id: int) -> None:
        problem(user.post(f"tasks/{task_id}/stop"), 409)
        problem(user.post(f"tasks/{task_id}/retry", json={}), 409)
        problem(user.post("tasks/12345/stop"), 404)
        problem(user.post("tasks/12345/retry", json={}), 404)
        assert set(problem(user.post(f"tasks/{task_id}/retry", json={"from": "nowhere"}), 422)["errors"]) == {
            "from"
        }

    @pytest.mark.parametrize("action", ["stop", "retry"])
    def test_only_the_owner_an_op_or_an_admin(
        self, client: Clients, user: Client, task_id: int, action: str
    ) -> None:
        ok(user.post(f"tasks/{task_id}/execute", json={}), 201)
        for name in ("viewer", "other"):
            problem(client(name).post(f"tasks/{task_id}/{action}", json={}), 403)
        assert user.get(f"tasks/{task_id}").json()["status"] == "running"


class TestIdempotencyKey:
    def test_the_first_answer_again(self, user: Client, task_id: int) -> None:
        path, headers = f"tasks/{task_id}/execute", {"Idempotency-Key": "k-1"}
        first = ok(user.post(path, json={"note": "n"}, headers=headers), 201)
        assert ok(user.post(path, json={"note": "n"}, headers=headers), 201) == first
        assert ok(user.post(f"{path}/", json={"note": "n"}, headers=headers), 201) == first
        problem(user.post(path, json={"note": "other"}, headers=headers), 422)
        problem(user.post(path, json={"note": "n"}, headers={"Idempotency-Key": "k-2"}), 409)
        assert len(ok(user.get(f"tasks/{task_id}/executions"))["items"]) == 1

    def test_one_key_at_once(self, user: Client, task_id: int) -> None:
        path, headers = f"tasks/{task_id}/execute", {"Idempotency-Key": "k-1"}
        answers = at_once(10, lambda _: ok(user.post(path, json={}, headers=headers), 201))
        assert isinstance(answers[0], dict), answers
        assert answers == answers[:1] * 10
        assert len(ok(user.get(f"tasks/{task_id}/executions"))["items"]) == 1

    @pytest.mark.parametrize("key", ["", "x" * 251])
    def test_bad_keys(self, user: Client, task_id: int, key: str) -> None:
        answer = user.post(f"tasks/{task_id}/execute", json={}, headers={"Idempotency-Key": key})
        assert set(problem(answer, 422)["errors"]) == {"Idempotency-Key"}


class TestWorkflows:
    def test_a_new_one(self, user: Client, workflow: dict[str, Any]) -> None:
        assert workflow.keys() >= WORKFLOW
        assert workflow["id"].startswith("wf_")
        assert (workflow["dag_id"], workflow["is_active"], workflow["description"]) == (DAG, True, None)
        assert is_time(workflow["created_at"])
        assert ok(user.get(f"workflows/{workflow['id']}")) == workflow
        listed = ok(user.get("workflows"))
        assert listed == {"items": [workflow], "total": 1, "skip": 0, "limit": 100}

    def test_a_change(self, user: Client, workflow: dict[str, Any]) -> None:
        changed = ok(user.put(f"workflows/{workflow['id']}", json={"name": "n", "is_active": False}))
        assert (changed["name"], changed["is_active"]) == ("n", False)
        problem(user.post(f"workflows/{workflow['id']}/runs", json={}), 409)
        problem(user.put(f"workflows/{workflow['id']}", json={"dag_id": "other"}), 422)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"name": "n", "dag_id": "nothing_of_the_kind"}, "dag_id"),
            ({"name": "", "dag_id": DAG}, "name"),
            ({"name": "n"}, "dag_id"),
            ({"name": "n", "dag_id": DAG, "id": "wf_5"}, "id"),
        ],
    )
    def test_bad_ones(self, user: Client, body: dict[str, Any], field: str) -> None:
        assert set(problem(user.post("workflows", json=body), 422)["errors"]) == {field}

    def test_a_paused_one_whose_name_says_missing(self, user: Client, missing_values: str) -> None:
        made = ok(user.post("workflows", json={"name": "n", "dag_id": missing_values}), 201)
        assert made["dag_id"] == missing_values
        assert "is paused" in problem(user.post(f"workflows/{made['id']}/runs", json={}), 422)["detail"]

    def test_the_same_dag_again(self, user: Client, workflow: dict[str, Any]) -> None:
        answer = problem(user.post("workflows", json={"name": "again", "dag_id": DAG}), 409)
        assert workflow["id"] in answer["detail"]

    @pytest.mark.parametrize(
        "path", ["wf_12345", "wf_0", "wf_x", "wf_", "run_1", "wf_99999999999", "wf_1/runs/run_5"]
    )
    def test_ids_that_nothing_has(self, user: Client, path: str) -> None:
        problem(user.get(f"workflows/{path}"), 404)

    def test_the_dags_that_can_be_registered(self, client: Clients, user: Client) -> None:
        before = ok(user.get("dags"))
        known = [*CHAIN, "svops_controller", "svops_doctor"]
        assert [one["dag_id"] for one in before["items"]] == sorted(known)
        assert before["items"][0].keys() == {"dag_id", "description", "is_paused", "is_broken"}
        made = ok(user.post("workflows", json={"name": "n", "dag_id": DAG}), 201)
        page = ok(user.get("dags", params={"q": "PIPE", "limit": 1, "order_by": "-dag_id"}))
        assert (page["total"], [one["dag_id"] for one in page["items"]]) == (2, [CHAIN[1]])
        assert ok(user.get("dags", params={"q": DAG}))["items"] == []
        assert ok(user.get("dags", params={"q": "%"}))["total"] == 0
        assert made["dag_id"] == DAG
        problem(user.get("dags", params={"order_by": "description"}), 422)
        problem(client("viewer").get("dags"), 403)

    def test_what_a_run_can_be_given(self, user: Client, workflow: dict[str, Any]) -> None:
        assert ok(user.get(f"workflows/{workflow['id']}/params"))["items"] == []
        made = ok(user.post("workflows", json={"name": "c", "dag_id": "svops_controller"}), 201)
        found = ok(user.get(f"workflows/{made['id']}/params"))["items"]
        task_id = next(one for one in found if one["name"] == "task_id")
        assert (task_id["value"], task_id["schema"]["minimum"]) == (None, 1)
        problem(user.get("workflows/wf_99/params"), 404)

    def test_viewers_only_look(self, viewer: Client, workflow: dict[str, Any]) -> None:
        assert viewer.get("workflows").status_code == 200
        problem(viewer.post("workflows", json={"name": "n", "dag_id": DAG}), 403)
        problem(viewer.put(f"workflows/{workflow['id']}", json={"name": "n"}), 403)
        problem(viewer.post(f"workflows/{workflow['id']}/runs", json={}), 403)

    def test_a_chain_registers_its_dags(self, user: Client, task_id: int) -> None:
        started = ok(user.post(f"tasks/{task_id}/execute", json={}), 201)
        for run in started["workflow_runs"]:
            assert ok(user.get(f"workflows/{run['workflow_id']}"))["dag_id"] == run["dag_id"]
            shown = ok(user.get(f"workflows/{run['workflow_id']}/runs/{run['id']}"))
            assert {name: shown[name] for name in run} == run


class TestRuns:
    def test_a_run_alone(self, user: Client, workflow: dict[str, Any], task_id: int) -> None:
        body = {"task_id": task_id, "parameters": {"x": 1}, "note": "alone"}
        run = ok(user.post(f"workflows/{workflow['id']}/runs", json=body), 201)
        assert run.keys() >= RUN
        assert (run["workflow_id"], run["status"], run["trigger_type"]) == (workflow["id"], "queued", "api")
        assert run["configuration"] == {
            "task_id": task_id,
            "dataset_id": None,
            "parameters": {"x": 1},
            "note": "alone",
        }
        assert (run["triggered_by"], run["note"], run["position"]) == ("user", "alone", None)
        shown = ok(user.get(f"workflows/{workflow['id']}/runs/{run['id']}"))
        assert {name: shown[name] for name in run} == run
        assert {one["task_id"] for one in shown["task_instances"]} >= {"start_workflow", "finalize_workflow"}
        assert shown["task_instances"][0].keys() >= {
            "task_id",
            "state",
            "start_date",
            "end_date",
            "duration",
            "try_number",
            "operator",
            "log_url",
        }
        assert run["external_trigger_id"] in shown["graph_url"]
        assert (shown["metrics"], shown["artifacts"]) == ([], [])
        listed = ok(user.get(f"workflows/{workflow['id']}/runs", params={"status": "queued"}))
        assert [item["id"] for item in listed["items"]] == [run["id"]]
        conf = host().DagRuns().run_conf(DAG, run["external_trigger_id"])
        assert conf["x"] == 1

    def test_runs_of_a_time(self, user: Client, workflow: dict[str, Any]) -> None:
        runs = f"workflows/{workflow['id']}/runs"
        made, times = [], [utcnow()]
        for _ in range(3):
            made.append(ok(user.post(runs, json={}), 201)["id"])
            times.append(utcnow())

        def found(**query: datetime) -> list[str]:
            params = {name: time.isoformat() for name, time in query.items()}
            page = ok(user.get(runs, params={**params, "order_by": "created_at"}))
            assert page["total"] == len(page["items"])
            return [run["id"] for run in page["items"]]

        assert found(since=times[0], until=times[3]) == made
        assert found(since=times[1], until=times[2]) == [made[1]]
        assert found(since=times[2]) == [made[2]]
        assert found(until=times[1]) == [made[0]]
        elsewhere = [time.astimezone(timezone(timedelta(hours=9))) for time in times]
        assert found(since=elsewhere[1], until=elsewhere[2]) == [made[1]]
        assert found(since=times[3]) == found(until=times[0]) == []

    def test_what_a_run_measured_and_left(
        self, user: Client, workflow: dict[str, Any], task_id: int, dataset_folder: Path
    ) -> None:
        runs = f"workflows/{workflow['id']}/runs"
        run = ok(user.post(runs, json={"task_id": task_id}), 201)
        tracker = services().tracker(DAG, run["external_trigger_id"])
        tracker.log_metric("accuracy", 0.75, 3)
        tracker.log_artifact(dataset_folder / "labels.csv", "labels", "text/csv")
        shown = ok(user.get(f"{runs}/{run['id']}"))
        assert shown["metrics"] == [{"name": "accuracy", "value": 0.75, "step": 3}]
        path = dataset_folder / "labels.csv"
        assert shown["artifacts"] == [
            {
                "name": "labels",
                "path": str(path),
                "media_type": "text/csv",
                "size": path.stat().st_size,
                "url": f"{hosting().ROOTS[0]}/{runs}/{run['id']}/artifacts/labels",
            }
        ]

    def test_the_files_that_a_run_left(
        self, client: Clients, user: Client, workflow: dict[str, Any], task_id: int, tmp_path: Path
    ) -> None:
        runs = f"workflows/{workflow['id']}/runs"
        run = ok(user.post(runs, json={"task_id": task_id}), 201)
        tracker = services().tracker(DAG, run["external_trigger_id"])
        file = OUTPUT / f"{tmp_path.name}.html"
        for path in (file, tmp_path / "secret"):
            path.write_bytes(b"<script>")
            tracker.log_artifact(path, path.name, "text/html")
        (left,) = (
            one for one in ok(user.get(f"{runs}/{run['id']}"))["artifacts"] if one["name"] == file.name
        )
        answer = client("viewer").get(f"{BASE}{left['url']}", params={"download": "true"})
        assert (answer.status_code, answer.content) == (200, b"<script>")
        assert answer.headers["content-security-policy"].startswith("sandbox;")
        assert answer.headers["content-disposition"] == f"attachment; filename={file.name}"
        problem(client(None).get(f"{BASE}{left['url']}"), 401)
        files = f"{runs}/{run['id']}/artifacts"
        assert "output_roots" in problem(user.get(f"{files}/secret"), 403)["detail"]
        problem(user.get(f"{files}/nothing"), 404)
        problem(user.get(f"{runs}/run_{int(run['id'][4:]) + 1}/artifacts/{file.name}"), 404)
        file.unlink()
        problem(user.get(f"{BASE}{left['url']}"), 410)

    def test_for_a_task_of_somebody_else(self, client: Clients, task_id: int) -> None:
        other = client("other")
        workflow = ok(other.post("workflows", json={"name": "mine", "dag_id": DAG}), 201)
        problem(other.post(f"workflows/{workflow['id']}/runs", json={"task_id": task_id}), 403)
        ok(other.post(f"workflows/{workflow['id']}/runs", json={}), 201)

    def test_stop_and_retry(self, user: Client, workflow: dict[str, Any]) -> None:
        runs = f"workflows/{workflow['id']}/runs"
        run = ok(user.post(runs, json={"parameters": {"x": 1}}), 201)
        problem(user.post(f"{runs}/{run['id']}/control", json={"action": "retry"}), 409)
        stopped = ok(user.post(f"{runs}/{run['id']}/control", json={"action": "stop", "note": "too slow"}))
        assert (stopped["id"], stopped["status"], stopped["note"]) == (run["id"], "cancelled", "too slow")
        again = ok(user.post(f"{runs}/{run['id']}/control", json={"action": "retry", "note": "once more"}))
        assert again["id"] != run["id"]
        assert (again["configuration"]["parameters"], again["note"]) == ({"x": 1}, "once more")

    def test_stop_and_retry_a_step_of_a_chain(self, user: Client, task_id: int) -> None:
        started = ok(user.post(f"tasks/{task_id}/execute", json={"note": "first"}), 201)
        step = started["workflow_runs"][1]
        path = f"workflows/{step['workflow_id']}/runs/{step['id']}/control"
        stopped = ok(user.post(path, json={"action": "stop", "note": "too slow"}))
        assert (stopped["status"], stopped["note"]) == ("skipped", "too slow")
        assert ok(user.post(path, json={"action": "retry"}))["note"] == "first"
        ok(user.post(f"tasks/{task_id}/stop"))
        step = ok(user.get(f"tasks/{task_id}/status"))["workflow_runs"][1]
        path = f"workflows/{step['workflow_id']}/runs/{step['id']}/control"
        again = ok(user.post(path, json={"action": "retry", "note": "once more"}))
        assert (again["position"], again["note"]) == (2, "once more")

    @pytest.mark.parametrize(
        "body", [{}, {"action": "explode"}, {"action": None}, {"action": "stop", "more": 1}]
    )
    def test_other_actions(self, user: Client, workflow: dict[str, Any], body: dict[str, Any]) -> None:
        run = ok(user.post(f"workflows/{workflow['id']}/runs", json={}), 201)
        problem(user.post(f"workflows/{workflow['id']}/runs/{run['id']}/control", json=body), 422)

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"task_id": 12345}, "task_id"),
            ({"dataset_id": 12345}, "dataset_id"),
            ({"parameters": []}, "parameters"),
            ({"parameters": {"a": "\0"}}, "parameters"),
            ({"nothing": 1}, "nothing"),
        ],
    )
    def test_bad_requests(
        self, user: Client, workflow: dict[str, Any], body: dict[str, Any], field: str
    ) -> None:
        answer = problem(user.post(f"workflows/{workflow['id']}/runs", json=body), 422)
        assert set(answer["errors"]) == {field}
        assert ok(user.get(f"workflows/{workflow['id']}/runs"))["total"] == 0
