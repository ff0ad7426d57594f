"""The checker finds what is wrong: each plant breaks one rule in real rows, and is undone."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import psutil
import pytest
from sqlalchemy import text

from tests.chaos import checker
from tests.chaos.gates import FOREIGN, Start
from tests.chaos.stack import Stack
from tests.hosts import hosting


@pytest.fixture(scope="session")
def ended(stack: Stack) -> list[int]:
    """Tasks whose chains completed, failed in the second DAG, and were stopped in it."""
    completed, failed, stopped = (stack.execute("for the checker") for _ in range(3))
    stack.gates.open(completed, 1, 2, 3)
    stack.gates.open(failed, 1)
    stack.gates.open(failed, 2, word="fail")
    stack.gates.open(stopped, 1)
    prefix = f"svops__task_{stopped}__"
    stack.until(lambda: sum(s.run_id.startswith(prefix) for s in stack.gates.starts()) == 2, "the second DAG")
    stack.post(f"tasks/{stopped}/stop", status=200)
    assert stack.settle([completed, failed, stopped]) == []
    return [completed, failed, stopped]


OF_TASK = "(SELECT max(id) FROM svops_execution WHERE task_id = :task)"
LAST_RUN = f"(SELECT max(id) FROM svops_workflow_run WHERE execution_id = {OF_TASK})"
CHILD = "run_id LIKE 'svops__task_' || :task || '__%' AND dag_id = "
REST = dict.fromkeys(("queued_at", "end_date", "run_type", "clear_number")) | hosting().COPIED_RUN
COPY = f"INSERT INTO dag_run (dag_id, run_id, state, conf, {', '.join(REST)})"
COPIED = ", ".join(given or column for column, given in REST.items())
AGAIN = f"{COPY} SELECT dag_id, run_id || '_again', state, conf, {COPIED} FROM dag_run WHERE {CHILD}"
AFTER = f"{COPY} SELECT 'held_3', replace(run_id, '2_held_2', '3_held_3'), state, NULL, {COPIED} FROM dag_run"
SUCCEEDED = (
    f"WITH second AS (UPDATE dag_run SET state = 'success' WHERE {CHILD} 'held_2') "
    f"{COPY} SELECT 'held_3', replace(run_id, '2_held_2', '3_held_3'), 'success', NULL, {COPIED} FROM dag_run"
)
EVENT = "task_id, execution_id, actor, data, created_at"
EVENTS = f"INSERT INTO svops_event (type, {EVENT}) SELECT type, {EVENT} FROM svops_event"

# Whose chain (completed, failed, stopped), in which database, what, and the words that have to be found.
PLANTS = {
    "a task runs": (0, "svops", "UPDATE svops_task SET status = 'running' WHERE id = :task", "is running."),
    "an execution runs": (
        0,
        "svops",
        f"UPDATE svops_execution SET status = 'running', ended_at = NULL WHERE id = {OF_TASK}",
        "is running.",
    ),
    "a run runs": (
        0,
        "svops",
        f"UPDATE svops_workflow_run SET status = 'running' WHERE id = {LAST_RUN}",
        "is running.",
    ),
    "a DAG run runs": (
        0,
        "metadata",
        f"UPDATE dag_run SET state = 'running' WHERE {CHILD} 'held_3'",
        "is running.",
    ),
    "a task was never claimed": (
        0,
        "svops",
        "UPDATE svops_task SET status = 'pending', last_execution_id = NULL WHERE id = :task",
        "is pending.",
    ),
    "a task disagrees": (
        0,
        "svops",
        "UPDATE svops_task SET status = 'failed' WHERE id = :task",
        "is failed, its execution",
    ),
    "a completed chain has a failed DAG run": (
        0,
        "metadata",
        f"UPDATE dag_run SET state = 'failed' WHERE {CHILD} 'held_2'",
        "is completed, but Airflow says",
    ),
    "a failed chain has succeeded": (
        0,
        "svops",
        f"UPDATE svops_execution SET status = 'failed', error = '{{}}' WHERE id = {OF_TASK}",
        "is failed, but Airflow says",
    ),
    "a chain has failed, and none of its DAGs": (
        1,
        "metadata",
        f"{SUCCEEDED} WHERE {CHILD} 'held_2'",
        "is failed, but every DAG of it succeeded",
    ),
    "a chain is cancelled though nobody asked": (
        2,
        "svops",
        f"UPDATE svops_execution SET stop_requested_at = NULL WHERE id = {OF_TASK}",
        "a stop was asked for at None",
    ),
    "a failure has no reason": (
        1,
        "svops",
        f"UPDATE svops_execution SET error = NULL WHERE id = {OF_TASK}",
        "its error is None",
    ),
    "a run disagrees": (
        0,
        "metadata",
        f"UPDATE dag_run SET state = 'failed' WHERE {CHILD} 'held_3'",
        "is success, in Airflow failed",
    ),
    "a stopped run had succeeded": (
        2,
        "metadata",
        f"UPDATE dag_run SET state = 'success' WHERE {CHILD} 'held_2'",
        "is cancelled, in Airflow success",
    ),
    "a skipped run had begun": (
        2,
        "svops",
        f"UPDATE svops_workflow_run SET status = 'skipped' WHERE id = {LAST_RUN} - 1",
        "is skipped, in Airflow failed",
    ),
    "a DAG runs twice": (
        0,
        "metadata",
        f"{AGAIN} 'held_3'",
        "2 DAG runs are for run",
    ),
    "the controller runs twice": (
        0,
        "metadata",
        f"{AGAIN} 'svops_controller'",
        "2 controller runs are for execution",
    ),
    "a DAG began after a failed one": (
        1,
        "metadata",
        f"{AFTER} WHERE {CHILD} 'held_2'",
        "had not succeeded",
    ),
    "a DAG began before the one before had ended": (
        0,
        "metadata",
        f"UPDATE dag_run SET end_date = end_date + interval '1 hour' WHERE {CHILD} 'held_1'",
        "had not succeeded",
    ),
    "a DAG was triggered after a stop": (
        2,
        "metadata",
        f"UPDATE dag_run SET queued_at = queued_at + interval '1 hour' WHERE {CHILD} 'held_2'",
        "after a stop had been asked for",
    ),
    "a task began after the end": (
        0,
        "metadata",
        f"UPDATE task_instance SET start_date = now() + interval '1 hour' WHERE {CHILD} 'held_3'",
        "began after the end of its execution",
    ),
    "an event of the task is missing": (
        0,
        "svops",
        f"DELETE FROM svops_event WHERE execution_id = {OF_TASK} AND type = 'task.completed'",
        "has 0 events task.completed",
    ),
    "an event of the end comes twice": (
        1,
        "svops",
        f"{EVENTS} WHERE execution_id = {OF_TASK} AND type = 'task.failed'",
        "has 2 events task.failed",
    ),
    "an event of a run's end is missing": (
        0,
        "svops",
        f"DELETE FROM svops_event WHERE run_id = {LAST_RUN} AND type = 'workflow.completed'",
        "has 0 events workflow.completed",
    ),
    "an event of a run's start is missing": (
        0,
        "svops",
        f"DELETE FROM svops_event WHERE run_id = {LAST_RUN} AND type = 'workflow.started'",
        "has 0 events workflow.started",
    ),
    "an event of a stopped run's start is missing": (
        2,
        "svops",
        f"DELETE FROM svops_event WHERE run_id = {LAST_RUN} - 1 AND type = 'workflow.started'",
        "is cancelled and has 0 events workflow.started",
    ),
    "an event of a run's trigger is missing": (
        0,
        "svops",
        f"DELETE FROM svops_event WHERE run_id = {LAST_RUN} AND type = 'workflow.triggered'",
        "has 0 events of its beginning",
    ),
}


@pytest.mark.parametrize("name", PLANTS)
def test_a_wrong_row_is_found(stack: Stack, ended: Sequence[int], name: str) -> None:
    whose, where, statement, words = PLANTS[name]
    with stack.svops.connect() as svops, stack.metadata.connect() as metadata:
        planted = {"svops": svops, "metadata": metadata}[where]
        assert planted.execute(text(statement), {"task": str(ended[whose])}).rowcount > 0
        found = checker.violations(svops, metadata, stack.gates.starts())
    assert any(words in violation for violation in found), found
    assert stack.violations() == []


def test_a_process_is_found_that_began_too_late_or_twice_or_nowhere_or_lives(
    stack: Stack, ended: Sequence[int]
) -> None:
    of_task = [s for s in stack.gates.starts() if s.run_id.startswith(f"svops__task_{ended[0]}__")]
    begun, foreign = of_task[:2]
    born, later = psutil.Process().create_time(), time.time() + 9
    plants = [
        ("began after the end of its execution", Start("held_1", begun.run_id, 2, 0, begun.born, later)),
        ("began after the end of its execution", Start(FOREIGN, foreign.run_id, 2, 0, later, foreign.asked)),
        ("was begun 2 times", begun),
        ("is no run of SVOps'", Start("held_1", "elsewhere", 1, 0, 0, 0)),
        ("is alive", Start("held_1", begun.run_id, 2, os.getpid(), born, begun.asked)),
    ]
    with stack.svops.connect() as svops, stack.metadata.connect() as metadata:
        for words, plant in plants:
            (found,) = checker.violations(svops, metadata, [*stack.gates.starts(), plant])
            assert words in found
