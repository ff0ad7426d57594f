"""A typed view of the ``[svops]`` section of Airflow's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import conf

SECTION = "svops"
DEFAULT_TIMEOUT = str(7 * 24 * 60 * 60)
DEFAULT_CHAIN = "data_processing_pipeline,ml_training_pipeline,simple_workflow_example"


@dataclass(frozen=True)
class Settings:
    """Every setting of SVOps.

    :param chain: the DAGs that executing a task runs, in order
    :param database_conn_id: the Airflow connection to SVOps' own PostgreSQL database
    :param sql_alchemy_conn: a SQLite URL, in place of the connection, on one machine
    :param data_roots: folders, or URLs of object stores, below which datasets are read
    :param output_roots: folders, or URLs of object stores, below which outputs are written
    :param preset_dirs: folders with further build-config presets
    :param max_active_executions: how many chains run at once; the rest queue in Airflow
    :param execution_timeout: how long a chain may take before it is ended as failed; in seconds in the file
    :param event_retention_days: how long events can be replayed and deliveries be looked at; for ever if 0
    :param idempotency_retention_days: how long a request is known by its ``Idempotency-Key``; for ever if 0
    :param allow_registration: whether people may make themselves an account with the role User
    :param writes_per_minute: how often a user may write through REST, counted by each server process
    :param notification_private_targets: networks that are not public and may be notified all the same
    """

    chain: tuple[str, ...]
    database_conn_id: str
    sql_alchemy_conn: str
    data_roots: tuple[str, ...]
    output_roots: tuple[str, ...]
    preset_dirs: tuple[Path, ...]
    max_active_executions: int
    execution_timeout: timedelta
    event_retention_days: float
    idempotency_retention_days: float
    allow_registration: bool
    writes_per_minute: int
    notification_private_targets: tuple[str, ...]


def load() -> Settings:
    """Read the settings from the environment (``AIRFLOW__SVOPS__…``), ``airflow.cfg`` or the defaults."""

    def text(key: str, default: str = "") -> str:
        return str(conf.get(SECTION, key, fallback=default)).strip()

    def items(key: str, default: str = "") -> tuple[str, ...]:
        return tuple(item.strip() for item in text(key, default).split(",") if item.strip())

    return Settings(
        chain=items("chain", DEFAULT_CHAIN),
        database_conn_id=text("database_conn_id", "svops_db"),
        sql_alchemy_conn=text("sql_alchemy_conn"),
        data_roots=items("data_roots"),
        output_roots=items("output_roots"),
        preset_dirs=tuple(Path(item) for item in items("preset_dirs")),
        max_active_executions=int(text("max_active_executions", "200")),
        execution_timeout=timedelta(seconds=float(text("execution_timeout", DEFAULT_TIMEOUT))),
        event_retention_days=float(text("event_retention_days", "30")),
        idempotency_retention_days=float(text("idempotency_retention_days", "7")),
        allow_registration=conf.getboolean(SECTION, "allow_registration", fallback=False),
        writes_per_minute=max(1, int(text("writes_per_minute", "1200"))),
        notification_private_targets=items("notification_private_targets"),
    )
