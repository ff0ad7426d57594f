"""What a process does before others are forked from it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.engine import URL, Engine

from svops_plugin.bootstrap import Services
from svops_plugin.domain.errors import ConfigurationProblem, Unavailable
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.tables import metadata
from svops_plugin.settings import load
from tests.conftest import PostgreSQL, connection
from tests.integration.support import a_task


@pytest.fixture
def svops(database_url: URL, monkeypatch: pytest.MonkeyPatch) -> Services:
    """Services on each kind of database."""
    if database_url.get_backend_name() == "sqlite":
        return Services(replace(load(), sql_alchemy_conn=str(database_url)))
    monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", connection(str(database_url.database)))
    return Services(load())


def rows(engine: Engine) -> dict[str, int]:
    with engine.connect() as connected:
        return {
            name: int(connected.scalar(select(func.count()).select_from(table)) or 0)
            for name, table in metadata.tables.items()
        }


def test_a_rehearsal_leaves_no_trace(svops: Services) -> None:
    svops.rehearse()
    svops.rehearse()
    assert set(rows(svops.engine).values()) == {0}
    with svops.transactions() as uow:
        assert uow.tasks.add(a_task()).id == 1
        assert uow.workflows.for_dags(["first"])["first"].id == 1


def test_what_it_went_through_is_compiled(svops: Services) -> None:
    """The second rehearsal finds every statement in the engine's cache."""
    svops.rehearse()
    compiled = len(svops.engine._compiled_cache or ())
    assert compiled > 15
    svops.rehearse()
    assert len(svops.engine._compiled_cache or ()) == compiled


def test_it_refuses_a_database_that_is_not_set_up(tmp_path: Path) -> None:
    svops = Services(replace(load(), sql_alchemy_conn=f"sqlite:///{tmp_path}/empty.sqlite"))
    with pytest.raises(ConfigurationProblem, match="svops db upgrade"):
        svops.rehearse()


def test_it_refuses_a_database_that_allows_no_temporary_tables(
    postgresql_database: str, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgresql.url(postgresql_database)
    owner = make_engine(url, pooled=False)
    statements = (
        f'REVOKE TEMPORARY ON DATABASE "{postgresql_database}" FROM PUBLIC',
        "CREATE ROLE limited LOGIN",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO limited",
    )
    undo = (
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM limited",
        "DROP ROLE limited",
        f'GRANT TEMPORARY ON DATABASE "{postgresql_database}" TO PUBLIC',
    )
    conn = {**json.loads(connection(postgresql_database)), "login": "limited"}
    monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", json.dumps(conn))
    try:
        with owner.begin() as connected:
            connected.exec_driver_sql("; ".join(statements))
        with pytest.raises(Unavailable, match="no temporary tables"):
            Services(load()).rehearse()
    finally:
        with owner.begin() as connected:
            connected.exec_driver_sql("; ".join(undo))


def test_an_engine_looks_its_address_up_for_each_connection(
    postgresql_database: str, postgresql: PostgreSQL
) -> None:
    """So it outlives a password that is changed, and a fork."""
    url = postgresql.url(postgresql_database)
    looked_up: list[URL] = []

    def address() -> URL:
        looked_up.append(url)
        return url

    engine = make_engine(url.set(database="elsewhere"), pooled=False, address=address)
    for expected in (1, 2):
        with engine.connect() as connected:
            assert connected.scalar(select(func.current_database())) == postgresql_database
        assert len(looked_up) == expected
