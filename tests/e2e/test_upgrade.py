"""From Airflow 2.11 to 3.3 in one home, as `make run AIRFLOW=2.11` and then `make run` do it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.e2e.conftest import Stack, standing, wait_until
from tests.integration.receivers import Receiver, receiver

__all__ = ["receiver"]

NEWER = Path(__file__).parents[2] / ".venv" / "bin" / "python"
NEWEST_FIRST = (
    "datasets",
    "tasks/1/executions",
    "workflows",
    "workflows/wf_1/runs",
    "workflows/wf_2/runs",
    "workflows/wf_3/runs",
)
SAMPLE, FAILED, STOPPED = 1, 2, 3  # tasks, and the first execution of each


@contextmanager
def running(home: Path, python: str = sys.executable) -> Iterator[Stack]:
    with standing(home, python) as (api, _):
        yield Stack(home, api, api)  # of Airflow's own API nothing is asked here


def without_listing(dataset: dict[str, Any]) -> dict[str, Any]:
    """Leave out where the newest run's list of files is, which the second start makes."""
    (dataset["profile"] or {}).pop("listing", None)
    return dataset


def history(stack: Stack) -> dict[str, list[dict[str, Any]]]:
    """Return what SVOps tells of what has been, the oldest first."""
    told = {path: stack.get(path)["items"][::-1] for path in NEWEST_FIRST}
    told["datasets"] = [without_listing(dataset) for dataset in told["datasets"]]
    return {**told, "events": stack.get("events", since=0, limit=1000)["items"]}


def kept(stack: Stack) -> dict[str, Any]:
    """Return what the second start has nothing to do with."""
    told = {}
    for execution_id in (SAMPLE, FAILED, STOPPED):
        told[f"execution {execution_id}"] = stack.get(f"executions/{execution_id}")
        told[f"execution {execution_id}"].pop("last_event_id")
    for task_id in (FAILED, STOPPED):
        told[f"task {task_id}"] = stack.get(f"tasks/{task_id}")
        without_listing(told[f"task {task_id}"]["dataset"])
    return {**told, "notifications": stack.get("notifications/configs")["items"]}


def fail_and_stop(stack: Stack) -> None:
    """Leave a task that has failed in its second DAG, and one that was stopped in its second."""
    assert (stack.failing_task(), stack.task()) == (FAILED, STOPPED)
    stack.post(f"tasks/{FAILED}/execute")
    assert stack.end_of(FAILED)["overall_status"] == "failed"
    wait_until(lambda: stack.standing(FAILED)["error"].get("log_tail"), "the end of the log")
    stack.post(f"tasks/{STOPPED}/execute")
    wait_until(lambda: stack.standing(STOPPED)["workflow_runs"][1]["status"] == "running", "the second DAG")
    assert stack.post(f"tasks/{STOPPED}/stop", status=200)["overall_status"] == "cancelled"


def goes_on(stack: Stack) -> None:
    """Retry the task that had failed, and execute the one that was stopped."""
    assert stack.post(f"tasks/{FAILED}/retry")["attempt"] == 2
    runs = stack.end_of(FAILED)["workflow_runs"]
    assert [run["status"] for run in runs] == ["reused", "failed", "skipped"]
    assert stack.post(f"tasks/{STOPPED}/execute")["attempt"] == 2
    assert stack.end_of(STOPPED)["overall_status"] == "completed"


def is_told(stack: Stack, receiver: Receiver, secret: str) -> None:
    """Let a notification go where it went before, signed with the same secret."""
    stack.post("notifications/configs/hook/test", status=200)
    wait_until(lambda: receiver.hits, "the notification")
    (hit,) = receiver.hits
    Webhook(secret).verify(hit.body, hit.headers)


@pytest.mark.only_on("airflow2", "Upgrade")
@pytest.mark.skipif(not NEWER.exists(), reason="Airflow 3.3 is not installed here too; `make lint` does that")
def test_an_upgrade_keeps_the_history_and_the_tasks(receiver: Receiver) -> None:
    """Each start executes the home's sample task: the second start does so with the other Airflow."""
    hook = {"name": "hook", "channel": "webhook", "webhook_url": receiver.url()}
    with tempfile.TemporaryDirectory(prefix="svops-e2e-") as folder:
        home = Path(folder, "home")
        with running(home) as stack:
            told_of_nothing = {"notification_types": ["task_completed"], "filters": {"tag": "of no task"}}
            secret = stack.post("notifications/configs", {**hook, **told_of_nothing})["secret"]
            fail_and_stop(stack)
            before, whole = history(stack), kept(stack)
        assert whole[f"execution {SAMPLE}"]["metrics"]
        assert whole[f"execution {SAMPLE}"]["artifacts"]
        with running(home, str(NEWER)) as stack:
            after = history(stack)
            assert kept(stack) == whole
            results = stack.get(f"tasks/{SAMPLE}")["result"]
            goes_on(stack)
            is_told(stack, receiver, secret)
    for path, items in before.items():
        assert after[path][: len(items)] == items, path
    assert [one["overall_status"] for one in after["tasks/1/executions"]] == ["completed"] * 2
    assert results["metrics"]["accuracy"] >= 0.95
