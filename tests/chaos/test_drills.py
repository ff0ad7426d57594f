"""Callbacks that get lost, a monitor that is off, and a retry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import text

from tests.chaos.blows import strike
from tests.chaos.formation import Phase, formed
from tests.chaos.stack import Stack, scalar
from tests.hosts import hosting

NO_MONITOR = {"AIRFLOW__CORE__PLUGINS_FOLDER": str(Path(__file__).with_name("plugins"))}


@contextmanager
def altered(stack: Stack, *names: str, **variables: str) -> Iterator[None]:
    """Run some processes with other variables, and then, whatever has become of them, as before."""
    try:
        replace(stack, *names, **variables)
        yield
    finally:
        replace(stack, *names)


def replace(stack: Stack, *names: str, **variables: str) -> None:
    """Start some processes anew, whether they run or not."""
    for name in set(names) & set(stack.keeper.running):
        stack.keeper.kill(name)
    stack.restart(*names, **variables)


def run_states(stack: Stack, task_id: int) -> list[str]:
    runs = stack.api.get(f"tasks/{task_id}/status").json()["workflow_runs"]
    return [run["status"] for run in runs]


def test_all_ends_are_right_when_every_callback_is_lost(stack: Stack) -> None:
    with altered(stack, "scheduler", "dag-processor", CHAOS_CALLBACKS="lost"):
        succeeding, stopped, *failing = [stack.execute("lost callbacks") for _ in range(5)]
        stack.gates.open(succeeding, 1, 2, 3)
        for position, task_id in enumerate(failing, start=1):
            stack.gates.open(task_id, *range(1, position))
            stack.gates.open(task_id, position, word="fail")
        stack.gates.open(stopped, 1)
        stack.until(lambda: run_states(stack, stopped)[1] == "running", "the second DAG")
        stack.post(f"tasks/{stopped}/stop", status=200)
        assert stack.settle([succeeding, stopped, *failing]) == []
    ends = {task_id: run_states(stack, task_id) for task_id in [succeeding, stopped, *failing]}
    assert ends == {
        succeeding: ["success", "success", "success"],
        stopped: ["success", "cancelled", "skipped"],
        failing[0]: ["failed", "skipped", "skipped"],
        failing[1]: ["success", "failed", "skipped"],
        failing[2]: ["success", "success", "failed"],
    }
    with stack.svops.connect() as connection:
        query = "SELECT data FROM svops_event WHERE type = 'task.failed' AND task_id = ANY(:failing)"
        told: Sequence[Any] = connection.scalars(text(query), {"failing": failing}).all()
    assert len(told) == len(failing)
    assert all(one["error"]["message"].startswith("DAG run ") for one in told), "a callback was heard"


def test_without_its_monitor_a_chain_is_left_behind_and_the_checker_says_so(stack: Stack) -> None:
    with altered(stack, hosting().SERVER, **NO_MONITOR):
        with formed(stack, Random(0), by_hand=True) as formation:
            strike(formation, hosting().SERVER, {}, **NO_MONITOR)
        orphan = formation.chains[Phase.BEFORE_TRIGGER].task_id
        others = [task_id for task_id in formation.task_ids if task_id != orphan]
        found = stack.settle(others)
    execution = formation.execution_of(orphan)
    assert f"Task {orphan} is running." in found
    assert f"Execution {execution} is running." in found
    assert stack.settle([orphan]) == []
    assert not set(found) & set(stack.violations()), "the monitor, which is back, has made up for it"


def test_a_retry_starts_exactly_what_had_not_finished(stack: Stack) -> None:
    task_id = stack.new_task("retry")
    stack.gates.open(task_id, 1)
    stack.gates.open(task_id, 2, word="fail")
    stack.post(f"tasks/{task_id}/execute")
    assert stack.settle([task_id]) == []
    assert begun(stack, task_id, attempt=1) == ["held_1", "held_2"]
    stack.gates.close(task_id, 2)
    stack.gates.open(task_id, 2, 3)
    stack.post(f"tasks/{task_id}/retry")
    assert stack.settle([task_id]) == []
    assert begun(stack, task_id, attempt=2) == ["held_2", "held_3"]
    assert run_states(stack, task_id) == ["reused", "success", "success"]
    assert scalar(stack.svops, "SELECT status FROM svops_task WHERE id = :id", id=task_id) == "completed"


def begun(stack: Stack, task_id: int, *, attempt: int) -> list[str]:
    prefix = f"svops__task_{task_id}__{attempt}__"
    return [start.dag_id for start in stack.gates.starts() if start.run_id.startswith(prefix)]
