"""Who is told what of an event: addresses are for who may read users, some events for some roles only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import Event
from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.live import Server, an_event, happen, serve, server

__all__ = ["serve", "server"]

pytestmark = pytest.mark.parametrize("serve", hosting().SOCKETS, indirect=True)
ADDRESS = "192.0.2.1"
SEES = {"viewer": None, "user": None, "op": None, "admin": ADDRESS}


def write(**values: Any) -> Event:
    return an_event(data={"name": "x", "address": ADDRESS}, **values)


@pytest.mark.parametrize("name", SEES)
def test_addresses_are_for_who_may_read_users(server: Server, name: str) -> None:
    (first,) = happen(write())
    with server.listening(name=name) as live, server.listening(f"/ws?since={first - 1}", name) as replay:
        happen(write())
        told = [live.next(), *replay.events(2)]
    pages = [{"since": first - 1}, {"newest_first": True, "limit": 2}]
    for asked in pages:
        told += server.rest(name).get("api/v1/events", params=asked).json()["items"]
    assert len(told) == 7
    assert {one["data"]["address"] for one in told} == {SEES[name]}
    assert {one["data"]["name"] for one in told} == {"x"}


@pytest.mark.parametrize(
    ("kind", "readers"),
    [
        ("user.updated", {"admin"}),
        ("notification.sent", {"op", "admin"}),
        ("webhook.received", {"op", "admin"}),
        ("task.updated", {"viewer", "user", "op", "admin"}),
        ("system.error", {"viewer", "user", "op", "admin"}),
    ],
)
def test_some_events_are_for_some_roles(server: Server, kind: str, readers: set[str]) -> None:
    for name in SEES:
        with server.listening(name=name) as live:
            happen(Event(type=kind, actor="tests"), an_event(type="task.deleted"))
            first = live.next()["type"]
            found = server.rest(name).get("api/v1/events", params={"newest_first": True, "limit": 2})
            types = [one["type"] for one in found.json()["items"]]
        assert (first == kind) is (kind in types) is (name in readers), name


def test_of_a_run_its_files_are_told_over_the_socket(server: Server, running: int, tmp_path: Path) -> None:
    run = server.rest("viewer").get(f"api/v1/tasks/{running}/status").json()["workflow_runs"][0]
    file = OUTPUT / f"{tmp_path.name} 1.txt"
    file.write_text("left")
    services().tracker(run["dag_id"], run["external_trigger_id"]).log_artifact(file, file.name, "text/plain")
    ids = {"workflow_id": run["workflow_id"], "run_id": run["id"]}
    with server.listening() as client:
        found = client.ask({"type": "get_status", "request_type": "workflow_status", **ids})
    (left,) = found["run"]["artifacts"]
    answer = server.rest("viewer").get(f"http://{server.address}{left['url']}")
    assert (answer.status_code, answer.text) == (200, "left")
