"""The health endpoint: what it tells, to whom, and when it is an alarm."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import utcnow
from svops_plugin.infrastructure.database import migrations
from svops_plugin.presentation import background
from svops_plugin.presentation.background import Background, Job, jobs
from tests.conftest import PostgreSQL
from tests.integration.live import eventually
from tests.integration.support import is_time, ok

LEASED = {"monitor", "dispatcher", "meter"}


@contextmanager
def working(own: Mapping[str, Job]) -> Iterator[Background]:
    made = Background(own, services(pooled=True).transactions)
    try:
        yield made
    finally:
        made.stop()


def by_name(answer: Any) -> dict[str, Any]:
    return {job["name"]: job for job in answer["background"]}


def until_stopped(stop: threading.Event) -> None:
    stop.wait()


def test_a_server_whose_background_has_not_begun(nobody: httpx.Client) -> None:
    answer = ok(nobody.get("health"))
    assert (answer["status"], answer["database"], answer["background"]) == ("healthy", "up", [])


def test_each_job_and_who_does_it(viewer: httpx.Client) -> None:
    with working(jobs(services(pooled=True))):

        def held() -> dict[str, Any] | None:
            told = by_name(ok(viewer.get("health")))
            return told if all(told[name]["holder"] for name in LEASED) else None

        told = eventually(held, "the leases")
        assert {job["status"] for name, job in told.items() if name != "roles"} == {"running"}
        assert told["roles"]["status"] in {"running", "done"}
        assert all(is_time(job["looked_at"]) for job in told.values())
        assert all(told[name]["holder"].count(":") == 2 for name in LEASED)
        assert told["hub"]["holder"] is None
        assert told["hub"]["lag"] == 0
    assert ok(viewer.get("health"))["background"] == []


@pytest.mark.parametrize("token", [None, "Bearer wrong"])
def test_nobody_is_told_where(nobody: httpx.Client, token: str | None) -> None:
    with working({"monitor": until_stopped, "hub": until_stopped}):
        headers = {"Authorization": token} if token else {}
        told = ok(nobody.get("health", headers=headers))["background"]
        assert [set(job) for job in told] == [{"name", "status", "looked_at"}] * 2


def test_a_job_that_has_failed_is_an_alarm(nobody: httpx.Client) -> None:
    def broken(_stop: threading.Event) -> None:
        raise ZeroDivisionError

    with working({"monitor": broken, "hub": until_stopped}) as made:
        made.threads[0].join()
        answer = nobody.get("health")
        assert answer.status_code == 503
        assert answer.json()["status"] == "unhealthy"
        assert answer.json()["detail"] == "monitor is failed: restart this server."
        assert by_name(answer.json())["hub"]["status"] == "running"
    ok(nobody.get("health"))


def test_a_job_that_looks_no_more_is_an_alarm(nobody: httpx.Client) -> None:
    with working({"hub": until_stopped}) as made:
        ok(nobody.get("health"))
        made.threads[0].stop.looked_at = utcnow() - background.STUCK - timedelta(seconds=1)
        answer = nobody.get("health")
        assert (answer.status_code, answer.json()["detail"]) == (503, "hub is stuck: restart this server.")


def test_a_job_that_is_for_once_is_done(nobody: httpx.Client) -> None:
    with working({"roles": lambda _: None}) as made:
        made.threads[0].join()
        assert by_name(ok(nobody.get("health")))["roles"]["status"] == "done"


def test_a_newer_version_has_changed_the_schema_meanwhile(nobody: httpx.Client) -> None:
    ok(nobody.get("health"))
    newer = text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = :revision")  # noqa: S608
    engine = services(pooled=True).engine
    try:
        with engine.begin() as connection:
            connection.execute(newer, {"revision": "9999"})
        answer = nobody.get("health")
        assert answer.status_code == 503
        wanted = f"revision 9999, this version needs {migrations.HEAD}; a newer version has upgraded it"
        assert wanted in answer.json()["detail"]
    finally:
        with engine.begin() as connection:
            connection.execute(newer, {"revision": migrations.HEAD})
    ok(nobody.get("health"))


def test_a_database_that_is_down(
    client: Callable[..., httpx.Client], postgresql: PostgreSQL, svops_database: str
) -> None:
    with working({"monitor": until_stopped}):
        postgresql.close(svops_database)
        for name in (None, "admin"):
            answer = client(name).get("health")
            assert (answer.status_code, answer.json()["database"]) == (503, "down")
            assert set(by_name(answer.json())["monitor"]) == {"name", "status", "looked_at"}
        postgresql.open(svops_database)
