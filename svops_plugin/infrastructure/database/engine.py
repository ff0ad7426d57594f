"""The engine of SVOps' own database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.pool import NullPool

from svops_plugin.domain.errors import ConfigurationProblem


def make_engine(url: str | URL, *, pooled: bool, address: Callable[[], URL] | None = None) -> Engine:
    """Return an engine on PostgreSQL or SQLite.

    :param pooled: keep connections between transactions, unlike task processes, which are many and short
    :param address: looks up where to connect to each time; an engine may outlive a password, and is
        inherited by processes that are forked from the one that made it
    :raises ConfigurationProblem: for any other database
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() != "postgresql":
        raise ConfigurationProblem(
            f"SVOps keeps its data in PostgreSQL (or SQLite, on one machine); {parsed.drivername} is neither."
        )
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_size": 10} if pooled else {"poolclass": NullPool}
    options["json_deserializer"] = msgspec.json.decode  # lists have many small objects
    engine = create_engine(parsed, future=True, connect_args={"connect_timeout": 10}, **options)
    if address is not None:

        @event.listens_for(engine, "do_connect")
        def connect(dialect: Any, _record: Any, _arguments: Any, parameters: dict[str, Any]) -> None:
            parameters.update(dialect.create_connect_args(address())[1])

    return engine


def _sqlite(url: URL) -> Engine:
    """Return an engine whose transactions take the write lock at once, so that none fails half-way."""
    engine = create_engine(url, future=True, poolclass=NullPool, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
