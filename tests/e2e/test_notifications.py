"""Who hears of a chain, and what outside systems can start, on a whole stack."""

from __future__ import annotations

import html
from collections import Counter
from datetime import datetime
from typing import Any

import httpx

from tests.e2e.conftest import Stack, wait_until
from tests.hosts import hosting
from tests.integration.receivers import Mailbox, Receiver, mailbox, receiver
from tests.integration.test_documented_webhook import block, run

__all__ = ["mailbox", "receiver"]
TYPES = ["task_completed", "task_failed"]
PAGING = '''
"""Fails, and lets both the task and the DAG tell so."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.bash import BashOperator

from svops_plugin.orchestration import SVOpsNotifier

with DAG(
    "paging",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    is_paused_upon_creation=False,
    on_failure_callback=SVOpsNotifier("pager", "{{ dag.dag_id }} has failed"),
):
    BashOperator(
        task_id="work",
        bash_command="exit 1",
        retries=0,
        on_failure_callback=SVOpsNotifier("pager", "{{ task.task_id }} has failed", "run {{ run_id }}"),
    )
'''
SECONDS = 5  # within which everybody has been told
TESTS = 3


def delivered(stack: Stack, name: str, number: int = len(TYPES)) -> list[dict[str, Any]] | None:
    """Return the deliveries of a notification once there are so many and none is on its way any more."""
    items: list[dict[str, Any]] = stack.get(f"notifications/configs/{name}/deliveries")["items"]
    return items if len(items) == number and all(one["status"] != "pending" for one in items) else None


def sent_once_each(stack: Stack, name: str) -> dict[str, int]:
    """Assert one attempt at one delivery of each event, and return which event came under which id.

    Tests of the notification are waited for before, one after the other: the dispatcher has looked again for
    what is due each time.
    """
    for number in range(len(TYPES) + 1, len(TYPES) + TESTS + 1):
        stack.post(f"notifications/configs/{name}/test", status=200)
        sent = wait_until(lambda number=number: delivered(stack, name, number), f"a test of {name}")
    assert Counter((one["event_type"], one["status"], one["attempts"]) for one in sent) == {
        ("task.completed", "delivered", 1): 1,
        ("task.failed", "delivered", 1): 1,
        ("notification.requested", "delivered", 1): TESTS,
    }
    return {one["message_id"]: one["event_id"] for one in sent}


def late(arrived: datetime, happened: str) -> float:
    """Return how many seconds after an event its notification arrived."""
    return (arrived - datetime.fromisoformat(happened)).total_seconds()


def assert_told_in_time(receiver: Receiver, mailbox: Mailbox, mailed: dict[str, int]) -> None:
    """Assert that nothing arrived later than the bar, counted from its event's own time."""
    happened = {hit.json["id"]: hit.json["timestamp"] for hit in receiver.hits}
    waited = [late(hit.at, hit.json["timestamp"]) for hit in receiver.hits]
    for mail, arrived in zip(mailbox.mails, mailbox.arrived, strict=True):
        (event_id,) = (event_id for message_id, event_id in mailed.items() if message_id in said_in(mail))
        if event_id in happened:  # tests were asked for separately
            waited.append(late(arrived, happened[event_id]))
    assert len(waited) == 2 * len(TYPES) + TESTS
    assert max(waited) < SECONDS, waited


def said_in(mail: Any) -> str:
    return str(mail.get_body(("html", "plain")).get_content())


def test_a_completing_and_a_failing_chain_are_told_once_each(
    stack: Stack, receiver: Receiver, mailbox: Mailbox
) -> None:
    tag = {"tags": ["told"]}
    for name, channel, url in (("hook", "webhook", receiver.url()), ("mail", "email", mailbox.url)):
        body = {"name": name, "channel": channel, "webhook_url": url, "notification_types": TYPES}
        stack.post("notifications/configs", {**body, "filters": {"tag": "told"}})
    unheard = stack.task()
    good = stack.task(**tag)
    bad = stack.task(
        build_config_customized=True, build_config_custom_conf={"min_accuracy": 1}, name="Unlikely", **tag
    )
    for task_id in (unheard, good, bad):
        stack.post(f"tasks/{task_id}/execute")
    assert [stack.end_of(one)["overall_status"] for one in (unheard, good, bad)] == [
        "completed",
        "completed",
        "failed",
    ]
    for name in ("hook", "mail"):
        wait_until(lambda name=name: delivered(stack, name), f"the deliveries of {name}")
    _, mailed = (sent_once_each(stack, name) for name in ("hook", "mail"))
    heard = sorted((hit.json["type"], hit.json["task_id"]) for hit in receiver.hits if hit.json["task_id"])
    assert heard == [("task.completed", good), ("task.failed", bad)]
    assert len(receiver.hits) == len(mailbox.mails) == len(TYPES) + TESTS
    assert_told_in_time(receiver, mailbox, mailed)
    (links,) = (hit.json["links"] for hit in receiver.hits if hit.json["type"] == "task.failed")
    assert links.keys() == {"log", "page", "run"}
    assert stack.api.get(links["page"]).status_code == 200  # with the token: nobody is sent to sign in
    assert links["page"].endswith(f"/svops/tasks/{bad}")
    assert hosting().RUN_PAGE.format(dag_id="ml_training_pipeline") in links["log"]
    assert not httpx.get(links["log"], trust_env=False).is_error
    (failure,) = (mail for mail in mailbox.mails if "Unlikely" in str(mail["subject"]))
    assert "validate_model_performance" in said_in(failure)
    assert all(html.escape(url) in said_in(failure) for url in links.values())
    for name in ("hook", "mail"):
        assert stack.api.delete(f"notifications/configs/{name}").is_success


def test_a_signed_webhook_starts_a_chain_as_the_guide_shows(stack: Stack) -> None:
    task_id = stack.task()
    svops = str(stack.api.base_url).removesuffix("/api/v1/")
    token = stack.api.headers["Authorization"].removeprefix("Bearer ")
    made = run(block("shell", "execute_task"), SVOPS=svops, TOKEN=token, TASK=str(task_id))
    answer = run(block("bash", "openssl"), SVOPS=svops, SECRET=made["secret"])
    standing = stack.end_of(task_id)
    assert (standing["execution_id"], standing["overall_status"]) == (answer["execution_id"], "completed")
    assert stack.api.delete("notifications/configs/lab").is_success


def test_a_dag_tells_of_its_failure(stack: Stack, receiver: Receiver) -> None:
    body = {"name": "pager", "channel": "webhook", "webhook_url": receiver.url()}
    stack.post("notifications/configs", body)
    (stack.home / "dags" / "paging.py").write_text(PAGING)
    wait_until(lambda: "paging" in {one["dag_id"] for one in stack.get("dags")["items"]}, "the DAG")
    answer = stack.airflow.post("dags/paging/dagRuns", json=hosting().A_RUN_NOW)
    assert answer.status_code == 200, answer.text
    wait_until(lambda: len(receiver.hits) >= 2, "what the task and the DAG tell")
    told = {hit.json["data"]["title"]: hit.json for hit in receiver.hits}
    assert told.keys() == {"work has failed", "paging has failed"}
    assert {(one["type"], one["actor"]) for one in told.values()} == {("notification.requested", "paging")}
    work = told["work has failed"]
    assert work["data"]["message"] == f"run {answer.json()['dag_run_id']}"
    assert hosting().RUN_PAGE.format(dag_id="paging") in work["links"]["log"]
    assert not httpx.get(work["links"]["log"], trust_env=False).is_error
    assert stack.api.delete("notifications/configs/pager").is_success
    assert len(receiver.hits) == 2
