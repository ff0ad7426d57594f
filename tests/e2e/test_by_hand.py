"""What people do to the DAG runs of a chain in Airflow itself, and what becomes of the chain."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from tests.e2e.conftest import Stack, wait_until
from tests.e2e.test_chain import statuses
from tests.hosts import hosting

FIRST, SECOND, THIRD = CHAIN = ("data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example")
CONTROLLER = "svops_controller"
CLICKS = 3


def ask(stack: Stack, method: str, path: str, body: dict[str, Any]) -> None:
    """Do what Airflow's own pages do, and again where its scheduler was in the way (a deadlock: ADR 10)."""
    for _ in range(CLICKS):
        answer = stack.airflow.request(method, path, json=body)
        if answer.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
            break
    assert answer.is_success, answer.text


def attempts(stack: Stack, task_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stack.get(f"tasks/{task_id}/executions")["items"]
    return found


def end_of_attempt(stack: Stack, task_id: int, number: int) -> dict[str, Any]:
    wait_until(lambda: stack.standing(task_id)["attempt"] == number, f"attempt {number}")
    return stack.end_of(task_id)


def second_running(stack: Stack) -> tuple[int, list[str]]:
    """Execute a task until its second DAG runs; return it and the names of its runs in Airflow."""
    task_id = stack.task()
    stack.post(f"tasks/{task_id}/execute")
    wait_until(lambda: stack.standing(task_id)["workflow_runs"][1]["status"] == "running", "the second DAG")
    runs = stack.standing(task_id)["workflow_runs"]
    return task_id, [run["external_trigger_id"] for run in runs]


def states(stack: Stack, dag_id: str) -> dict[str, str]:
    """The state of each DAG run of a DAG in Airflow, by its id."""
    return {run["dag_run_id"]: run["state"] for run in stack.dag_runs(dag_id)}


def started(stack: Stack, dag_id: str, run_id: str) -> bool:
    return run_id in states(stack, dag_id)


def test_clearing_the_controllers_run_is_a_retry(stack: Stack) -> None:
    """First as a whole, then from its second step on, as when one clicks on the failed step."""
    task_id = stack.failing_task()
    stack.post(f"tasks/{task_id}/execute")
    assert statuses(stack.end_of(task_id)) == ["success", "failed", "skipped"]
    (first,) = attempts(stack, task_id)
    run_id = first["controller_run_id"]
    ended = ("success", "failed")

    def has_ended() -> bool:
        return states(stack, CONTROLLER)[run_id] in ended

    wait_until(has_ended, "the controller's run")
    ask(stack, "POST", f"dags/{CONTROLLER}/dagRuns/{run_id}/clear", {"dry_run": False})
    assert statuses(end_of_attempt(stack, task_id, 2)) == ["reused", "failed", "skipped"]
    wait_until(has_ended, "the controller's run")
    steps = {
        "dry_run": False,
        "dag_run_id": run_id,
        "task_ids": [f"2_{SECOND}"],
        "include_downstream": True,
        "only_failed": False,
        "reset_dag_runs": True,
    }
    ask(stack, "POST", f"dags/{CONTROLLER}/clearTaskInstances", steps)
    assert statuses(end_of_attempt(stack, task_id, 3)) == ["reused", "failed", "skipped"]
    assert {one["controller_run_id"] for one in attempts(stack, task_id)} == {run_id}
    of_task = [
        run for run in stack.dag_runs(FIRST) if run["dag_run_id"].startswith(f"svops__task_{task_id}__")
    ]
    assert len(of_task) == 1


def test_the_end_of_the_log_comes_with_the_cause(stack: Stack) -> None:
    task_id = stack.failing_task()
    stack.post(f"tasks/{task_id}/execute")
    stack.end_of(task_id)
    error = wait_until(
        lambda: found if (found := stack.standing(task_id)["error"]).get("log_tail") else None, "the log"
    )
    assert error["task_id"] == "validate_model_performance"
    assert any("min_accuracy" in line for line in error["log_tail"])
    assert not any("group::" in line for line in error["log_tail"])


def test_a_step_that_somebody_fails(stack: Stack) -> None:
    for _ in range(hosting().MARKS):
        task_id, run_ids = second_running(stack)
        ask(stack, "PATCH", f"dags/{SECOND}/dagRuns/{run_ids[1]}", {"state": "failed"})
        standing = stack.end_of(task_id)
        verdict = states(stack, SECOND)[run_ids[1]]
        assert statuses(standing)[1] == verdict
        if verdict == "failed":
            break
    assert statuses(standing) == ["success", "failed", "skipped"]
    assert not started(stack, THIRD, run_ids[2])


def test_a_controller_that_somebody_fails(stack: Stack) -> None:
    task_id, run_ids = second_running(stack)
    (attempt,) = attempts(stack, task_id)

    def child() -> str:
        return states(stack, SECOND)[run_ids[1]]

    try:
        ask(stack, "PATCH", f"dags/{SECOND}", {"is_paused": True})  # so that its run does not end by itself
        ask(stack, "PATCH", f"dags/{CONTROLLER}/dagRuns/{attempt['controller_run_id']}", {"state": "failed"})
        standing = stack.end_of(task_id)
        wait_until(lambda: child() != "running", "the stop of what the chain left")
        assert child() == "failed"
    finally:
        ask(stack, "PATCH", f"dags/{SECOND}", {"is_paused": False})
    assert standing["overall_status"] == "failed"
    first, second, third = statuses(standing)
    assert (first, third) == ("success", "skipped")
    assert second in {"cancelled", "failed"}
    assert not started(stack, THIRD, run_ids[2])


def test_a_dag_that_somebody_pauses_meanwhile(stack: Stack) -> None:
    task_id = stack.task()
    stack.post(f"tasks/{task_id}/execute")
    try:
        ask(stack, "PATCH", f"dags/{THIRD}", {"is_paused": True})

        def says_so() -> bool:
            message = stack.standing(task_id)["workflow_runs"][2]["progress"].get("message") or ""
            return f"{THIRD} is paused" in message

        wait_until(says_so, "the reason why the chain waits")
        assert statuses(stack.standing(task_id)) == ["success", "success", "queued"]
    finally:
        ask(stack, "PATCH", f"dags/{THIRD}", {"is_paused": False})
    assert statuses(stack.end_of(task_id)) == ["success"] * 3
