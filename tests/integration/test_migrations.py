"""The schema's way up and down, and what it refuses by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.engine import Engine
from sqlalchemy.event import listen
from sqlalchemy.exc import IntegrityError

from svops_plugin.domain.entities import Artifact, DataType, Execution, Metric, WorkflowRun, utcnow
from svops_plugin.domain.errors import ConfigurationProblem, Unavailable
from svops_plugin.infrastructure.database import migrations, tables
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.conftest import PostgreSQL
from tests.integration.support import a_dataset, a_task

ONLY_POSTGRESQL = frozenset({"ix_svops_dataset_tags", "ix_svops_task_tags"})  # SQLite cannot have them


@pytest.fixture(params=["postgresql", "sqlite"])
def empty_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An engine on a database without any table."""
    if request.param == "postgresql":
        name = request.getfixturevalue("empty_postgresql")
        engine = make_engine(request.getfixturevalue("postgresql").url(name), pooled=False)
    else:
        engine = make_engine(f"sqlite:///{tmp_path}/empty.sqlite", pooled=False)
    yield engine
    engine.dispose()


COUNTED = "sqlite_sequence"  # SQLite's own table of the ids that it has given out


def tables_of(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names()) - {COUNTED}


def test_upgraded_schema_is_what_the_code_maps(engine: Engine) -> None:
    assert migrations.current(engine) == migrations.HEAD
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": migrations.VERSION_TABLE,
                "compare_type": True,
                "include_object": lambda _, name, *__: name not in {*ONLY_POSTGRESQL, COUNTED},
            },
        )
        assert compare_metadata(context, tables.metadata) == []


def test_sqlite_counts_for_those_tables_that_the_code_names(migrated_sqlite: Path) -> None:
    """What Alembic does not compare."""
    engine = make_engine(f"sqlite:///{migrated_sqlite}", pooled=False)
    with engine.connect() as connection:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE '%AUTOINCREMENT%'"
        counted = set(connection.scalars(text(query)))
    named = tables.metadata.tables.values()
    assert counted == {one.name for one in named if one.dialect_options["sqlite"]["autoincrement"]}
    assert "svops_task" in counted


def test_up_and_down_and_up_again(empty_engine: Engine) -> None:
    assert migrations.current(empty_engine) is None
    migrations.upgrade(empty_engine)
    made = tables_of(empty_engine)
    assert set(tables.metadata.tables) < made
    migrations.downgrade(empty_engine, "base")
    assert migrations.current(empty_engine) is None
    assert tables_of(empty_engine) == {migrations.VERSION_TABLE}
    migrations.upgrade(empty_engine)
    assert tables_of(empty_engine) == made


def test_an_upgrade_keeps_what_is_there(engine: Engine) -> None:
    with SqlUnitOfWork(engine) as uow:
        uow.datasets.add(a_dataset())
    migrations.upgrade(engine)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM svops_dataset")) == 1


def test_alone_there_and_back(engine: Engine) -> None:
    """Down, what belongs to no execution cannot stay; the rest does, both ways."""
    execution = an_execution(engine)
    with SqlUnitOfWork(engine) as uow:
        workflow = uow.workflows.for_dags(["dag"])["dag"]
        for name, execution_id in (("alone", None), ("chain", execution.id)):
            run = WorkflowRun(
                workflow_id=workflow.id, execution_id=execution_id, dag_id="dag", dag_run_id=name
            )
            ids = {"execution_id": execution_id, "workflow_run_id": uow.runs.add(run).id}
            uow.tracking.save_metric(Metric(**ids, name=name, value=1.0))
            uow.tracking.save_artifact(Artifact(**ids, name=name, path="/", media_type="", size=1))

    def names() -> list[str]:
        both = "SELECT name FROM svops_metric UNION ALL SELECT name FROM svops_artifact"
        with engine.connect() as connection:
            return sorted(connection.scalars(text(both)))

    assert names() == ["alone", "alone", "chain", "chain"]
    migrations.downgrade(engine, "0002")
    assert names() == ["chain", "chain"]
    for table in ("svops_metric", "svops_artifact"):
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text(f"UPDATE {table} SET execution_id = NULL"))  # noqa: S608
    migrations.upgrade(engine)
    assert names() == ["chain", "chain"]
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM svops_workflow_run")) == 2


def test_tables_that_are_made_anew_take_nothing_along(engine: Engine) -> None:
    """SQLite drops them for it, and what refers to a row that is deleted goes, too."""
    execution = an_execution(engine)
    with SqlUnitOfWork(engine) as uow:
        workflow = uow.workflows.for_dags(["dag"])["dag"]
        run = WorkflowRun(workflow_id=workflow.id, execution_id=execution.id, dag_id="dag", dag_run_id="run")
        ids = {"execution_id": execution.id, "workflow_run_id": uow.runs.add(run).id}
        uow.tracking.save_metric(Metric(**ids, name="m", value=1.0))

    def rows() -> list[int]:
        kinds = ("dataset", "task", "execution", "workflow", "workflow_run", "metric")
        with engine.connect() as connection:
            return [connection.scalar(text(f"SELECT count(*) FROM svops_{kind}")) for kind in kinds]  # noqa: S608

    for move in (migrations.downgrade, migrations.upgrade):
        move(engine, "0006" if move is migrations.downgrade else "head")
        assert rows() == [1] * 6
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text("UPDATE svops_execution SET task_id = 999"))
        with pytest.raises(IntegrityError), engine.begin() as connection:
            connection.execute(text("UPDATE svops_task SET status = 'nonsense'"))


def test_of_metrics_that_were_kept_twice_the_newest_stays(engine: Engine) -> None:
    execution = an_execution(engine)
    with SqlUnitOfWork(engine) as uow:
        workflow = uow.workflows.for_dags(["dag"])["dag"]
        run = uow.runs.add(WorkflowRun(workflow_id=workflow.id, dag_id="dag", dag_run_id="run"))
    migrations.downgrade(engine, "0006")
    columns = ("execution_id", "step", "value", "created_at", "workflow_run_id", "name")
    values = ", ".join(f":{name}" for name in columns)
    report = text(f"INSERT INTO svops_metric ({', '.join(columns)}) VALUES ({values})")  # noqa: S608
    told = [
        (execution_id, step, value, utcnow().replace(year=year).isoformat(), run.id, "m")
        for execution_id in (execution.id, None)
        for step in (None, 0)
        for value, year in ((1, 2020), (3, 2025), (2, 2025), (0, 2019))
    ]
    with engine.begin() as connection:
        connection.execute(report, [dict(zip(columns, row, strict=True)) for row in told])
    migrations.upgrade(engine)
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT execution_id, step, value FROM svops_metric")).all()
    assert sorted(kept, key=str) == sorted(
        [(execution.id, None, 2), (execution.id, 0, 2), (None, None, 2), (None, 0, 2)], key=str
    )


def test_runs_say_which_dataset_they_worked_on(engine: Engine) -> None:
    with SqlUnitOfWork(engine) as uow:
        workflow = uow.workflows.for_dags(["dag"])["dag"]
        for number, configuration in enumerate([{"dataset_id": 5}, {"dataset_id": None}, {"parameters": {}}]):
            run = WorkflowRun(
                workflow_id=workflow.id, dag_id="dag", dag_run_id=f"{number}", configuration=configuration
            )
            uow.runs.add(run)
    migrations.downgrade(engine, "0003")
    migrations.upgrade(engine)
    with engine.connect() as connection:
        query = "SELECT dataset_id FROM svops_workflow_run ORDER BY dag_run_id"
        assert list(connection.scalars(text(query))) == [5, None, None]


def test_a_name_counts_once_in_a_run_alone(engine: Engine) -> None:
    with SqlUnitOfWork(engine) as uow:
        workflow = uow.workflows.for_dags(["dag"])["dag"]
        run = uow.runs.add(WorkflowRun(workflow_id=workflow.id, dag_id="dag", dag_run_id="run"))
        ids = {"execution_id": None, "workflow_run_id": run.id}
        uow.tracking.save_artifact(Artifact(**ids, name="a", path="/", media_type="", size=1))
    columns = "execution_id, workflow_run_id, name, path, media_type, size, created_at"
    again = f"INSERT INTO svops_artifact ({columns}) SELECT {columns} FROM svops_artifact"  # noqa: S608
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text(again))


def require_head(engine: Engine) -> None:
    """Open a unit of work as every process does first."""
    with SqlUnitOfWork(engine, migrations.Guard()) as uow:
        uow.ping()


def test_an_empty_database_is_refused_with_the_command_that_mends_it(empty_engine: Engine) -> None:
    with pytest.raises(ConfigurationProblem, match=r"revision \(empty\).*run: svops db upgrade"):
        require_head(empty_engine)


def test_another_revision_is_refused_with_the_command_that_mends_it(empty_engine: Engine) -> None:
    migrations.upgrade(empty_engine)
    require_head(empty_engine)
    with empty_engine.begin() as connection:
        connection.execute(text(f"UPDATE {migrations.VERSION_TABLE} SET version_num = '0000'"))  # noqa: S608
    with pytest.raises(ConfigurationProblem, match=rf"revision 0000.*{migrations.HEAD}.*svops db upgrade"):
        require_head(empty_engine)


def test_a_database_that_does_not_answer_is_no_old_schema(
    postgresql: PostgreSQL, empty_postgresql: str
) -> None:
    postgresql.close(empty_postgresql)
    engine = make_engine(postgresql.url(empty_postgresql), pooled=False)
    with pytest.raises(Unavailable, match="does not answer"):
        require_head(engine)


def test_a_schema_that_was_right_is_not_asked_for_again(engine: Engine) -> None:
    guard = migrations.Guard()
    asked: list[str] = []
    listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    for _ in range(3):
        with SqlUnitOfWork(engine, guard) as uow:
            uow.ping()
    assert sum(migrations.VERSION_TABLE in statement for statement in asked) == 1


@pytest.mark.parametrize("url", ["mysql://root@localhost/svops", "oracle://localhost/svops"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationProblem, match="PostgreSQL"):
        make_engine(url, pooled=False)


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("svops_dataset", "data_type"),
        ("svops_task", "status"),
        ("svops_execution", "status"),
        ("svops_workflow_run", "status"),
        ("svops_workflow_run", "trigger_type"),
    ],
)
def test_columns_of_states_refuse_unknown_ones(engine: Engine, table: str, column: str) -> None:
    execution = an_execution(engine)
    with SqlUnitOfWork(engine) as uow:
        workflow = uow.workflows.for_dags(["dag"])["dag"]
    row = {
        "workflow_id": workflow.id,
        "execution_id": execution.id,
        "dag_id": "dag",
        "dag_run_id": "run",
        "status": "queued",
        "trigger_type": "api",
        "configuration": "{}",
        "triggered_by": "",
        "note": "",
        "progress_done": 0,
        "progress_total": 0,
        "message": "",
        "created_at": utcnow().isoformat(),
    }
    if table == "svops_workflow_run":
        statement = insert(table, row)
    else:
        statement = f"UPDATE {table} SET {column} = :value"  # noqa: S608
        row = {"value": "queued"}
    bad = {**row, column: "nonsense"} if column in row else {"value": "nonsense"}
    with pytest.raises(IntegrityError, match=column), engine.begin() as connection:
        connection.execute(text(statement), bad)


def test_a_dataset_may_be_of_each_type(engine: Engine) -> None:
    with SqlUnitOfWork(engine) as uow:
        for kind in DataType:
            uow.datasets.add(a_dataset(kind.value, data_type=kind))


def insert(table: str, row: dict[str, Any]) -> str:
    return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})"  # noqa: S608


def an_execution(engine: Engine, attempt: int = 1, task_id: int | None = None, **values: Any) -> Execution:
    with SqlUnitOfWork(engine) as uow:
        if task_id is None:
            dataset = uow.datasets.add(a_dataset())
            task_id = uow.tasks.add(a_task(dataset_id=dataset.id)).id
        return uow.executions.add(
            Execution(
                task_id=task_id,
                attempt=attempt,
                chain=["dag"],
                task_snapshot={},
                dataset_snapshot={},
                **values,
            )
        )


def test_a_task_has_one_running_execution_at_the_most(engine: Engine) -> None:
    first = an_execution(engine)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO svops_execution (task_id, attempt, uuid, chain, task_snapshot, "
                "dataset_snapshot, parameters, note, requested_by, status, controller_run_id, created_at) "
                "SELECT task_id, 2, 'other', chain, task_snapshot, dataset_snapshot, parameters, note, "
                "requested_by, status, 'other', created_at FROM svops_execution WHERE id = :id"
            ),
            {"id": first.id},
        )
    with engine.begin() as connection:
        connection.execute(text("UPDATE svops_execution SET status = 'failed'"))
    assert an_execution(engine, 2, first.task_id).attempt == 2


def test_sqlite_keeps_foreign_keys(engine: Engine) -> None:
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(
            text("INSERT INTO svops_lease (name, holder, expires_at) VALUES ('a', NULL, NULL)")
        )
    first = an_execution(engine)
    with pytest.raises(IntegrityError), engine.begin() as connection:
        connection.execute(text("UPDATE svops_execution SET task_id = 999 WHERE id = :id"), {"id": first.id})


def test_the_revision_the_code_asks_for_is_the_newest_there_is() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD
