"""Every write is an event that tells who did it, from where, and what it changed."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import Client

from svops_plugin.application import audit
from svops_plugin.domain.entities import Dataset, Task, Workflow
from svops_plugin.presentation.rest.datasets import DatasetCreate, DatasetUpdate
from svops_plugin.presentation.rest.tasks import TaskCreate, TaskUpdate
from svops_plugin.presentation.rest.workflows import WorkflowCreate, WorkflowUpdate
from tests.conftest import OUTPUT
from tests.integration.support import ok

NOT_WRITTEN = {"status", "version"}  # one is moved by the chain, the other guards the edit


def events(client: Client, kind: str) -> list[dict[str, Any]]:
    """Return the events about things of a kind, each from somewhere."""
    found = [one for one in ok(client.get("events"))["items"] if one["type"].startswith(f"{kind}.")]
    assert all(one["data"]["address"] for one in found)
    return found


@pytest.mark.parametrize(
    ("entity", "schemas"),
    [
        (Dataset, (DatasetCreate, DatasetUpdate)),
        (Task, (TaskCreate, TaskUpdate)),
        (Workflow, (WorkflowCreate, WorkflowUpdate)),
    ],
)
def test_whatever_can_be_written_is_told(entity: type, schemas: tuple[Any, ...]) -> None:
    writable = {name for schema in schemas for name in schema().fields} - NOT_WRITTEN
    assert set(audit.FIELDS[entity]) == writable


@pytest.mark.parametrize("kind", ["dataset", "task"])
def test_a_things_whole_life(
    *, admin: Client, user: Client, dataset_body: dict[str, Any], task_body: dict[str, Any], kind: str
) -> None:
    body = {**(dataset_body if kind == "dataset" else task_body), "tags": ["a"]}
    made = ok(user.post(f"{kind}s", json=body), 201)
    ok(admin.put(f"{kind}s/{made['id']}", json={**body, "name": "other", "tags": ["b"]}))
    ok(admin.put(f"{kind}s/{made['id']}", json={"name": "other"}))  # changes nothing
    assert user.delete(f"{kind}s/{made['id']}").status_code == 204
    created, updated, deleted = events(admin, kind)
    assert [one["actor"] for one in (created, updated, deleted)] == ["user", "admin", "user"]
    assert {one["user_id"] for one in (created, updated, deleted)} == {made["created_by_id"]}
    assert {name: created["data"]["after"][name] for name in body} == body
    assert updated["data"]["changed"] == ["name", "tags"]
    assert updated["data"]["before"] == {"name": body["name"], "tags": ["a"]}
    assert updated["data"]["after"] == {"name": "other", "tags": ["b"]}
    assert deleted["data"]["before"] == {**created["data"]["after"], "name": "other", "tags": ["b"]}


def test_a_workflows_life(admin: Client) -> None:
    made = ok(admin.post("workflows", json={"name": "w", "dag_id": "data_processing_pipeline"}), 201)
    ok(admin.put(f"workflows/{made['id']}", json={"name": "w", "is_active": False}))
    ok(admin.put(f"workflows/{made['id']}", json={"is_active": False}))  # changes nothing
    created, updated = events(admin, "workflow")
    assert {one["workflow_id"] for one in (created, updated)} == {made["id"]}
    assert created["data"]["after"] == {
        "name": "w",
        "description": None,
        "dag_id": "data_processing_pipeline",
        "is_active": True,
    }
    assert updated["data"]["changed"] == ["is_active"]
    assert (updated["data"]["before"], updated["data"]["after"]) == (
        {"is_active": True},
        {"is_active": False},
    )


def test_executing_and_stopping(admin: Client, running: int) -> None:
    assert admin.post(f"tasks/{running}/stop").status_code == 200
    told = {one["type"]: one["data"] for one in ok(admin.get("events", params={"task_id": running}))["items"]}
    for kind in ("task.started", "workflow.triggered", "task.updated"):
        assert told[kind]["address"], kind
    assert told["task.updated"]["stop_requested"] is True


def test_a_long_value_is_told_by_its_beginning(admin: Client, task_body: dict[str, Any]) -> None:
    made = ok(admin.post("tasks", json={**task_body, "description": "x" * 10_000}), 201)
    ok(admin.put(f"tasks/{made['id']}", json={"description": "x" * 9_999 + "y"}))
    created, updated = events(admin, "task")
    assert created["data"]["after"]["description"] == '"' + "x" * 999 + "…"
    assert updated["data"]["changed"] == ["description"]


def test_what_is_refused_is_no_event(admin: Client, task_id: int) -> None:
    before = len(events(admin, "task"))
    assert admin.put(f"tasks/{task_id}", json={"log_out_path": f"{OUTPUT}/../x"}).status_code == 422
    assert len(events(admin, "task")) == before
