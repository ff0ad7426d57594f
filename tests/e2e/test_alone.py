"""SVOps' own pipelines, and a DAG of somebody's, run alone on a real Airflow as workflows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Stack, wait_until
from tests.e2e.test_chain import CHAIN
from tests.unit.documentation import the_block

FIRST, SECOND, THIRD = CHAIN
ENDED = {"success", "failed", "cancelled"}


def workflow(stack: Stack, dag_id: str) -> str:
    """Return the path of the runs of a DAG's workflow, which the stack's first execution has registered."""
    (found,) = stack.get("workflows", dag_id=dag_id)["items"]
    return f"workflows/{found['id']}/runs"


def end_of(stack: Stack, path: str) -> dict[str, Any]:
    def ended() -> dict[str, Any] | None:
        run = stack.get(path)
        return run if run["status"] in ENDED else None

    found: dict[str, Any] = wait_until(ended, f"the end of {path}")
    return found


def run_alone(stack: Stack, dag_id: str, **values: Any) -> dict[str, Any]:
    """Run a DAG alone, and return the run when it has ended."""
    runs = workflow(stack, dag_id)
    return end_of(stack, f"{runs}/{stack.post(runs, values)['id']}")


def test_one_after_the_other(stack: Stack) -> None:
    task_id = stack.task("Surf")
    for dag_id in CHAIN:
        run = run_alone(stack, dag_id, task_id=task_id, note="alone")
        assert (run["status"], run["error"]) == ("success", None)
        assert {one["state"] for one in run["task_instances"]} == {"success"}
        assert run["progress"]["done"] == run["progress"]["total"] == len(run["task_instances"])
        folder = f"/task_{task_id}/alone/{run['id']}/"
        assert all(folder in one["path"] and Path(one["path"]).is_file() for one in run["artifacts"])
        assert run["artifacts"]
    measured = {one["name"]: one["value"] for one in run["metrics"]}
    assert measured["accuracy"] > 0.5
    assert stack.standing(task_id)["overall_status"] == "pending"
    assert stack.get(f"datasets/{stack.dataset('Surf')}")["profile"]["samples"] > 0


def test_a_run_that_names_no_task_says_what_to_give(stack: Stack) -> None:
    run = run_alone(stack, SECOND, note="alone")
    assert run["status"] == "failed"
    assert run["error"]["task_id"] == "prepare_training_data"
    assert 'run it with the id of one, as in {"task_id": 1}' in run["error"]["message"]
    assert {one["task_id"] for one in run["task_instances"]} >= {"prepare_training_data", "train_model"}
    assert run["log_url"].startswith("http")


def test_what_a_chain_left_is_gone_on_from_and_a_stop_is_retried(stack: Stack) -> None:
    task_id = stack.failing_task()
    stack.post(f"tasks/{task_id}/execute")
    assert stack.end_of(task_id)["overall_status"] == "failed"  # in its second DAG
    runs = workflow(stack, SECOND)
    run_id = stack.post(runs, {"task_id": task_id})["id"]
    wait_until(lambda: stack.get(f"{runs}/{run_id}")["status"] == "running", "the run")
    stopped = stack.post(f"{runs}/{run_id}/control", {"action": "stop"}, status=200)
    assert stopped["status"] == "cancelled"
    again = stack.post(f"{runs}/{run_id}/control", {"action": "retry"}, status=200)
    run = end_of(stack, f"{runs}/{again['id']}")
    assert (run["status"], run["error"]["task_id"]) == ("failed", "validate_model_performance")
    assert "min_accuracy" in run["error"]["message"]
    assert stack.get(f"{runs}/{run_id}")["status"] == "cancelled"


def documented(saying: str) -> dict[str, Any]:
    """Return the body of a request in docs/pipelines.md that says this."""
    body = the_block("docs/pipelines.md", "shell", saying).partition("-d '")[2].partition("'")[0]
    found: dict[str, Any] = json.loads(body)
    return found


def test_a_dag_that_knows_nothing_of_svops(stack: Stack) -> None:
    """It comes while the stack runs, as docs/pipelines.md shows."""
    file = stack.home / "dags" / "nightly_export.py"
    file.write_text(the_block("docs/pipelines.md", "python", '"nightly_export"'))
    wait_until(
        lambda: "nightly_export" in {one["dag_id"] for one in stack.get("dags")["items"]},
        "the DAG",
    )
    registered = stack.post("workflows", documented('"nightly_export"'))
    runs = f"workflows/{registered['id']}/runs"
    run = end_of(stack, f"{runs}/{stack.post(runs, documented('/runs'))['id']}")
    assert (run["status"], run["error"]) == ("success", None)
    (airflows,) = stack.dag_runs("nightly_export")
    assert airflows["conf"]["day"] == "2026-01-31"
