"""Lists of many tasks: each comes from an index, and asks for no more than it has to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine
from sqlalchemy.event import listen, remove

from svops_plugin.application.ports import Page, Query
from svops_plugin.domain.entities import Task
from svops_plugin.domain.states import TaskStatus
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.conftest import PostgreSQL
from tests.integration.support import a_task, counted

MANY = 20_000
FILL = """INSERT INTO svops_task
(name, customer, log_out_path, build_config_customized, build_config_custom_conf, build_config_custom_ini,
 dataset_id, video_out_enabled, video_out_path, tags, status, created_by_id, created_at, updated_at, version)
SELECT 'task ' || n, 'customer ' || n % 100, '/out', false, '{}', '{}', 1 + n % 100, false, '',
 CASE WHEN n % 1000 = 7 THEN '["nightly"]'::jsonb ELSE '[]' END,
 CASE WHEN n % 100 = 8 THEN 'failed' ELSE 'completed' END, 1 + n % 100,
 now() - (n || ' seconds')::interval, now() - (n * 7 % 20011 || ' seconds')::interval, 1
FROM generate_series(1, CAST(:many AS integer)) n"""
SOMEBODY = """INSERT INTO svops_user (id, subject, username)
SELECT n, n::text, 'user ' || n FROM generate_series(1, 100) n"""
DATASETS = """INSERT INTO svops_dataset (name, path, data_type, tags, created_at, updated_at, version)
SELECT 'digits ' || n, '/data', 'Vector', '[]', now(), now(), 1 FROM generate_series(1, 100) n"""


@pytest.fixture(scope="module")
def many(postgresql: PostgreSQL) -> Iterator[Engine]:
    """A database of this module's own, with many tasks."""
    from svops_plugin.infrastructure.database import migrations

    postgresql.create("many")
    engine = make_engine(postgresql.url("many"), pooled=True)
    migrations.upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text(SOMEBODY))
        connection.execute(text(DATASETS))
        connection.execute(text(FILL), {"many": MANY})
        connection.execute(text("ANALYZE svops_task"))
    yield engine
    engine.dispose()
    postgresql.drop("many")


def listed(engine: Engine, query: Query) -> tuple[Page[Task], list[tuple[str, Any]]]:
    """Return a page, and the statements that made it."""
    sent: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        sent.append((arguments[2], arguments[3]))

    listen(engine, "before_cursor_execute", note)
    try:
        with SqlUnitOfWork(engine) as uow:
            return uow.tasks.page(query), sent
    finally:
        remove(engine, "before_cursor_execute", note)


def plan(engine: Engine, statement: str, parameters: Any) -> str:
    with engine.connect() as connection:
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).scalars())


@pytest.mark.parametrize(
    ("query", "found", "index"),
    [
        (Query(), MANY, "ix_svops_task_created_at_id"),
        (Query(order_by="created_at"), MANY, "ix_svops_task_created_at_id"),
        (Query(order_by="-updated_at"), MANY, "ix_svops_task_updated_at_id"),
        (Query(filters={"status": TaskStatus.FAILED}), MANY // 100, "ix_svops_task_status_created_at"),
        (Query(filters={"customer": "customer 7"}), MANY // 100, "ix_svops_task_customer_created_at"),
        (Query(filters={"creator_id": 7}), MANY // 100, "ix_svops_task_created_by_id_created_at"),
        (Query(filters={"dataset_id": 7}), MANY // 100, "ix_svops_task_dataset_id_created_at"),
        (Query(filters={"tag": "nightly"}), MANY // 1000, "ix_svops_task_tags"),
        (Query(filters={"tag": "nobody's"}), 0, "ix_svops_task_tags"),
    ],
)
def test_rows_come_from_an_index(many: Engine, query: Query, found: int, index: str) -> None:
    page, sent = listed(many, query)
    assert page.total == found
    assert len(page.items) == min(found, query.limit)
    rows = plan(many, *sent[0])
    assert index in rows
    assert "Seq Scan on svops_task" not in rows


@pytest.mark.parametrize("word", ["task 19999", "no such"])
def test_a_search_that_finds_little_goes_through_the_names_once(many: Engine, word: str) -> None:
    page, sent = listed(many, Query(filters={"q": word}))
    assert page.total == len(page.items) == (word != "no such")
    assert len(sent) == 1


@pytest.fixture
def five(transactions: Callable[[], SqlUnitOfWork]) -> None:
    with transactions() as uow:
        for number in range(5):
            uow.tasks.add(a_task(f"t{number}"))


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("skip", "limit", "items", "queries"),
    [(0, 10, 5, 1), (3, 10, 2, 1), (0, 5, 5, 2), (0, 2, 2, 2), (4, 1, 1, 2), (5, 10, 0, 2), (99, 10, 0, 2)],
)
def test_total_is_counted_only_where_the_page_does_not_tell(
    engine: Engine, skip: int, limit: int, items: int, queries: int
) -> None:
    with counted(engine) as sent, SqlUnitOfWork(engine) as uow:
        page = uow.tasks.page(Query(skip=skip, limit=limit))
    assert (len(page.items), page.total) == (items, 5)
    assert len([one for one in sent if one.startswith("SELECT")]) == queries
