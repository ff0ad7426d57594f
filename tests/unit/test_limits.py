"""How often somebody may do something: by a clock of our own, so nothing waits."""

from __future__ import annotations

import pytest

from svops_plugin.application import limits
from svops_plugin.application.limits import RateLimit
from svops_plugin.domain.errors import TooManyRequests


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limit(clock: Clock) -> RateLimit:
    return RateLimit(burst=3, per_second=0.1, clock=clock)


def exhaust(limit: RateLimit, key: str) -> TooManyRequests:
    for _ in range(3):
        limit.take(key)
    with pytest.raises(TooManyRequests) as refusal:
        limit.take(key)
    return refusal.value


def test_so_many_at_once(limit: RateLimit) -> None:
    assert exhaust(limit, "a").seconds == 10


def test_each_key_by_itself(limit: RateLimit) -> None:
    exhaust(limit, "a")
    exhaust(limit, "b")


def test_further_ones_are_earned(limit: RateLimit, clock: Clock) -> None:
    exhaust(limit, "a")
    clock.now += 9
    with pytest.raises(TooManyRequests) as refusal:
        limit.take("a")
    assert refusal.value.seconds == 1
    clock.now += 1
    limit.take("a")
    clock.now += 10_000
    exhaust(limit, "a")


def test_refused_ones_do_not_count(limit: RateLimit, clock: Clock) -> None:
    exhaust(limit, "a")
    for _ in range(100):
        with pytest.raises(TooManyRequests):
            limit.take("a")
    clock.now += 10
    limit.take("a")


def test_forgetting(limit: RateLimit) -> None:
    exhaust(limit, "a")
    limit.forget("a")
    exhaust(limit, "a")


def test_memory_is_bounded(limit: RateLimit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_KEYS", 10)
    exhaust(limit, "a")
    for number in range(9):
        limit.take(str(number))
    with pytest.raises(TooManyRequests):
        limit.take("a")
    for number in range(10):
        limit.take(f"another {number}")
    assert len(limit._left) == 10
    exhaust(limit, "a")
