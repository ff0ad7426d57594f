"""The controller DAG: one step per DAG of the chain; the first claims the task, the last completes it."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, chain

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import services
from svops_plugin.domain.failures import failure, took_too_long
from svops_plugin.orchestration.step import ChainStepOperator
from svops_plugin.settings import load

log = logging.getLogger(__name__)

DOCUMENTATION = """
Runs the chain of DAGs for one SVOps task. SVOps triggers it when a task is executed; by hand, name the task:
`airflow dags trigger svops_controller --conf '{"task_id": 1}'`. Clearing a run that has ended, or its later
steps, makes a new attempt that reuses the steps finished before; a completed run that is cleared as a whole
begins anew.
"""


def controller_dag() -> DAG:
    """Build the controller from ``[svops] chain``."""
    settings = load()
    with DAG(
        CONTROLLER,
        description="Runs the chain of DAGs for one SVOps task",
        doc_md=DOCUMENTATION,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=settings.max_active_executions,
        dagrun_timeout=settings.execution_timeout,
        params={
            "task_id": Param(type="integer", minimum=1, description="The SVOps task to execute"),
            "parameters": Param({}, type="object", description="Passed on to the pipelines"),
            "note": Param("", type="string", description="Kept with the execution"),
        },
        tags=["svops"],
        on_failure_callback=fail_run,
        default_args={
            "owner": "svops",
            "retries": 3,
            "retry_delay": timedelta(seconds=2),
            "on_failure_callback": fail_execution,
        },
    ) as dag:
        chain(
            *(
                ChainStepOperator(
                    task_id=f"{position}_{dag_id}",
                    trigger_dag_id=dag_id,
                    position=position,
                )
                for position, dag_id in enumerate(settings.chain, start=1)
            ),
        )
    return dag


def fail_execution(context: Any) -> None:
    """Set the execution that this run carries failed: the callback of every task."""
    settings = load()
    position = getattr(context.get("task"), "position", None)
    error = failure(
        settings.chain[position - 1] if position else CONTROLLER,
        str(context.get("exception") or "failed"),
        log_url=getattr(context.get("task_instance"), "log_url", None),
    )
    services().controller.fail(context["run_id"], error, position)


def fail_run(context: Any) -> None:
    """Set the execution that this run carries failed: the callback of the DAG itself.

    Its context is that of any of the run's tasks, which need not be at fault, or of none.
    """
    reason = str(context.get("reason") or "failed")
    if reason == "timed_out":
        reason = took_too_long(load().execution_timeout)
    ended_at = getattr(context.get("dag_run"), "end_date", None)
    services().controller.fail_run(context["run_id"], failure(CONTROLLER, reason), ended_at)
