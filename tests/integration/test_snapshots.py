"""What is told of a task in one answer is as of one moment, whatever is committed while it is read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen

from svops_plugin.application.executions import Standing
from svops_plugin.application.ports import Query
from svops_plugin.application.results import Outcome
from svops_plugin.domain.entities import Execution
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.conftest import PostgreSQL
from tests.integration.desk import Desk, cause
from tests.integration.support import a_dataset

READS: dict[str, Callable[[Desk, Execution], Standing | Outcome]] = {
    "how a task stands": lambda desk, execution: desk.service.standing(OPERATOR, execution.task_id),
    "its attempts": lambda desk, execution: desk.service.history(OPERATOR, execution.task_id)[0],
    "a result": lambda desk, execution: desk.results.outcome(OPERATOR, execution.id),
}


@pytest.fixture
def desk(postgresql: PostgreSQL, postgresql_database: str) -> Iterator[Desk]:
    # SQLite's transactions keep writers out, so nothing can come between.
    engine = make_engine(postgresql.url(postgresql_database), pooled=True)
    yield Desk(engine)
    engine.dispose()


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("statements", [1, 2, 3])
def test_a_chain_that_fails_while_it_is_read(desk: Desk, read: str, statements: int) -> None:
    execution = desk.execute(desk.new_task())
    sent = 0

    def fail_between(*_: Any) -> None:
        nonlocal sent
        sent += 1
        if sent == statements:
            desk.controller.fail(execution.controller_run_id, cause("prepare"))

    listen(desk.engine, "after_cursor_execute", fail_between)
    seen = READS[read](desk, execution)
    assert seen.execution is not None
    assert (str(seen.execution.status), str(seen.task.status)) == ("running", "running")
    assert {str(run.status) for run in seen.runs} == {"queued"}
    assert desk.standing(execution) == ("failed", "failed", ["failed", "skipped", "skipped"])


def test_a_snapshot_ends_with_its_transaction(desk: Desk) -> None:
    def names(uow: SqlUnitOfWork) -> list[str]:
        return [dataset.name for dataset in uow.datasets.page(Query()).items]

    with desk.transactions().snapshot() as reader:
        assert names(reader) == []
        with desk.transactions() as writer:
            writer.datasets.add(a_dataset())
        assert names(reader) == []
    with desk.engine.connect() as first, desk.engine.connect() as second:  # all that the pool has kept
        levels = {one.scalar(text("SHOW transaction_isolation")) for one in (first, second)}
    assert levels == {"read committed"}
    with desk.transactions() as reader:
        assert names(reader) == [a_dataset().name]
