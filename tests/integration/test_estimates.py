"""How long chains may be expected to take, on each kind of database."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from svops_plugin.application.estimates import NEWEST, Estimate, Wanted, estimates
from svops_plugin.domain.entities import Task
from svops_plugin.domain.errors import NotFound
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.domain.states import RunStatus
from tests.integration.desk import CHAIN, Desk
from tests.integration.support import counted

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def completed(desk: Desk, task: Task, *seconds: float, gap: float = 1, day: int = 0) -> None:
    """Let a task have been executed on a day of January, each step taking so long, with gaps in between."""
    execution = desk.execute(task)
    for position in range(1, 4):
        desk.begin(execution, position)
    desk.controller.complete(execution.controller_run_id)
    start = START + timedelta(days=day)
    with desk.transactions() as uow:
        for run, took in zip(uow.runs.of_execution(execution.id), seconds, strict=True):
            run.start_date, run.end_date = start, start + timedelta(seconds=took)
            start = run.end_date + timedelta(seconds=gap)


def expected(desk: Desk, task: Task) -> Estimate:
    found = desk.service.standing(OPERATOR, task.id).estimate
    assert found is not None
    return found


def steps(estimate: Estimate) -> list[tuple[float | None, int, bool]]:
    return [(step.seconds, step.runs, step.same_dataset) for step in estimate.steps]


def test_nothing_is_known_before_the_first(desk: Desk) -> None:
    found = expected(desk, desk.new_task())
    assert found.seconds is None
    assert [step.dag_id for step in found.steps] == list(CHAIN)
    assert steps(found) == [(None, 0, False)] * 3


def test_the_median_counts_and_what_lies_between(desk: Desk) -> None:
    task = desk.new_task()
    completed(desk, task, 1, 10, 100)
    assert expected(desk, task).seconds == 113
    completed(desk, task, 3, 30, 300, day=1)
    completed(desk, task, 2, 900, 1, gap=5, day=2)
    found = expected(desk, task)
    assert steps(found) == [(2, 3, True), (30, 3, True), (100, 3, True)]
    assert found.seconds == 335


def test_the_same_dataset_counts_first(desk: Desk) -> None:
    completed(desk, desk.new_task("other"), 1, 1, 1)
    task = desk.new_task()
    assert steps(expected(desk, task)) == [(1, 1, False)] * 3
    completed(desk, task, 5, 6, 7)
    found = expected(desk, task)
    assert steps(found) == [(5, 1, True), (6, 1, True), (7, 1, True)]
    assert found.seconds == 20
    with desk.transactions() as uow:
        (found,) = estimates(uow, [Wanted(CHAIN, None)])
        assert steps(found) == [(3, 2, False), (3.5, 2, False), (4, 2, False)]


def test_only_the_newest_count(desk: Desk) -> None:
    task = desk.new_task()
    for day in range(NEWEST + 1):
        completed(desk, task, 1000 if day == 0 else 1, 1, 1, day=day)
    with desk.transactions() as uow:
        durations = uow.runs.durations([CHAIN[0]], NEWEST, [task.dataset_id or 0])
        assert {duration.seconds for duration in durations} == {1}
        assert len(durations) == len(uow.runs.durations([CHAIN[0]], NEWEST)) == NEWEST
    assert steps(expected(desk, task))[0] == (1, NEWEST, True)


def test_steps_of_different_chains_are_added(desk: Desk) -> None:
    """As where each chain has failed somewhere, or steps were run alone."""
    task = desk.new_task()
    for dag_id, took in (("prepare", 1), ("train", 2), ("report", 4)):
        assert expected(desk, task).seconds is None
        run = desk.run_alone(dag_id, dataset_id=task.dataset_id)
        with desk.transactions() as uow:
            held = uow.runs.lock(run.id)
            assert held is not None
            end = START + timedelta(seconds=took)
            assert uow.runs.move(held, RunStatus.SUCCESS, start_date=START, end_date=end)
    assert expected(desk, task).seconds == 7


def test_any_number_of_tasks_takes_as_many_queries(desk: Desk) -> None:
    tasks = [desk.new_task(f"{number}") for number in range(5)]
    for task in tasks[:3]:
        completed(desk, task, 1, 2, 3)
    ids = [task.id for task in tasks]
    with counted(desk.engine) as two:
        desk.service.standings(OPERATOR, [ids[0], ids[3]])  # one that was executed, one that never was
    with counted(desk.engine) as all_of_them:
        found = desk.service.standings(OPERATOR, [ids[3], 99, *ids[:3], ids[4]])
    assert [standing.task.id for standing in found.items] == [ids[3], *ids[:3], ids[4]]
    assert [len(standing.runs) for standing in found.items] == [0, 3, 3, 3, 0]
    assert all(
        [run.position for run in standing.runs] == [1, 2, 3] for standing in found.items if standing.runs
    )
    assert found.last_event_id == desk.last_event()
    selects = [statement for statement in all_of_them if statement.startswith("SELECT")]
    assert (
        len(selects) == 6
    )  # the newest event, tasks, executions, runs, durations of the datasets and of any
    assert len(two) == len(all_of_them)


def test_no_task(desk: Desk) -> None:
    assert desk.service.standings(OPERATOR, [1, 2**40]).items == []
    with pytest.raises(NotFound, match="no task 1"):
        desk.service.standing(OPERATOR, 1)
