"""Queries on each kind of database: pages, filters, compare-and-set, ids, leases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from svops_plugin.application.ports import Query
from svops_plugin.domain.entities import (
    Dataset,
    DataType,
    Execution,
    Metric,
    Task,
    WorkflowRun,
    utcnow,
)
from svops_plugin.domain.errors import Conflict, InvalidInput
from svops_plugin.domain.states import ExecutionStatus, TaskStatus
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.conftest import PostgreSQL
from tests.integration.support import a_dataset, a_task, at_once

Transactions = Callable[[], SqlUnitOfWork]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def add_datasets(transactions: Transactions, *datasets: Dataset) -> None:
    with transactions() as uow:
        for dataset in datasets:
            uow.datasets.add(dataset)


def names(transactions: Transactions, **query: object) -> list[str]:
    with transactions() as uow:
        return [item.name for item in uow.datasets.page(Query(**query)).items]  # type: ignore[arg-type]  # as given


class TestPages:
    def test_the_newest_come_first(self, transactions: Transactions) -> None:
        add_datasets(
            transactions,
            a_dataset("b", created_at=START + timedelta(1)),
            a_dataset("a", created_at=START),
            a_dataset("c", created_at=START + timedelta(2)),
        )
        assert names(transactions) == ["c", "b", "a"]

    def test_equals_come_in_the_order_of_their_ids(self, transactions: Transactions) -> None:
        add_datasets(transactions, *(a_dataset(name, created_at=START) for name in "abc"))
        assert names(transactions) == ["c", "b", "a"]
        assert names(transactions, order_by="created_at") == ["a", "b", "c"]

    @pytest.mark.parametrize(("order_by", "expected"), [("name", "abc"), ("-name", "cba"), ("id", "cab")])
    def test_order_by_any_column(self, transactions: Transactions, order_by: str, expected: str) -> None:
        add_datasets(transactions, *(a_dataset(name) for name in "cab"))
        assert names(transactions, order_by=order_by) == list(expected)

    @pytest.mark.parametrize(
        "order_by", ["", "-", "--name", "nothing", "name; DROP TABLE svops_task", "name,id"]
    )
    def test_what_is_no_column_is_refused(self, transactions: Transactions, order_by: str) -> None:
        with pytest.raises(InvalidInput, match=r"known are .*created_at") as refusal, transactions() as uow:
            uow.datasets.page(Query(order_by=order_by))
        assert set(refusal.value.errors) == {"order_by"}

    def test_skip_and_limit_walk_over_everything_once(self, transactions: Transactions) -> None:
        add_datasets(transactions, *(a_dataset(f"{number}", created_at=START) for number in range(7)))
        walked = [name for skip in range(0, 9, 3) for name in names(transactions, skip=skip, limit=3)]
        assert sorted(walked) == [f"{number}" for number in range(7)]

    def test_the_total_counts_all_that_match(self, transactions: Transactions) -> None:
        add_datasets(transactions, *(a_dataset(name, tags=["x"] if name in "ab" else []) for name in "abc"))
        with transactions() as uow:
            page = uow.datasets.page(Query(limit=1, filters={"tag": "x"}))
            assert (len(page.items), page.total) == (1, 2)
            past = uow.datasets.page(Query(skip=100))
            assert (past.items, past.total) == ([], 3)

    def test_an_item_has_all_that_the_entity_has(self, transactions: Transactions) -> None:
        with transactions() as uow:
            somebody = uow.users.identify("7", "somebody").id
            dataset = uow.datasets.add(a_dataset(tags=["x"], profile={"rows": 3}, created_by_id=somebody))
            for name in "ab":
                uow.tasks.add(
                    a_task(name, dataset_id=dataset.id, created_by_id=somebody, result={"score": 1})
                )
            uow.tasks.add(a_task("without a dataset"))
            uow.workflows.for_dags(["some_dag"])
        with transactions() as uow:
            for repository in (uow.datasets, uow.tasks, uow.workflows):
                for item in repository.page(Query()).items:  # type: ignore[attr-defined]  # each has pages
                    assert asdict(item) == asdict(repository.get(item.id))  # type: ignore[attr-defined]
            without, *with_it = uow.tasks.page(Query()).items
        assert without.dataset is without.created_by is None
        assert {(task.created_by, task.dataset.created_by) for task in with_it} == {("somebody", "somebody")}
        assert with_it[0].dataset is with_it[1].dataset

    def test_an_item_is_not_for_changing(self, transactions: Transactions) -> None:
        add_datasets(transactions, a_dataset("kept"))
        with transactions() as uow, pytest.raises(AttributeError):
            uow.datasets.page(Query()).items[0].name = "changed"

    def test_what_the_unit_of_work_has_changed_is_seen(self, transactions: Transactions) -> None:
        add_datasets(transactions, a_dataset("before"))
        with transactions() as uow:
            uow.datasets.page(Query())
            uow.datasets.get(1).name = "after"  # type: ignore[union-attr]  # it is there
            assert [item.name for item in uow.datasets.page(Query()).items] == ["after"]


class TestFilters:
    @pytest.mark.parametrize(
        ("words", "expected"),
        [
            ("50%", ["50% off"]),
            ("%", ["50% off"]),
            ("_", ["snake_case"]),
            ("e_c", ["snake_case"]),
            ("\\", ["back\\slash"]),
            ("k\\s", ["back\\slash"]),
            ("SNAKE", ["snake_case"]),
            ("'", ["it's"]),
            ("a", ["back\\slash", "snake_case"]),
            ("nothing", []),
        ],
    )
    def test_q_is_taken_literally(self, transactions: Transactions, words: str, expected: list[str]) -> None:
        all_names = ("50% off", "snake_case", "back\\slash", "it's")
        add_datasets(transactions, *(a_dataset(name) for name in all_names))
        assert names(transactions, filters={"q": words}, order_by="name") == expected

    @pytest.mark.parametrize(
        ("tag", "expected"),
        [("x", ["one", "two"]), ("y", ["two"]), ('"q"', ["three"]), ("é", ["three"]), ("xy", []), ("[]", [])],
    )
    def test_a_tag_is_one_whole_word(self, transactions: Transactions, tag: str, expected: list[str]) -> None:
        add_datasets(
            transactions,
            a_dataset("one", tags=["x"]),
            a_dataset("two", tags=["x", "y"]),
            a_dataset("three", tags=['"q"', "é"]),
            a_dataset("none"),
        )
        assert sorted(names(transactions, filters={"tag": tag})) == sorted(expected)

    def test_data_type_and_creator(self, transactions: Transactions) -> None:
        with transactions() as uow:
            mine = uow.users.identify("7", "me").id
        add_datasets(
            transactions,
            a_dataset("mine", created_by_id=mine),
            a_dataset("surf", data_type=DataType.SURF),
        )
        assert names(transactions, filters={"data_type": DataType.SURF}) == ["surf"]
        assert names(transactions, filters={"creator_id": mine}) == ["mine"]
        assert names(transactions, filters={"creator_id": mine, "data_type": DataType.SURF}) == []

    def test_tasks_by_each_of_their_filters(self, transactions: Transactions) -> None:
        with transactions() as uow:
            mine = uow.users.identify("7", "me").id
            dataset = uow.datasets.add(a_dataset())
            wanted = uow.tasks.add(
                a_task("wanted", customer="c", dataset_id=dataset.id, created_by_id=mine, tags=["x"])
            )
            uow.tasks.move(wanted, TaskStatus.RUNNING)
            uow.tasks.add(a_task("other"))
        for filters in (
            {"status": TaskStatus.RUNNING},
            {"customer": "c"},
            {"creator_id": mine},
            {"dataset_id": dataset.id},
            {"tag": "x"},
            {"q": "want"},
        ):
            with transactions() as uow:
                page = uow.tasks.page(Query(filters=filters))
            assert ([task.name for task in page.items], page.total) == (["wanted"], 1), filters


class TestMove:
    def task(self, transactions: Transactions) -> Task:
        with transactions() as uow:
            return uow.tasks.add(a_task())

    def test_the_first_wins_and_the_second_sees_how_it_is(self, transactions: Transactions) -> None:
        task_id = self.task(transactions).id
        with transactions() as uow:
            task = uow.tasks.get(task_id)
            assert task is not None
            assert uow.tasks.move(task, TaskStatus.RUNNING, status_reason="because")
            assert (task.status, task.status_reason) == (TaskStatus.RUNNING, "because")
        with transactions() as uow:
            task = uow.tasks.get(task_id)
            assert task is not None
            assert not uow.tasks.move(task, TaskStatus.RUNNING, status_reason="again")
            assert (task.status, task.status_reason) == (TaskStatus.RUNNING, "because")

    def test_a_stale_copy_is_refreshed(self, postgresql: PostgreSQL, postgresql_database: str) -> None:
        """On PostgreSQL only: SQLite has one writer at a time, so no copy becomes stale."""
        engine = make_engine(postgresql.url(postgresql_database), pooled=False)
        task_id = self.task(lambda: SqlUnitOfWork(engine)).id
        with SqlUnitOfWork(engine) as slow:
            stale = slow.tasks.get(task_id)
            assert stale is not None
            with SqlUnitOfWork(engine) as fast:
                task = fast.tasks.get(task_id)
                assert task is not None
                assert fast.tasks.move(task, TaskStatus.RUNNING, status_reason="first")
            assert stale.status is TaskStatus.PENDING
            assert not slow.tasks.move(stale, TaskStatus.RUNNING, status_reason="second")
            assert (stale.status, stale.status_reason) == (TaskStatus.RUNNING, "first")

    @pytest.mark.parametrize("after", [status for status in TaskStatus if status is not TaskStatus.RUNNING])
    def test_what_the_table_does_not_allow_changes_nothing(
        self, transactions: Transactions, after: TaskStatus
    ) -> None:
        task_id = self.task(transactions).id
        with transactions() as uow:
            task = uow.tasks.get(task_id)
            assert task is not None
            assert not uow.tasks.move(task, after)
            assert task.status is TaskStatus.PENDING

    def test_of_many_at_once_one_wins(self, transactions: Transactions) -> None:
        task_id = self.task(transactions).id

        def run(_: int) -> bool:
            with transactions() as uow:
                task = uow.tasks.get(task_id)
                assert task is not None
                return uow.tasks.move(task, TaskStatus.RUNNING)

        assert sorted(map(str, at_once(8, run))) == ["False"] * 7 + ["True"]

    def test_changes_made_before_are_written_with_it(self, transactions: Transactions) -> None:
        task_id = self.task(transactions).id
        with transactions() as uow:
            task = uow.tasks.get(task_id)
            assert task is not None
            task.last_execution_id = 5
            uow.tasks.move(task, TaskStatus.RUNNING)
        with transactions() as uow:
            again = uow.tasks.get(task_id)
            assert again is not None
            assert (again.status, again.last_execution_id) == (TaskStatus.RUNNING, 5)


class TestRows:
    def test_what_is_written_is_read_back(self, transactions: Transactions) -> None:
        with transactions() as uow:
            dataset = uow.datasets.add(
                a_dataset("é ü 漢字 🙂", profile={"classes": {"0": 1.5}}, tags=["é", ""], created_at=START)
            )
        with transactions() as uow:
            read = uow.datasets.get(dataset.id)
            assert read is not None
            assert read is not dataset
            assert vars(read).keys() == vars(dataset).keys()
            for name in ("name", "profile", "tags", "created_at", "data_type", "gt_path", "version"):
                assert getattr(read, name) == getattr(dataset, name), name
            assert read.created_at.utcoffset() == timedelta(0)

    def test_times_keep_their_moment_whatever_their_zone(self, transactions: Transactions) -> None:
        tokyo = START.astimezone(timezone(timedelta(hours=9)))
        with transactions() as uow:
            dataset = uow.datasets.add(a_dataset(created_at=tokyo))
        with transactions() as uow:
            read = uow.datasets.get(dataset.id)
            assert read is not None
            assert read.created_at == START

    def test_a_naive_time_is_refused(self, transactions: Transactions) -> None:
        with pytest.raises(Exception, match="naive time"), transactions() as uow:
            uow.datasets.add(a_dataset(created_at=START.replace(tzinfo=None)))

    @pytest.mark.parametrize("missing", [0, -1, 12345, 2**31, 2**63, 10**30])
    def test_an_id_that_nothing_has(self, transactions: Transactions, missing: int) -> None:
        with transactions() as uow:
            assert uow.tasks.get(missing) is None
        with transactions() as uow:
            assert uow.tasks.lock(missing) is None

    def test_deleting_a_task_takes_its_executions_along(
        self, transactions: Transactions, engine: Engine
    ) -> None:
        with transactions() as uow:
            task = uow.tasks.add(a_task())
            execution = uow.executions.add(
                Execution(task_id=task.id, attempt=1, chain=["d"], task_snapshot={}, dataset_snapshot={})
            )
            workflow = uow.workflows.for_dags(["d"])["d"]
            run = uow.runs.add(
                WorkflowRun(workflow_id=workflow.id, execution_id=execution.id, dag_id="d", dag_run_id="r")
            )
            uow.tracking.save_metric(
                Metric(execution_id=execution.id, workflow_run_id=run.id, name="m", value=1.0)
            )
        with transactions() as uow:
            held = uow.tasks.lock(task.id)
            assert held is not None
            uow.tasks.delete(held)
        with engine.connect() as connection:
            for table in ("task", "execution", "workflow_run", "metric"):
                assert connection.scalar(text(f"SELECT count(*) FROM svops_{table}")) == 0, table  # noqa: S608
            assert connection.scalar(text("SELECT count(*) FROM svops_workflow")) == 1

    def test_no_id_is_given_out_again(self, transactions: Transactions) -> None:
        """Events, outputs and others' records go on naming what is deleted."""

        def made() -> list[int]:
            with transactions() as uow:
                dataset, task = uow.datasets.add(a_dataset()), uow.tasks.add(a_task())
                execution = uow.executions.add(
                    Execution(task_id=task.id, attempt=1, chain=["d"], task_snapshot={}, dataset_snapshot={})
                )
                workflow = uow.workflows.for_dags(["d"])["d"]
                run = uow.runs.add(
                    WorkflowRun(
                        workflow_id=workflow.id, execution_id=execution.id, dag_id="d", dag_run_id="r"
                    )
                )
                ids = [one.id for one in (dataset, task, execution, workflow, run)]
                uow.tasks.delete(task)
                uow.datasets.delete(dataset)
                uow.workflows.delete(workflow)
            return ids

        first, second = made(), made()
        assert all(later > earlier for earlier, later in zip(first, second, strict=True)), (first, second)

    def test_a_dataset_in_use_stays(self, transactions: Transactions) -> None:
        with transactions() as uow:
            dataset = uow.datasets.add(a_dataset())
            uow.tasks.add(a_task(dataset_id=dataset.id))
        with pytest.raises(Conflict), transactions() as uow:  # noqa: PT012
            held = uow.datasets.lock(dataset.id)
            assert held is not None
            uow.datasets.delete(held)

    def test_executions_are_found_by_the_run_that_carries_them(self, transactions: Transactions) -> None:
        with transactions() as uow:
            task = uow.tasks.add(a_task())
            assert uow.executions.attempts(task.id) == 0
            for attempt in (1, 2):
                execution = uow.executions.add(
                    Execution(
                        task_id=task.id,
                        attempt=attempt,
                        chain=[],
                        task_snapshot={},
                        dataset_snapshot={},
                        controller_run_id="same",
                    )
                )
                assert [active.id for active in uow.executions.active()] == [execution.id]
                assert uow.executions.under_way() == 1
                if attempt == 1:
                    uow.executions.move(execution, ExecutionStatus.FAILED)
            assert uow.executions.attempts(task.id) == 2
            assert uow.executions.carried_by("same") is execution
            assert uow.executions.carried_by("other") is None


def test_utcnow_survives_the_database(transactions: Transactions) -> None:
    now = utcnow()
    with transactions() as uow:
        dataset = uow.datasets.add(a_dataset(created_at=now))
    with transactions() as uow:
        read = uow.datasets.get(dataset.id)
        assert read is not None
        assert read.created_at == now
