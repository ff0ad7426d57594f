"""Who hears of a chain, and what outside systems can start, on a whole stack."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.e2e.conftest import Stack, wait_until
from tests.integration.receivers import Mailbox, Receiver, mailbox, receiver
from tests.integration.test_documented_webhook import block, run

__all__ = ["mailbox", "receiver"]
TYPES = ["task_completed", "task_failed"]


def delivered(stack: Stack, name: str) -> list[dict[str, Any]] | None:
    """Return the deliveries of a notification once none is on its way any more."""
    items: list[dict[str, Any]] = stack.get(f"notifications/configs/{name}/deliveries")["items"]
    return items if len(items) == len(TYPES) and all(one["status"] != "pending" for one in items) else None


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
        sent = wait_until(lambda name=name: delivered(stack, name), f"the deliveries of {name}")
        told = Counter((one["event_type"], one["status"], one["attempts"]) for one in sent)
        assert told == {("task.completed", "delivered", 1): 1, ("task.failed", "delivered", 1): 1}
    heard = {(hit.json["type"], hit.json["task_id"]) for hit in receiver.hits}
    assert heard == {("task.completed", good), ("task.failed", bad)}
    assert len(receiver.hits) == len(mailbox.mails) == len(TYPES)
    (failure,) = (mail for mail in mailbox.mails if "Unlikely" in str(mail["subject"]))
    said = failure.get_body(("plain", "html")).get_content()  # type: ignore[attr-defined]  # EmailMessage's
    assert "validate_model_performance" in said
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
