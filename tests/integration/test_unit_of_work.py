"""Transactions: all or nothing, events last, ids visible in their order."""

from __future__ import annotations

import threading
from collections.abc import Callable
from select import select as readable

import pytest
from sqlalchemy import select, text
from sqlalchemy.engine import Engine
from sqlalchemy.event import listen
from sqlalchemy.orm import Session

from svops_plugin.domain.entities import Event
from svops_plugin.domain.errors import Conflict, Unavailable
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.conftest import PostgreSQL
from tests.integration.support import a_dataset, at_once

Transactions = Callable[[], SqlUnitOfWork]


def events(engine: Engine, after: int = 0) -> list[Event]:
    with Session(engine) as session:
        query = select(Event).where(tables.event.c.id > after).order_by(tables.event.c.id)
        return list(session.scalars(query))


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


def test_what_is_left_normally_stays(transactions: Transactions, engine: Engine) -> None:
    with transactions() as uow:
        uow.datasets.add(a_dataset())
        uow.record(Event(type="dataset.created", actor="me", data={"é": [1, None]}))
    assert count(engine, "svops_dataset") == 1
    (event,) = events(engine)
    assert (event.type, event.actor, event.data) == ("dataset.created", "me", {"é": [1, None]})


def test_an_exception_leaves_nothing(transactions: Transactions, engine: Engine) -> None:
    with pytest.raises(KeyError), transactions() as uow:  # noqa: PT012
        uow.datasets.add(a_dataset())
        uow.record(Event(type="dataset.created"))
        raise KeyError
    assert count(engine, "svops_dataset") == count(engine, "svops_event") == 0


def test_a_failing_commit_leaves_no_event(transactions: Transactions, engine: Engine) -> None:
    with transactions() as uow:
        first = uow.datasets.add(a_dataset("first"))
        second = uow.datasets.add(a_dataset("second"))
    with pytest.raises(Conflict, match="at the same moment"), transactions() as uow:  # noqa: PT012
        held = uow.datasets.get(second.id)
        assert held is not None
        held.name = first.name
        uow.record(Event(type="dataset.updated"))
    assert count(engine, "svops_event") == 0


def test_events_are_written_after_everything_else(transactions: Transactions, engine: Engine) -> None:
    statements: list[str] = []
    with transactions() as uow:
        dataset = uow.datasets.add(a_dataset())
        listen(engine, "before_cursor_execute", lambda _c, _u, statement, *_: statements.append(statement))
        uow.record(Event(type="dataset.created"))
        dataset.description = "changed after the event was recorded"
    written = [statement.split("(")[0].strip() for statement in statements]
    assert "UPDATE svops_dataset" in written[0]
    assert [line for line in written if "svops_event" in line] == ["INSERT INTO svops_event"]
    assert written.index("INSERT INTO svops_event") > 0


def test_events_keep_their_order(transactions: Transactions, engine: Engine) -> None:
    with transactions() as uow:
        for number in range(20):
            uow.record(Event(type="task.updated", data={"number": number}))
    assert [event.data["number"] for event in events(engine)] == list(range(20))


def test_a_reader_that_remembers_the_last_id_misses_nothing(
    transactions: Transactions, engine: Engine
) -> None:
    """Writers take ids and commit at the same time as a reader follows them."""
    writers, each = 6, 25
    done = threading.Event()
    seen: list[Event] = []

    def follow() -> None:
        while True:
            finished = done.is_set()
            found = events(engine, after=seen[-1].id if seen else 0)
            seen.extend(found)
            if finished and not found:
                return

    def write(writer: int) -> None:
        for number in range(each):
            with transactions() as uow:
                uow.datasets.add(a_dataset(f"{writer}-{number}"))
                for half in range(2):
                    uow.record(Event(type="task.updated", data={"of": [writer, number, half]}))

    reader = threading.Thread(target=follow)
    reader.start()
    failures = [answer for answer in at_once(writers, write) if answer is not None]
    done.set()
    reader.join()
    assert failures == []
    expected = {
        (writer, number, half) for writer in range(writers) for number in range(each) for half in (0, 1)
    }
    assert [event.id for event in seen] == sorted({event.id for event in seen})
    assert {tuple(event.data["of"]) for event in seen} == expected
    assert len(seen) == len(expected)


def test_a_commit_with_events_is_announced(postgresql: PostgreSQL, postgresql_database: str) -> None:
    from psycopg2 import connect

    engine = make_engine(postgresql.url(postgresql_database), pooled=False)
    listener = connect(postgresql.url(postgresql_database).set(drivername="postgresql").render_as_string())
    listener.autocommit = True
    listener.cursor().execute("LISTEN svops_event")
    with SqlUnitOfWork(engine) as uow:
        uow.datasets.add(a_dataset())
    listener.poll()
    assert listener.notifies == []
    with SqlUnitOfWork(engine) as uow:
        uow.record(Event(type="task.created"))
    assert readable([listener], [], [], 30)[0]
    listener.poll()
    assert [note.channel for note in listener.notifies] == ["svops_event"]
    listener.close()


class TestDatabaseDown:
    @pytest.fixture
    def down(self, postgresql: PostgreSQL, postgresql_database: str) -> SqlUnitOfWork:
        postgresql.close(postgresql_database)
        return SqlUnitOfWork(make_engine(postgresql.url(postgresql_database), pooled=False))

    def test_before_the_first_statement(self, down: SqlUnitOfWork) -> None:
        with pytest.raises(Unavailable, match="does not answer"), down as uow:
            uow.tasks.get(1)

    def test_when_the_events_are_written(self, down: SqlUnitOfWork) -> None:
        with pytest.raises(Unavailable, match="does not answer"), down as uow:
            uow.record(Event(type="task.created"))

    def test_in_the_middle_nothing_stays_and_it_works_again(
        self, postgresql: PostgreSQL, postgresql_database: str
    ) -> None:
        engine = make_engine(postgresql.url(postgresql_database), pooled=True)
        with pytest.raises(Unavailable), SqlUnitOfWork(engine) as uow:  # noqa: PT012
            uow.datasets.add(a_dataset())
            postgresql.close(postgresql_database)
            uow.datasets.add(a_dataset("second"))
        with pytest.raises(Unavailable), SqlUnitOfWork(engine) as uow:
            uow.datasets.get(1)
        postgresql.open(postgresql_database)
        with SqlUnitOfWork(engine) as uow:
            assert uow.datasets.get(1) is None
            uow.datasets.add(a_dataset())
        assert count(engine, "svops_dataset") == 1
        engine.dispose()

    def test_at_the_commit_nothing_stays(self, postgresql: PostgreSQL, postgresql_database: str) -> None:
        engine = make_engine(postgresql.url(postgresql_database), pooled=True)
        with pytest.raises(Unavailable), SqlUnitOfWork(engine) as uow:  # noqa: PT012
            uow.datasets.add(a_dataset())
            postgresql.close(postgresql_database)
        postgresql.open(postgresql_database)
        assert count(engine, "svops_dataset") == 0
        engine.dispose()
