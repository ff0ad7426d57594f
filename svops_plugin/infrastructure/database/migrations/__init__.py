"""The schema's history (Alembic) and the functions that move a database along it.

Every task process asks for the present revision, so Alembic itself is imported only to change it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.database.unit_of_work import raise_refusal

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "svops_alembic_version"
HEAD = "0007"


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def current(engine: Engine) -> str | None:
    """Return the revision that the database is at; none for an empty one.

    :raises Unavailable: if the database does not answer
    """
    try:
        with engine.connect() as connection:
            return _revision(connection)
    except SQLAlchemyError as failure:
        raise_refusal(failure)
        raise


def _revision(connection: Connection) -> str | None:
    try:
        found = connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608
    except (ProgrammingError, OperationalError):
        connection.rollback()
        if inspect(connection).has_table(VERSION_TABLE):
            raise
        return None
    return None if found is None else str(found)


@contextmanager
def _changing(engine: Engine) -> Iterator[Connection]:
    """Open the transaction of a change of the schema.

    SQLite alters a table by making another and dropping the first, which must not take along what refers to
    its rows; whether foreign keys are kept can be said before a transaction only.
    """
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
        with connection.begin():
            yield connection


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to a revision."""
    from alembic import command

    with _changing(engine) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to a revision; ``base`` empties it."""
    from alembic import command

    with _changing(engine) as connection:
        command.downgrade(_config(connection), revision)


def require_head(connection: Connection) -> None:
    """Refuse to work on another schema than this version's.

    :raises ConfigurationProblem: with the command that mends it
    """
    present = _revision(connection)
    if present != HEAD:
        is_newer = (present or "") > HEAD
        remedy = "a newer version has upgraded it: install that here" if is_newer else "run: svops db upgrade"
        raise ConfigurationProblem(
            f"SVOps' database is at revision {present or '(empty)'}, this version needs {HEAD}; {remedy}"
        )


class Guard:
    """Looks at the schema of a database until it has been found right once."""

    def __init__(self) -> None:
        self._right = False

    def __call__(self, connection: Connection) -> None:
        """See :func:`require_head`."""
        if not self._right:
            require_head(connection)
            self._right = True
