"""Loads what SVOps' tasks need into the process that they are forked from."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from airflow.listeners import hookimpl

NEEDED = (
    "airflow.providers.postgres.hooks.postgres",
    "svops_plugin.orchestration.controller",
    "svops_plugin.orchestration.pipeline",
)


@hookimpl
def on_starting(component: Any) -> None:
    """Import once, in the scheduler, triggerer or DAG processor, what every task would import for itself.

    The scheduler's LocalExecutor forks its tasks; of the 300 ms of processor time that a task of SVOps took
    to its first query, four fifths were imports. No connection is opened and no thread started, so that
    forking stays safe. A task's own process is not a job.
    """
    from airflow.jobs.job import Job
    from sqlalchemy.orm import configure_mappers

    if isinstance(component, Job):
        for module in NEEDED:
            import_module(module)
        configure_mappers()
