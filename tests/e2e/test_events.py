"""What a chain tells while it runs, on a whole stack."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
from websockets.sync.client import connect

from svops_plugin.domain.events import EVENT_TYPES
from tests.e2e.conftest import PATIENCE, Stack

ENDS = {"task.completed", "task.failed", "task.cancelled"}


def followed(stack: Stack, task_id: int, since: int) -> list[dict[str, Any]]:
    """Follow a task over the WebSocket until its execution ends."""
    address = str(
        stack.api.base_url.copy_with(scheme="ws", path="/svops/ws", query=f"since={since}".encode())
    )
    headers = {"Authorization": stack.api.headers["Authorization"]}
    found = []
    with connect(address, additional_headers=headers, proxy=None) as socket:
        while True:
            message = json.loads(socket.recv(PATIENCE))
            if message.get("task_id") == task_id:
                found.append(message)
                if message["type"] in ENDS:
                    return found


def newest(stack: Stack) -> int:
    """Return the id of the last event so far, of however many."""
    since = 0
    while (page := stack.get("events", since=since, limit=1000))["items"]:
        since = page["last_event_id"]
    return since


def test_a_chain_is_told_from_beginning_to_end(stack: Stack) -> None:
    task_id = stack.task()
    since = newest(stack)
    stack.post(f"tasks/{task_id}/execute")
    told = followed(stack, task_id, since)
    for event in told:
        jsonschema.validate(event["data"], EVENT_TYPES[event["type"]])
    kinds = [event["type"] for event in told if event["type"] != "workflow.progress"]
    assert kinds == [
        "task.started",
        *["workflow.triggered"] * 3,
        *["workflow.started", "workflow.completed"] * 3,
        "task.completed",
    ]
    ids = [event["id"] for event in told]
    assert ids == sorted(set(ids))
    polled = stack.get("events", since=since, task_id=task_id, limit=1000)["items"]
    assert polled == told

    stats = stack.api.get(str(stack.api.base_url.copy_with(path="/svops/ws/stats"))).json()
    assert stats["processes"][0]["last_event_id"] >= ids[-1]
    assert stats["dropped"] == 0
