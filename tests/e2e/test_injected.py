"""Text that is a program to somebody, through a whole chain: Airflow renders none of it, nor does a page."""

from __future__ import annotations

from html import escape
from typing import Any

from tests.e2e.conftest import Stack
from tests.e2e.test_chain import statuses

PROGRAM = (
    "{{ 31337 * 71993 }}${31337 * 71993}'; DROP TABLE svops_task;--<script>alert(31337 * 71993)</script>"
)
OUTCOME = str(31337 * 71993)
LABEL = "<img src=x onerror=alert(1)>{{ 31337 * 71993 }}"


def rendered(stack: Stack, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """What Airflow has made of the templates of each task instance of a DAG run."""
    answer = stack.airflow.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances")
    assert answer.status_code == 200, answer.text
    instances = answer.json()["task_instances"]
    assert instances
    return [instance["rendered_fields"] for instance in instances]


def test_what_a_task_is_called_is_run_by_nobody(stack: Stack) -> None:
    task_id = stack.task(
        name=PROGRAM,
        customer="{{ 31337 * 71993 }}",
        description=PROGRAM,
        tags=[LABEL],
    )
    body = {"note": PROGRAM, "parameters": {LABEL: PROGRAM}}
    stack.post(f"tasks/{task_id}/execute", body)
    standing = stack.end_of(task_id)
    assert statuses(standing) == ["success"] * 3

    (attempt,) = stack.get(f"tasks/{task_id}/executions")["items"]
    assert attempt["note"] == PROGRAM
    assert attempt["parameters"] == {LABEL: PROGRAM}
    runs = [("svops_controller", attempt["controller_run_id"])]
    runs += [(run["dag_id"], run["external_trigger_id"]) for run in standing["workflow_runs"]]
    for dag_id, run_id in runs:
        conf = {run["dag_run_id"]: run["conf"] for run in stack.dag_runs(dag_id)}[run_id]
        # The controller's run need not carry them: its execution does.
        carried = conf.keys() & body.keys() if dag_id == "svops_controller" else body.keys()
        assert {name: conf.get(name) for name in carried} == {name: body[name] for name in carried}
        assert OUTCOME not in str(rendered(stack, dag_id, run_id))

    report = stack.api.get(f"executions/{attempt['execution_id']}/artifacts/report.html")
    assert report.status_code == 200, report.text
    assert "<script>alert" not in report.text
    assert "onerror=" not in report.text.replace(escape(LABEL), "")
    written = [*(stack.home / "logs").rglob("*"), *(stack.home / "output" / f"task_{task_id}").rglob("*")]
    for file in written:
        if file.is_file():
            assert OUTCOME.encode() not in file.read_bytes(), file
