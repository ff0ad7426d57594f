"""How often somebody may do something."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from svops_plugin.domain.errors import TooManyRequests

MOST_KEYS = 10_000


class RateLimit:
    """So many at once, and then at a steady rate, for each key by itself: a token bucket.

    Counted in memory, in each process of its own: a deployment with several API workers lets as many times
    more through. That bounds what guessing can reach, without a write to the database for each guess.

    :param burst: how many at once
    :param per_second: how fast further ones are earned
    :param clock: tells the time in seconds; never goes back
    """

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> None:
        """Count one.

        :raises TooManyRequests: if it is one too many, which then does not count
        """
        with self._lock:
            now = self._clock()
            left, since = self._left.pop(key, (float(self._burst), now))
            left = min(self._burst, left + (now - since) * self._per_second)
            self._left[key] = (left - 1 if left >= 1 else left, now)
            if len(self._left) > MOST_KEYS:  # the one that was quiet for longest has earned the most back
                self._left.popitem(last=False)
        if left < 1:
            seconds = math.ceil((1 - left) / self._per_second)
            raise TooManyRequests(f"That was too often; try again in {seconds} s.", seconds)

    def forget(self, key: Hashable) -> None:
        """Let a key begin anew."""
        with self._lock:
            self._left.pop(key, None)
