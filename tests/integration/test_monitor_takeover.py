"""One process monitors; another takes over from it when it is gone, within fifteen seconds."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest

from svops_plugin.application.monitor import LEASE_SECONDS, PERIOD, Monitor
from svops_plugin.domain.entities import utcnow
from svops_plugin.infrastructure.database import leases
from tests.integration.desk import Desk

TAKEN_OVER_WITHIN = 15  # seconds, which people were promised


class Clock:
    """The leases' clock, which is set by hand."""

    def __init__(self) -> None:
        self._start, self.seconds = utcnow(), 0.0

    def __call__(self) -> datetime:
        return self._start + timedelta(seconds=self.seconds)


class AfterOneLook(threading.Event):
    """What stops a monitor that has looked once, and lets nobody wait."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002
        stopped = self.is_set()
        self.set()
        return stopped


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(leases, "utcnow", made)
    return made


def repairs(desk: Desk, monitor: Monitor, name: str) -> bool:
    """Tell whether a monitor that looks once repairs an execution whose controller has failed."""
    execution = desk.execute(desk.new_task(name))
    desk.set_controller(execution, "failed")
    monitor.run(AfterOneLook())
    return desk.standing(execution)[:2] == ("failed", "failed")


def test_another_takes_over_when_the_lease_has_run_out(desk: Desk, clock: Clock) -> None:
    first, second = desk.monitor, desk.monitor
    assert repairs(desk, first, "at once")
    clock.seconds = LEASE_SECONDS - 1
    assert not repairs(desk, second, "a second before")
    clock.seconds = LEASE_SECONDS + 1
    assert repairs(desk, second, "a second after")
    assert not repairs(desk, first, "by the one that comes back")


def test_whoever_looks_keeps_it(desk: Desk, clock: Clock) -> None:
    first, second = desk.monitor, desk.monitor
    for look in range(10):  # twice as long as it lasts unless it is kept
        clock.seconds = look * PERIOD
        assert repairs(desk, first, f"look {look}")
        assert not repairs(desk, second, f"another's look {look}")


def test_how_long_nobody_monitors() -> None:
    """The lease runs out, and the next look of another's comes, both at their latest."""
    assert LEASE_SECONDS + PERIOD <= TAKEN_OVER_WITHIN
