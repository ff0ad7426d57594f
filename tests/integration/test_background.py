"""What works behind the pages of a server: a job with a defect ends, and people are told, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from svops_plugin.application.event_ports import Topic
from svops_plugin.bootstrap import Services
from svops_plugin.domain.entities import Event
from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.presentation.background import Background, JobStatus, jobs
from svops_plugin.settings import load
from tests.conftest import PostgreSQL
from tests.integration.desk import Desk
from tests.integration.receivers import Office, Receiver, receiver

__all__ = ["receiver"]

REFUSAL = "[svops] something has no meaning."


@contextmanager
def ended(desk: Desk, defect: Exception) -> Iterator[Background]:
    """Let one job end by a defect, beside one that goes on."""

    def broken(_stop: threading.Event) -> None:
        raise defect

    def sound(stop: threading.Event) -> None:
        stop.wait()

    background = Background({"meter": broken, "hub": sound}, desk.transactions)
    background.threads[0].join()
    try:
        assert [thread.status for thread in background.threads] == [JobStatus.FAILED, JobStatus.RUNNING]
        yield background
    finally:
        background.stop()


def errors(desk: Desk) -> list[Event]:
    return [event for event in desk.events() if event.type == "system.error"]


@pytest.mark.parametrize(
    ("defect", "why"),
    [
        (ZeroDivisionError("the password was hunter2"), "ZeroDivisionError"),
        (ConfigurationProblem(REFUSAL), f"ConfigurationProblem: {REFUSAL}"),
    ],
)
def test_it_is_told_once_to_who_wants_to_know(
    office: Office, receiver: Receiver, defect: Exception, why: str
) -> None:
    office.tell("hook", "webhook", receiver.url(), "system_error")
    office.tell("other", "webhook", receiver.url("/other"), "task_failed")
    with ended(office.desk, defect), office.open():
        office.settled("hook", "other")
    (event,) = errors(office.desk)
    assert (event.actor, event.data["component"]) == ("svops", "meter")
    assert event.data["message"].endswith(f"whose log has more: {why}")
    assert (office.standing("hook"), office.standing("other")) == ([("system.error", "delivered", 1)], [])
    assert [hit.json["data"] for hit in receiver.hits] == [event.data]


@pytest.mark.usefixtures("svops_database")
def test_a_setting_that_a_job_cannot_take_ends_that_job_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SVOPS__NOTIFICATION_PRIVATE_TARGETS", "somewhere")
    own = Services(load())
    without_airflow = {name: job for name, job in jobs(own).items() if name != "roles"}
    background = Background(without_airflow, own.transactions)
    try:
        threads = {thread.job_name: thread for thread in background.threads}
        threads["dispatcher"].join()
        found = {name: thread.status for name, thread in threads.items()}
        assert found.pop("dispatcher") is JobStatus.FAILED
        assert JobStatus.FAILED not in found.values()
        with own.transactions() as uow:
            (event,) = uow.events.between(0, uow.events.newest(), 10, Topic())
    finally:
        background.stop()
        own.engine.dispose()
    assert (event.type, event.data["component"]) == ("system.error", "dispatcher")
    assert "notification_private_targets: 'somewhere'" in event.data["message"]


def test_while_the_database_is_down_the_log_alone_has_it(
    postgresql: PostgreSQL, postgresql_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(make_engine(postgresql.url(postgresql_database), pooled=True))
    postgresql.close(postgresql_database)
    with ended(desk, ZeroDivisionError()):
        postgresql.open(postgresql_database)
        assert errors(desk) == []
    assert "svops-meter has ended; restart the server." in caplog.messages
    assert "That svops-meter has ended is told by this log alone." in caplog.messages
    desk.engine.dispose()
