"""Chains on a real Airflow: the main job, how it fails, and how it is stopped and taken up again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.conftest import PATIENCE, Stack, wait_until
from tests.hosts import hosting

CHAIN = ["data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example"]
STOPPED_WITHIN = timedelta(seconds=5)  # what people were promised, on a machine that has nothing else to do
CHROMIUM = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def statuses(standing: dict[str, Any]) -> list[str]:
    return [run["status"] for run in standing["workflow_runs"]]


@pytest.mark.parametrize("data_type", ["Vector", "Surf", "Jetson"])
def test_a_dataset_of_each_type_is_learnt_from(stack: Stack, data_type: str) -> None:
    task_id = stack.task(data_type)
    started = stack.post(f"tasks/{task_id}/execute")
    assert started["message"] == f"Task {task_id} execution started with 3 DAG chain"
    assert [run["dag_id"] for run in started["workflow_runs"]] == CHAIN
    standing = stack.end_of(task_id)
    assert standing["overall_status"] == standing["task_status"] == "completed", standing["error"]
    assert statuses(standing) == ["success"] * 3
    assert standing["progress"] == {"done": 14, "total": 14}
    result = stack.get(f"tasks/{task_id}")["result"]
    assert result["metrics"]["accuracy"] > 0.5
    assert Path(result["artifacts"]["report.html"]).is_file()
    assert stack.get(f"datasets/{stack.dataset(data_type)}")["profile"]["samples"] > 0


def test_the_report_opens_in_a_browser(stack: Stack) -> None:
    sample = stack.get("tasks", order_by="created_at")["items"][0]
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on(
            "request", lambda request: complaints.append(request.url) if "http" in request.url[:4] else None
        )
        page.goto(f"file://{sample['result']['artifacts']['report.html']}")
        assert "confusion" in page.inner_text("body").lower()
        assert page.locator("img, svg").count() > 1
        browser.close()
    assert complaints == []


def assert_failed_in_the_second(stack: Stack, task_id: int) -> None:
    standing = stack.end_of(task_id)
    assert standing["overall_status"] == standing["task_status"] == "failed"
    assert statuses(standing) == ["success", "failed", "skipped"]

    def cause() -> dict[str, Any] | None:
        error: dict[str, Any] = stack.standing(task_id)["error"]
        return error if error["task_id"] else None

    error = wait_until(cause, "the cause")
    assert (error["dag_id"], error["task_id"]) == ("ml_training_pipeline", "validate_model_performance")
    assert "min_accuracy" in error["message"]
    assert hosting().RUN_PAGE.format(dag_id="ml_training_pipeline") in error["log_url"]
    assert not httpx.get(error["log_url"], trust_env=False).is_error
    third = standing["workflow_runs"][2]["external_trigger_id"]
    assert third not in {run["dag_run_id"] for run in stack.dag_runs("simple_workflow_example")}
    assert "min_accuracy" in stack.get(f"tasks/{task_id}")["status_reason"]


def test_a_chain_whose_second_dag_fails(stack: Stack) -> None:
    task_id = stack.failing_task()
    stack.post(f"tasks/{task_id}/execute")
    assert_failed_in_the_second(stack, task_id)

    again = stack.post(f"tasks/{task_id}/retry")
    assert again["attempt"] == 2
    standing = stack.end_of(task_id)
    assert statuses(standing) == ["reused", "failed", "skipped"]
    first = standing["workflow_runs"][0]["external_trigger_id"]
    assert first not in {run["dag_run_id"] for run in stack.dag_runs("data_processing_pipeline")}
    assert [one["attempt"] for one in stack.get(f"tasks/{task_id}/executions")["items"]] == [2, 1]


def test_the_same_when_triggered_in_airflow(stack: Stack) -> None:
    task_id = stack.failing_task()
    answer = stack.airflow.post(
        "dags/svops_controller/dagRuns",
        json={**hosting().A_RUN_NOW, "conf": {"task_id": task_id, "note": "by hand"}},
    )
    assert answer.status_code == 200, answer.text
    wait_until(lambda: stack.standing(task_id)["execution_id"], "the claim")
    assert_failed_in_the_second(stack, task_id)
    (attempt,) = stack.get(f"tasks/{task_id}/executions")["items"]
    assert attempt["controller_run_id"] == answer.json()["dag_run_id"]
    assert (attempt["requested_by"], attempt["note"]) == (hosting().BY_HAND, "by hand")


def trigger(stack: Stack, task_id: int) -> None:
    """Trigger the controller DAG at the command line, in a shell that knows where the stack is."""
    conf = json.dumps({"task_id": task_id, "note": "by hand"})
    command = '. "$1"; exec "$2" -m airflow dags trigger svops_controller --conf "$3"'
    shell = ["/bin/sh", "-c", command, "sh", str(stack.home / "environment"), sys.executable, conf]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    wait_until(lambda: stack.standing(task_id)["execution_id"], "the claim")


def test_the_command_starts_the_same_chain(stack: Stack) -> None:
    failing, sound = stack.failing_task(), stack.task()
    trigger(stack, failing)
    trigger(stack, sound)
    assert_failed_in_the_second(stack, failing)

    by_hand = stack.end_of(sound)
    measured = stack.get(f"tasks/{sound}")["result"]["metrics"]
    stack.post(f"tasks/{sound}/execute")
    by_rest = stack.end_of(sound)
    for standing in (by_hand, by_rest):
        assert (standing["overall_status"], statuses(standing)) == ("completed", ["success"] * 3)
    assert by_hand.keys() == by_rest.keys()
    again = stack.get(f"tasks/{sound}")["result"]["metrics"]
    assert again.keys() == measured.keys()
    assert again["accuracy"] == measured["accuracy"]


def test_a_stopped_chain_is_taken_up_where_it_was(stack: Stack) -> None:
    task_id = stack.task()
    stack.post(f"tasks/{task_id}/execute")
    wait_until(lambda: stack.standing(task_id)["workflow_runs"][1]["status"] == "running", "the second DAG")
    asked_at = datetime.now(timezone.utc)
    stopped = stack.post(f"tasks/{task_id}/stop", status=200)
    assert (stopped["overall_status"], stopped["task_status"]) == ("cancelled", "cancelled")
    (attempt,) = stack.get(f"tasks/{task_id}/executions")["items"]
    assert datetime.fromisoformat(attempt["ended_at"]) - asked_at <= STOPPED_WITHIN
    assert statuses(stopped) == ["success", "cancelled", "skipped"]
    assert stack.post(f"tasks/{task_id}/stop", status=200)["overall_status"] == "cancelled"
    run_ids = [run["external_trigger_id"] for run in stopped["workflow_runs"]]
    states = {run["dag_run_id"]: run["state"] for run in stack.dag_runs("ml_training_pipeline")}
    assert states[run_ids[1]] == "failed"

    stack.post(f"tasks/{task_id}/retry")
    standing = stack.end_of(task_id)
    assert statuses(standing) == ["reused", "success", "success"]
    thirds = {run["dag_run_id"] for run in stack.dag_runs("simple_workflow_example")}
    assert standing["workflow_runs"][2]["external_trigger_id"] in thirds
    assert run_ids[2] not in thirds, "what was stopped has gone on"
    artifacts = stack.get(f"tasks/{task_id}")["result"]["artifacts"]
    assert all(f"task_{task_id}/2/" in path for path in artifacts.values())
    assert all(Path(path).is_file() for path in artifacts.values())


def test_of_a_hundred_calls_at_once_one_executes(stack: Stack) -> None:
    task_id = stack.task()
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(lambda _: stack.api.post(f"tasks/{task_id}/execute", json={}), range(100)))
    assert Counter(answer.status_code for answer in answers) == {201: 1, 409: 99}
    assert len(stack.get(f"tasks/{task_id}/executions")["items"]) == 1
    assert stack.end_of(task_id)["overall_status"] == "completed"


def test_ten_tasks_at_once_all_complete(stack: Stack) -> None:
    task_ids = [stack.task() for _ in range(10)]
    for task_id in task_ids:
        stack.post(f"tasks/{task_id}/execute")
    assert Counter(stack.end_of(task_id)["overall_status"] for task_id in task_ids) == {"completed": 10}
    wanted = {"event": "state mismatch", "limit": 100}
    logged = stack.airflow.get("eventLogs", params=wanted).raise_for_status()
    theirs = tuple(f"svops__task_{task_id}__" for task_id in task_ids)
    assert not [one for one in logged.json()["event_logs"] if (one["run_id"] or "").startswith(theirs)]
    for dag_id in CHAIN:
        runs = Counter((run["conf"] or {}).get("task_id") for run in stack.dag_runs(dag_id))
        assert {task_id: runs[task_id] for task_id in task_ids} == dict.fromkeys(task_ids, 1)


def test_a_paused_dag_is_named(stack: Stack) -> None:
    task_id = stack.task()
    try:
        stack.airflow.patch("dags/ml_training_pipeline", json={"is_paused": True}).raise_for_status()
        refused = stack.post(f"tasks/{task_id}/execute", status=422)
    finally:
        stack.airflow.patch("dags/ml_training_pipeline", json={"is_paused": False}).raise_for_status()
    assert "DAG ml_training_pipeline is paused" in refused["detail"]
    assert stack.get(f"tasks/{task_id}")["status"] == "pending"


def test_a_run_started_elsewhere_is_noticed(stack: Stack) -> None:
    workflow_id = stack.get("workflows", dag_id="data_processing_pipeline")["items"][0]["id"]
    answer = stack.airflow.post("dags/data_processing_pipeline/dagRuns", json=hosting().A_RUN_NOW)
    run_id = answer.json()["dag_run_id"]

    def noticed() -> dict[str, Any] | None:
        runs = stack.get(f"workflows/{workflow_id}/runs")["items"]
        found = (run for run in runs if run["external_trigger_id"] == run_id)
        return next((run for run in found if run["status"] == "failed"), None)

    run = wait_until(noticed, "the run")
    assert (run["trigger_type"], run["triggered_by"]) == ("external", hosting().BY_HAND)


def test_ground_truth_that_does_not_fit_fails_the_first_dag_at_once(stack: Stack) -> None:
    folder = stack.home / "data" / "unfit"
    folder.mkdir()
    (folder / "features.csv").write_text("sample,f1,f2\na,1,2\nb,3,4\n")
    (folder / "labels.csv").write_text("sample,label\na,x\nc,y\n")
    dataset = {"name": "unfit", "path": str(folder), "data_type": "Vector"}
    task_id = stack.task(dataset_id=stack.post("datasets", dataset)["id"])
    stack.post(f"tasks/{task_id}/execute")
    standing = stack.end_of(task_id)
    assert statuses(standing) == ["failed", "skipped", "skipped"]

    def cause() -> dict[str, Any] | None:
        error: dict[str, Any] = stack.standing(task_id)["error"]
        return error if error["task_id"] else None

    error = wait_until(cause, "the cause")
    assert error["task_id"] == "extract_data"
    assert "'b'" in error["message"]
    assert "'c'" in error["message"]
