"""Keeping datasets and tasks when several people do it at the same moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy.engine import Engine

from svops_plugin.application.datasets import DatasetService
from svops_plugin.application.tasks import TaskService
from svops_plugin.bootstrap import disown, services
from svops_plugin.domain.entities import Dataset, DataType, Task
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.integration.desk import AnyPath, Desk
from tests.integration.support import at_once

DATASET = {"name": "digits", "path": "/data/digits", "data_type": DataType.VECTOR}
TASK = {"name": "t", "customer": "c", "log_out_path": "/out"}


@pytest.fixture
def datasets(transactions: Callable[[], SqlUnitOfWork]) -> DatasetService:
    return DatasetService(transactions, AnyPath(), lambda _: [], lambda _: [])


@pytest.fixture
def tasks(transactions: Callable[[], SqlUnitOfWork]) -> TaskService:
    return TaskService(transactions, AnyPath(), lambda _: None)


def kinds(answers: list[object]) -> Counter[type]:
    return Counter(type(answer) for answer in answers)


def test_one_name_is_given_once(datasets: DatasetService) -> None:
    answers = at_once(8, lambda _: datasets.create(OPERATOR, DATASET))
    assert kinds(answers) == {Dataset: 1, Conflict: 7}


def test_of_two_edits_of_one_version_one_is_refused(datasets: DatasetService, tasks: TaskService) -> None:
    dataset, task = datasets.create(OPERATOR, DATASET), tasks.create(OPERATOR, TASK)
    answers = at_once(
        8, lambda number: datasets.update(OPERATOR, dataset.id, {"description": f"{number}", "version": 1})
    )
    assert kinds(answers) == {Dataset: 1, Conflict: 7}
    answers = at_once(
        8, lambda number: tasks.update(OPERATOR, task.id, {"description": f"{number}", "version": 1})
    )
    assert kinds(answers) == {Task: 1, Conflict: 7}
    assert tasks.get(OPERATOR, task.id).version == 2


def test_edits_without_version_are_all_made_and_counted(tasks: TaskService) -> None:
    task = tasks.create(OPERATOR, TASK)
    answers = at_once(8, lambda number: tasks.update(OPERATOR, task.id, {"description": f"{number}"}))
    assert kinds(answers) == {Task: 8}
    assert tasks.get(OPERATOR, task.id).version == 9


def test_a_dataset_is_deleted_or_used(datasets: DatasetService, tasks: TaskService) -> None:
    for number in range(5):
        dataset = datasets.create(OPERATOR, {**DATASET, "name": f"{number}"})
        values = {**TASK, "dataset_id": dataset.id}

        def either(index: int) -> object:
            if index:
                return tasks.create(OPERATOR, values)  # noqa: B023
            return datasets.delete(OPERATOR, dataset.id)  # noqa: B023

        deleted, *created = at_once(3, either)
        if deleted is None:
            assert all(isinstance(answer, (Conflict, InvalidInput)) for answer in created), created
        else:
            assert isinstance(deleted, Conflict)
            assert kinds(created) == {Task: 2}


def test_a_task_is_edited_or_executed(engine: Engine, tasks: TaskService) -> None:
    """Whichever comes first; an edit never changes what a running execution stands for."""
    desk = Desk(engine)
    for number in range(5):
        task = desk.new_task(f"{number}", customer="before")

        def either(index: int, task: Task = task) -> object:
            if index:
                return desk.execute(task)
            return tasks.update(OPERATOR, task.id, {"customer": "after"})

        edited, executed = at_once(2, either)
        assert not isinstance(executed, Exception), executed
        last = desk.execution(desk.task(task).last_execution_id or 0)
        assert isinstance(edited, (Task, Conflict))
        assert last.task_snapshot["customer"] == desk.task(task).customer


def test_a_task_is_deleted_once(tasks: TaskService) -> None:
    task = tasks.create(OPERATOR, TASK)
    answers = at_once(6, lambda _: tasks.delete(OPERATOR, task.id))
    assert kinds(answers) == {type(None): 1, NotFound: 5}


@pytest.mark.usefixtures("svops_database")
def test_a_process_that_is_forked_begins_anew() -> None:
    """It leaves its parent's connections alone, and does not go by its names."""
    parents = services(pooled=True)
    with parents.engine.connect() as connected:
        assert parents.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
        disown()
        assert services(pooled=True).hub.id != parents.hub.id
        assert parents.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert connected.exec_driver_sql("SELECT 1").scalar() == 1
