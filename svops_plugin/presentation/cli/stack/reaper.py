"""Ends process trees: for the supervisor when it stops, and in its place when it was killed.

As a program, it is told of each process tree in a line on standard input, ``+<pid> <signal number>`` or
``-<pid>``, and ends what it still knows of when its input ends: the kernel closes a pipe however its
writer dies.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

GRACE = 5.0
FIRST_GRACE = 60.0  # PostgreSQL writes all it holds to disk before it ends
POLL = 0.05


@dataclass(frozen=True)
class Leader:
    """The first process of a session, and the signal that asks it to end."""

    process: psutil.Process
    stop_signal: int


def end(leaders: Sequence[Leader], hurry: Callable[[], bool] = lambda: False) -> None:
    """End every process of these sessions, politely for ``GRACE`` seconds, then by force.

    The first leader is what the others lean on, so it is ended after them, and has ``FIRST_GRACE`` seconds.

    :param hurry: asked again and again; once true, the others get no more grace
    """
    _end_together(leaders[1:], GRACE, hurry)
    _end_together(leaders[:1], FIRST_GRACE, lambda: False)


def _end_together(leaders: Sequence[Leader], grace: float, hurry: Callable[[], bool]) -> None:
    members = members_of(leaders)
    for leader in leaders:
        with suppress(psutil.NoSuchProcess):
            leader.process.send_signal(leader.stop_signal)
    _wait([leader.process for leader in leaders], grace, hurry)
    members |= members_of(leaders)
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    _wait(members, GRACE, lambda: False)


def members_of(leaders: Sequence[Leader]) -> set[psutil.Process]:
    """Return the leaders' descendants, and orphans of their sessions."""
    found = set()
    for leader in leaders:
        with suppress(psutil.NoSuchProcess):
            found |= {leader.process, *leader.process.children(recursive=True)}
    sessions = {leader.process.pid for leader in leaders}
    for process in psutil.process_iter():
        with suppress(ProcessLookupError, PermissionError):
            if os.getsid(process.pid) in sessions:
                found.add(process)
    return found


def _wait(processes: Iterable[psutil.Process], seconds: float, hurry: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while any(map(_runs, processes)) and time.monotonic() < deadline and not hurry():
        time.sleep(POLL)


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def main() -> None:
    """Keep the list that standard input tells, and end what is left on it."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    leaders: dict[int, Leader] = {}
    for line in sys.stdin:
        pid, *stop_signal = map(int, line[1:].split())
        if line[0] == "-":
            leaders.pop(pid, None)  # it may have gone before it could be looked at
        else:
            with suppress(psutil.NoSuchProcess):
                leaders[pid] = Leader(psutil.Process(pid), *stop_signal)
    end(list(leaders.values()))


if __name__ == "__main__":
    main()
