"""Six chains at once, each held in another phase of its life, until they are let go together.

============== ========================================================= ===================================
phase          the chain stands                                          held by
============== ========================================================= ===================================
claim          in its first step, which has not yet claimed the task     a lock on the task's row
before trigger in the API server, claimed, its controller without a run  a lock that its new runs need
child queued   before a DAG whose run waits for the scheduler            pausing that DAG
child running  in a task of a DAG                                        the DAG's gate
between steps  in a step whose own DAG has no run yet, but that before   a lock on the task's row
complete       after its last DAG has succeeded                          a lock on the task's row
============== ========================================================= ===================================

Every lock is one that the code meets anyway, so that it waits where it would have been. Airflow 2.11 has none
for the new runs of one DAG only; a trigger in its database asks for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Any

import httpx
from sqlalchemy import text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from tests.chaos.stack import CHAIN, Stack, scalar
from tests.hosts import hosting

CONTROLLER = "svops_controller"
LAST = len(CHAIN)


class Phase(str, Enum):
    CLAIM = "claim"
    BEFORE_TRIGGER = "before trigger"
    CHILD_QUEUED = "child queued"
    CHILD_RUNNING = "child running"
    BETWEEN_STEPS = "between steps"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Chain:
    """A chain that is held.

    :param position: the step that it is held in
    :param gate: the step whose gate it comes to first; those before are open
    """

    phase: Phase
    task_id: int
    position: int
    gate: int


@dataclass
class Formation:
    """Chains in their phases; see `formed`.

    :param by_hand: whether the chain that has not claimed yet was triggered in Airflow; otherwise REST has
        claimed for it, and its first step has not yet found out
    """

    stack: Stack
    chains: dict[Phase, Chain]
    by_hand: bool
    executing: Future[httpx.Response] | None = None
    locks: list[Connection] = field(default_factory=list)

    @property
    def task_ids(self) -> list[int]:
        return [chain.task_id for chain in self.chains.values()]

    def start(self, pool: ThreadPoolExecutor) -> None:
        """Execute the tasks; the one that is held in the API server last."""
        for chain in self.chains.values():
            self.stack.gates.open(chain.task_id, *range(1, chain.gate))
            if chain.phase is Phase.CLAIM:
                self._start_unclaimed(chain)
            elif chain.phase is not Phase.BEFORE_TRIGGER:
                self.stack.post(f"tasks/{chain.task_id}/execute")
        self._lock(self.stack.metadata, hosting().HOLD_NEW_RUNS, CONTROLLER)
        waiting = self.chains[Phase.BEFORE_TRIGGER].task_id
        self.executing = pool.submit(self.stack.api.post, f"tasks/{waiting}/execute", json={})
        self.stack.until(lambda: self.execution_of(waiting), "the claim")

    def advance(self) -> None:
        """Bring the chains to where they are held."""
        queued, between, last = (
            self.chains[phase] for phase in (Phase.CHILD_QUEUED, Phase.BETWEEN_STEPS, Phase.COMPLETE)
        )
        for chain in (queued, self.chains[Phase.CHILD_RUNNING], between, last):
            self.stack.until(lambda chain=chain: self._is_at_gate(chain), f"{chain}")
        for chain in (between, last):
            self._lock_task(chain)
            self.stack.gates.open(chain.task_id, chain.gate)
        for chain in (self.chains[Phase.CLAIM], between):
            self.stack.until(lambda chain=chain: self._is_in_step(chain), f"{chain}")
        self.stack.until(lambda: self._state_of_run(last) == "success", f"{last}")
        self._pause(CHAIN[queued.position - 1], paused=True)  # nothing of a paused DAG ends, either
        self.stack.gates.open(queued.task_id, queued.gate)
        self.stack.until(lambda: self._state_of_run(queued) == "queued", f"{queued}")

    def let_go(self) -> None:
        """Free all that the test itself holds; what is in a database that is gone is free already."""
        for lock in self.locks:
            with suppress(DBAPIError):
                lock.rollback()
            lock.invalidate()
            lock.close()
        self.locks.clear()

    def open_gates(self, failing: dict[int, int]) -> None:
        """Let the chains run to their ends, some to their failure at a step, by task."""
        for task_id in self.task_ids:
            if task_id in failing:
                self.stack.gates.open(task_id, failing[task_id], word="fail")
            self.stack.gates.open(task_id, *range(1, LAST + 1))

    def unpause(self) -> None:
        self._pause(CHAIN[self.chains[Phase.CHILD_QUEUED].position - 1], paused=False)

    def execution_of(self, task_id: int) -> Any:
        query = "SELECT max(id) FROM svops_execution WHERE task_id = :task_id"
        return scalar(self.stack.svops, query, task_id=task_id)

    def _start_unclaimed(self, chain: Chain) -> None:
        if self.by_hand:
            self._lock_task(chain)
            body = {**hosting().A_RUN_NOW, "dag_run_id": _by_hand(chain), "conf": {"task_id": chain.task_id}}
            answer = self.stack.airflow.post(f"dags/{CONTROLLER}/dagRuns", json=body)
            assert answer.status_code == 200, answer.text
        else:
            self.stack.post(f"tasks/{chain.task_id}/execute")
            self._lock_task(chain)  # seconds before the scheduler has its first step begun

    def _lock_task(self, chain: Chain) -> None:
        self._lock(self.stack.svops, "SELECT id FROM svops_task WHERE id = :of FOR UPDATE", chain.task_id)

    def _lock(self, engine: Engine, query: str, of: Any) -> None:
        connection = engine.connect()
        self.locks.append(connection)
        assert connection.scalar(text(query), {"of": of}) is not None

    def _pause(self, dag_id: str, *, paused: bool) -> None:
        with self.stack.metadata.begin() as connection:
            statement = text("UPDATE dag SET is_paused = :paused WHERE dag_id = :dag_id")
            assert connection.execute(statement, {"dag_id": dag_id, "paused": paused}).rowcount == 1

    def _is_at_gate(self, chain: Chain) -> bool:
        prefix, suffix = f"svops__task_{chain.task_id}__", f"__{chain.gate}_{CHAIN[chain.gate - 1]}"
        runs = [start.run_id for start in self.stack.gates.starts()]
        return any(run.startswith(prefix) and run.endswith(suffix) for run in runs)

    def _is_in_step(self, chain: Chain) -> bool:
        by_hand = chain.phase is Phase.CLAIM and self.by_hand
        run_id = _by_hand(chain) if by_hand else self._controller_run(chain)
        step = f"{chain.position}_{CHAIN[chain.position - 1]}"
        query = """
            SELECT count(*) FROM task_instance
            WHERE dag_id = :dag_id AND run_id = :run_id AND task_id = :step AND state = 'running'"""
        return bool(scalar(self.stack.metadata, query, dag_id=CONTROLLER, run_id=run_id, step=step))

    def _controller_run(self, chain: Chain) -> Any:
        query = "SELECT controller_run_id FROM svops_execution WHERE task_id = :of ORDER BY id DESC LIMIT 1"
        return scalar(self.stack.svops, query, of=chain.task_id)

    def _state_of_run(self, chain: Chain) -> Any:
        run_id = f"{self._controller_run(chain)}__{chain.position}_{CHAIN[chain.position - 1]}"
        return scalar(self.stack.metadata, "SELECT state FROM dag_run WHERE run_id = :run_id", run_id=run_id)


def _by_hand(chain: Chain) -> str:
    return f"by_hand_{chain.task_id}"


def _chains(stack: Stack, random: Random) -> dict[Phase, Chain]:
    queued, running, between = random.choice((2, 3)), random.choice((1, 2, 3)), random.choice((2, 3))
    places = {
        Phase.CLAIM: (1, 1),
        Phase.BEFORE_TRIGGER: (1, 1),
        Phase.CHILD_QUEUED: (queued, queued - 1),
        Phase.CHILD_RUNNING: (running, running),
        Phase.BETWEEN_STEPS: (between, between - 1),
        Phase.COMPLETE: (LAST, LAST),
    }
    order = random.sample(list(Phase), len(Phase))
    return {phase: Chain(phase, stack.new_task(phase), *places[phase]) for phase in order}


@contextmanager
def formed(stack: Stack, random: Random, *, by_hand: bool) -> Iterator[Formation]:
    """Bring six chains into the six phases; nothing is held afterwards."""
    formation = Formation(stack, _chains(stack, random), by_hand)
    with ThreadPoolExecutor(1) as pool:
        try:
            formation.start(pool)
            formation.advance()
            yield formation
        finally:
            formation.let_go()
            formation.open_gates({})
            formation.unpause()
