"""The table of transitions, every pair of states."""

from __future__ import annotations

from itertools import product

import pytest

from svops_plugin.domain.states import (
    ACTIVE_RUNS,
    EXECUTION_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    ExecutionStatus,
    RunStatus,
    State,
    TaskStatus,
    sources,
)

ALLOWED = {
    TaskStatus: {
        "pending running",
        "running completed",
        "running failed",
        "running cancelled",
        "completed running",
        "failed running",
        "cancelled running",
    },
    ExecutionStatus: {"running completed", "running failed", "running cancelled"},
    RunStatus: {
        "queued running",
        "queued success",
        "queued failed",
        "queued cancelled",
        "queued skipped",
        "running success",
        "running failed",
        "running cancelled",
    },
}
TABLES = {TaskStatus: TASK_TRANSITIONS, ExecutionStatus: EXECUTION_TRANSITIONS, RunStatus: RUN_TRANSITIONS}
PAIRS = [(kind, *pair) for kind in TABLES for pair in product(kind, repeat=2)]


@pytest.mark.parametrize(("kind", "before", "after"), PAIRS, ids=lambda value: getattr(value, "value", ""))
def test_each_pair_of_states(kind: type[State], before: State, after: State) -> None:
    allowed = f"{before} {after}" in ALLOWED[kind]
    assert (after in TABLES[kind][before]) is allowed
    assert (before in sources(TABLES[kind], after)) is allowed


@pytest.mark.parametrize("kind", TABLES)
def test_the_table_knows_every_state(kind: type[State]) -> None:
    assert set(TABLES[kind]) == set(kind)


def test_a_run_is_active_or_finished() -> None:
    assert {str(state) for state in ACTIVE_RUNS} == {"queued", "running"}
    finished = set(RunStatus) - ACTIVE_RUNS
    assert {str(state) for state in finished} == {"success", "failed", "cancelled", "skipped", "reused"}
    assert not any(RUN_TRANSITIONS[state] for state in finished)


def test_a_state_reads_as_its_name_on_the_wire() -> None:
    assert f"{TaskStatus.RUNNING} {RunStatus.REUSED}" == "running reused"
