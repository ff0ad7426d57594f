"""A typed view of the ``[svops]`` section of Airflow's configuration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from airflow.providers.common.compat.sdk import conf

from svops_plugin.domain.errors import ConfigurationProblem

SECTION = "svops"
DEFAULT_TIMEOUT = str(7 * 24 * 60 * 60)
FLAGS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}  # as Airflow reads them
DEFAULT_CHAIN = "data_processing_pipeline,ml_training_pipeline,simple_workflow_example"


@dataclass(frozen=True)
class Settings:
    """Every setting of SVOps, but for ``cors_origins``, which is read with Airflow's own.

    :param chain: the DAGs that executing a task runs, in order
    :param database_conn_id: the Airflow connection to SVOps' own PostgreSQL database
    :param sql_alchemy_conn: a SQLite URL, in place of the connection, on one machine
    :param data_roots: folders, or URLs of object stores, below which datasets are read
    :param output_roots: folders, or URLs of object stores, below which outputs are written
    :param preset_dirs: folders with further build-config presets
    :param max_active_executions: how many chains run at once; the rest queue in Airflow
    :param execution_timeout: how long a chain may take before it is ended as failed; in seconds in the file
    :param event_retention_days: how long events can be replayed and deliveries be looked at; for ever if 0
    :param execution_retention_days: how long executions and runs are kept, with their metrics and files, but
        for a task's newest execution, which stays; for ever if 0
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
    execution_retention_days: float
    idempotency_retention_days: float
    allow_registration: bool
    writes_per_minute: int
    notification_private_targets: tuple[str, ...]


def load() -> Settings:
    """Read the settings from the environment (``AIRFLOW__SVOPS__…``), ``airflow.cfg`` or the defaults.

    :raises ConfigurationProblem: naming the setting that cannot be what it is
    """

    def text(key: str, default: str = "") -> str:
        return str(conf.get(SECTION, key, fallback=default)).strip()

    def items(key: str, default: str = "") -> tuple[str, ...]:
        return tuple(item.strip() for item in text(key, default).split(",") if item.strip())

    def number(key: str, default: str, least: float = 0) -> float:
        try:
            found = float(text(key, default))
        except ValueError:
            found = math.nan
        if not least <= found < math.inf:
            raise ConfigurationProblem(f"[svops] {key} has to be {least} or more, not {text(key)!r}.")
        return found

    def flag(key: str) -> bool:
        found = FLAGS.get(text(key, "False").lower().partition("#")[0].strip())
        if found is None:
            raise ConfigurationProblem(f"[svops] {key} has to be True or False, not {text(key)!r}.")
        return found

    return Settings(
        chain=items("chain", DEFAULT_CHAIN),
        database_conn_id=text("database_conn_id", "svops_db"),
        sql_alchemy_conn=text("sql_alchemy_conn"),
        data_roots=items("data_roots"),
        output_roots=items("output_roots"),
        preset_dirs=tuple(Path(item) for item in items("preset_dirs")),
        max_active_executions=int(number("max_active_executions", "200", 1)),
        execution_timeout=timedelta(seconds=number("execution_timeout", DEFAULT_TIMEOUT, 1)),
        event_retention_days=number("event_retention_days", "30"),
        execution_retention_days=number("execution_retention_days", "0"),
        idempotency_retention_days=number("idempotency_retention_days", "7"),
        allow_registration=flag("allow_registration"),
        writes_per_minute=int(number("writes_per_minute", "1200", 1)),
        notification_private_targets=items("notification_private_targets"),
    )
