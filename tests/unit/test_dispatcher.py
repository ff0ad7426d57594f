"""How long the dispatcher waits between attempts."""

from __future__ import annotations

import pytest

from svops_plugin.application.dispatcher import MOST_ATTEMPTS, _delay

DRAWS = 200


@pytest.mark.parametrize("attempts", range(1, MOST_ATTEMPTS + 1))
def test_twice_as_long_each_time_and_never_the_same_for_all(attempts: int) -> None:
    longest = min(2.0 ** (attempts - 1), 3600.0)
    drawn = [_delay(attempts) for _ in range(DRAWS)]
    assert all(longest / 2 <= delay <= longest for delay in drawn)
    assert len(set(drawn)) > DRAWS / 2
    assert max(drawn) - min(drawn) > longest / 4


def test_all_attempts_take_some_six_hours() -> None:
    """As docs/notifications.md says, when nobody asks for more."""
    waits = range(1, MOST_ATTEMPTS)
    longest = sum(min(2.0 ** (attempts - 1), 3600.0) for attempts in waits)
    assert longest / 2 < 6 * 3600.0 < longest
    assert longest / 2 <= sum(_delay(attempts) for attempts in waits) <= longest
