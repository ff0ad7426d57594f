"""What can be killed, and how."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from random import Random

from sqlalchemy import text

from tests.chaos.formation import Formation
from tests.chaos.stack import Stack
from tests.hosts import hosting

TASKS = "task processes"
ALONE = " alone"  # its children live on, orphaned
VICTIMS = (
    "scheduler",
    "scheduler" + ALONE,
    "triggerer",
    "triggerer" + ALONE,
    "dag-processor",
    hosting().SERVER,
    "postgres",
    TASKS,
)


def victims(seed: int, count: int) -> list[str]:
    """Return whom to kill, one after the other; each of them once before any a second time."""
    random = Random(seed)
    order: list[str] = []
    while len(order) < count:
        order += random.sample(VICTIMS, len(VICTIMS))
    return order[:count]


def strike(formation: Formation, victim: str, failing: dict[int, int], **variables: str) -> float:
    """Kill the victim, let all chains go on, start it again, and return when it was back.

    :param failing: at which step which tasks' chains are to fail
    :param variables: of the victim's environment when it is started again
    """
    stack = formation.stack
    name = victim.removesuffix(ALONE)
    if victim == TASKS:
        _kill_tasks(stack)
    elif victim.endswith(ALONE):
        stack.keeper.behead(name)
    else:
        stack.keeper.kill(name)
    formation.let_go()
    formation.open_gates(failing)
    back = time.time() if victim == TASKS else stack.restart(name, **variables)
    formation.unpause()
    return back


def _kill_tasks(stack: Stack) -> None:
    """Kill the process of every task that runs, in children and controllers alike; not what supervises it."""
    query = text("SELECT pid FROM task_instance WHERE state = 'running'")
    with stack.metadata.connect() as connection:
        pids: Sequence[int] = connection.scalars(query).all()
    killed = 0
    for pid in pids:
        with suppress(ProcessLookupError):  # it has ended since; those that are held have not
            os.kill(pid, signal.SIGKILL)
            killed += 1
    assert killed, f"none of the processes {pids} was left to kill"
