"""What works behind the pages of a server: a job with a defect ends, and people are told, once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from svops_plugin.domain.entities import Event
from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.presentation.background import Background, JobStatus
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
