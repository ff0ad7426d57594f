"""The suite's numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """What was done to how many chains.

    :param limit: to the seconds, where there is one
    :param ends: how many of the chains that kills met ended how
    :param seconds: to repair each chain; see `tests.chaos.test_kills`
    :param dying: from each six stops to the end of the last process
    :param slowest: the longest repair, and of what
    :param logs: where logs were kept
    :param revived: how often each process had ended by itself, and was started again
    """

    seed: int
    limit: float | None
    kills: int = 0
    stops: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    dying: list[float] = field(default_factory=list)
    logs: str = ""
    revived: dict[str, int] = field(default_factory=dict)
    slowest: tuple[float, str] = (0.0, "")

    def add_kill(self, name: str, ends: Iterable[str], seconds: list[float]) -> None:
        self.kills += 1
        self.ends.update(ends)
        self.seconds += seconds
        self.slowest = max(self.slowest, (max(seconds, default=0.0), name))

    def numbers(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "chains": sum(self.ends.values()),
            "ends": dict(sorted(self.ends.items())),
            "kills": self.kills,
            "stops": self.stops,
            "repairs": len(self.seconds),
            "median_seconds": round(statistics.median(self.seconds), 1) if self.seconds else None,
            "worst_seconds": round(max(self.seconds), 1) if self.seconds else None,
            "worst": self.slowest[1],
            "stops_worst_seconds": round(max(self.dying), 1) if self.dying else None,
            "revived": self.revived,
        }
