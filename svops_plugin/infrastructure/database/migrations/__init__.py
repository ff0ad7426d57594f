"""The schema's history (Alembic) and the functions that move a database along it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.database.unit_of_work import raise_refusal

VERSION_TABLE = "svops_alembic_version"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def head() -> str:
    """Return the revision that this version of SVOps needs."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def current(engine: Engine) -> str | None:
    """Return the revision that the database is at; none for an empty one."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the database to a revision."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take the database back to a revision; ``base`` empties it."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def require_head(engine: Engine) -> None:
    """Refuse to work on another schema than this version's.

    :raises ConfigurationProblem: with the command that mends it
    :raises Unavailable: if the database does not answer
    """
    try:
        present, needed = current(engine), head()
    except DBAPIError as failure:
        raise_refusal(failure)
        raise
    if present != needed:
        raise ConfigurationProblem(
            f"SVOps' database is at revision {present or '(empty)'}, this version needs {needed}; "
            "run: svops db upgrade"
        )
