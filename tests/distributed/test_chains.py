"""Chains on two workers behind two API servers, one of which is killed meanwhile."""

from __future__ import annotations

import itertools
import json
import logging
import threading
import time
from collections import Counter
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import text
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tests.distributed.native import SERVER, Deployment
from tests.distributed.support import all_ended, ask, keep_tasks, vectors

LEASES = "SELECT name, holder FROM svops_lease WHERE name IN ('monitor', 'dispatcher')"

log = logging.getLogger(__name__)


class Follower(threading.Thread):
    """Somebody who sees every event, and turns to the next address when a connection is lost."""

    def __init__(self, addresses: list[str], token: str) -> None:
        super().__init__(daemon=True)
        self._addresses = [address.replace("http", "ws", 1) + "/svops/ws" for address in addresses]
        self._headers = {"Authorization": token}
        self._ended = threading.Event()
        self.seen: list[int] = []
        self.connections: list[str] = []

    def run(self) -> None:
        for address in itertools.cycle(self._addresses):
            try:
                self._follow(address)
            except (OSError, WebSocketException):
                if self._ended.wait(0.1):
                    return

    def _follow(self, address: str) -> None:
        since = self.seen[-1] if self.seen else 0
        with connect(f"{address}?since={since}", additional_headers=self._headers, proxy=None) as socket:
            self.connections.append(address)
            for message in map(json.loads, socket):
                if "id" in message:
                    self.seen.append(message["id"])

    def stop(self) -> None:
        self._ended.set()


def holders(deployment: Deployment) -> dict[str, str]:
    """Return who does what one API server does for all."""
    with deployment.engine("svops").connect() as connection:
        return {row[0]: row[1] for row in connection.execute(text(LEASES))}


def live_servers(api: httpx.Client) -> int:
    stats = api.get(str(api.base_url.copy_with(path="/svops/ws/stats"))).raise_for_status().json()
    return len(stats["processes"])


@pytest.mark.timeout(1800)
def test_all_chains_complete_and_nobody_misses_an_event(
    deployment: Deployment, api: httpx.Client, request: pytest.FixtureRequest
) -> None:
    number = request.config.getoption("chains")
    first, second = deployment.address(1), deployment.address(2)
    before = deployment.until(lambda: found if len(found := holders(deployment)) == 2 else None, "the leases")
    deployment.start(SERVER, 2)
    deployment.until(lambda: deployment.is_up(second), "the second API server")
    deployment.until(lambda: live_servers(api) == 2, "both hubs")
    sample, names = vectors(deployment.data), [f"t{one}" for one in range(number)]
    task_ids = keep_tasks(api, str(sample.path), str(deployment.output), names)
    token = api.headers["Authorization"]
    followers = [Follower(tried, token) for tried in ([first, second], [second], [deployment.url])]
    with ExitStack() as stack:
        for follower in followers:
            stack.callback(follower.stop)
            follower.start()
        began = time.monotonic()
        for task_id in task_ids:
            ask(api, "POST", f"tasks/{task_id}/execute", json={})
        deployment.until(lambda: any(_succeeded(api, one) for one in task_ids), "the first DAG run's end")
        deployment.until(lambda: followers[0].seen, "an event")
        deployment.kill(f"{SERVER}-1")
        deployment.until(lambda: all_ended(api, task_ids), "the ends of all chains")
        log.info("%s chains on 2 workers: %.0f s", number, time.monotonic() - began)
        expected = _events(api)
        for follower in followers:
            deployment.until(lambda one=follower: len(one.seen) >= len(expected), "the last event")  # type: ignore[misc]  # bound now
    standing = {one: ask(api, "GET", f"tasks/{one}/status") for one in task_ids}
    assert Counter(one["overall_status"] for one in standing.values()) == {"completed": number}, standing
    assert all(run["status"] == "success" for one in standing.values() for run in one["workflow_runs"])
    assert [follower.seen for follower in followers] == [expected] * 3
    assert len(set(followers[0].connections)) == 2
    after = holders(deployment)
    assert not set(before.values()) & set(after.values())


def _succeeded(api: httpx.Client, task_id: int) -> bool:
    runs = ask(api, "GET", f"tasks/{task_id}/status")["workflow_runs"]
    return any(run["status"] == "success" for run in runs)


def _events(api: httpx.Client) -> list[int]:
    """Return the ids of all events, when nothing is left that could make more."""
    ids: list[int] = []
    while page := ask(api, "GET", "events", params={"since": ids[-1] if ids else 0, "limit": 1000})["items"]:
        ids += [event["id"] for event in page]
    return ids


def test_what_a_chain_left_is_on_the_shared_volume(deployment: Deployment, api: httpx.Client) -> None:
    task = ask(api, "GET", "tasks", params={"order_by": "created_at"})["items"][0]
    report = task["result"]["artifacts"]["report.html"]
    assert report.startswith(f"{deployment.output}/task_{task['id']}/1/")
    answer = api.get(f"executions/{task['last_execution_id']}/artifacts/report.html")
    assert answer.status_code == 200
    assert "confusion" in answer.text.lower()


def test_both_workers_have_worked(deployment: Deployment, api: httpx.Client) -> None:  # noqa: ARG001
    with deployment.engine("airflow").connect() as connection:
        hosts = set(connection.scalars(text("SELECT hostname FROM task_instance WHERE state = 'success'")))
    assert {"worker-1", "worker-2"} <= hosts <= {"worker-1", "worker-2", ""}


def test_a_killed_server_comes_back(deployment: Deployment, api: httpx.Client) -> None:
    deployment.start(SERVER, 1)
    deployment.until(lambda: deployment.is_up(deployment.address(1)), "the first API server")
    deployment.until(lambda: live_servers(api) == 2, "both hubs")


@pytest.mark.parametrize(
    ("service", "number"),
    [
        ("gateway", 0),
        (SERVER, 1),
        ("scheduler", 0),
        ("dag-processor", 0),
        ("triggerer", 0),
        ("worker", 1),
        ("worker", 2),
    ],
)
def test_the_health_checks_find_all_well(deployment: Deployment, service: str, number: int) -> None:
    deployment.until(lambda: deployment.is_healthy(service, number), f"the health of {service}")


def test_the_health_checks_find_who_is_gone_and_who_is_back(deployment: Deployment) -> None:
    gone = [("worker", 2), ("scheduler", 0)]
    deployment.kill("worker-2")
    deployment.kill("scheduler")
    assert not any(deployment.is_healthy(*one) for one in gone)
    for one in gone:
        deployment.start(*one)
    deployment.until(lambda: all(deployment.is_healthy(*one) for one in gone), "the worker and the scheduler")
