"""Loads what SVOps' tasks need into the process that they are forked from."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl

log = logging.getLogger(__name__)

NEEDED = (
    "airflow.providers.postgres.hooks.postgres",
    "svops_plugin.orchestration.controller",
    "svops_plugin.orchestration.pipeline",
)


@hookimpl
def on_starting(component: Any) -> None:
    """Do once, in the scheduler, triggerer or DAG processor, what every task would do for itself.

    The scheduler's LocalExecutor forks its tasks; of the 300 ms of processor time that a task of SVOps took
    to its first query, four fifths were imports, and of the 50 ms after that half was the compilation of
    statements. No connection stays open and no thread is started, so that forking stays safe. A task's own
    process is not a job, or is one of a type of its own.
    """
    from airflow.jobs.job import Job
    from sqlalchemy.orm import configure_mappers

    if not isinstance(component, Job) or component.job_type == "LocalTaskJob":
        return
    for module in NEEDED:
        import_module(module)
    configure_mappers()
    from svops_plugin.bootstrap import services
    from svops_plugin.domain.errors import SVOpsError

    try:
        services().rehearse()
    except SVOpsError as refusal:
        log.info("Each task compiles its statements for itself: %s", refusal)
