"""Loads what SVOps' tasks need into the process that they are forked from."""

from __future__ import annotations

import logging
import sys
from functools import cache
from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)

NEEDED = (
    "airflow.providers.postgres.hooks.postgres",
    "svops_plugin.orchestration.controller",
    "svops_plugin.orchestration.pipeline",
)


SERVICES = frozenset({"scheduler", "triggerer", "dag-processor"})  # the commands that tasks are forked under


@hookimpl
def on_starting(component: Any) -> None:
    """Prepare the process of a service of Airflow's.

    Its command tells which it is: on 2.11 every task makes a job, too, and no job knows its type yet. On 3.3
    tasks say that they start as well, but make no job.
    """
    if type(component).__name__ == "Job" and not SERVICES.isdisjoint(sys.argv[1:2]):
        _prepare()


@cache
def _prepare() -> None:
    """Do once, in the scheduler, triggerer or DAG processor, what every task would do for itself.

    The scheduler's LocalExecutor forks its tasks; of the 300 ms of processor time that a task of SVOps took
    to its first query, four fifths were imports, and of the 50 ms after that half was the compilation of
    statements. No connection stays open and no thread is started, so that forking stays safe. Whatever fails
    here, the service starts.
    """
    from svops_plugin.domain.errors import SVOpsError

    try:
        for module in NEEDED:
            import_module(module)
        from sqlalchemy.orm import configure_mappers

        from svops_plugin.bootstrap import services

        configure_mappers()
        services().rehearse()
    except SVOpsError as refusal:
        log.info("Each task compiles its statements for itself: %s", refusal)
    except Exception:
        log.exception("Each task compiles its statements for itself.")
