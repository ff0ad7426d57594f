"""The frame around a pipeline: a DAG whose tasks are its steps, run for the execution that the conf names."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, chain
from airflow.providers.standard.operators.python import PythonOperator

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import Execution
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.failures import failure
from svops_plugin.pipelines import tracking
from svops_plugin.pipelines.errors import PipelineError
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.steps import STEPS, run_step
from svops_plugin.settings import load


def pipeline_dag(dag_id: str, description: str) -> DAG:
    """Build the DAG of one of SVOps' pipelines; its tasks are the pipeline's steps, one after the other."""
    with DAG(
        dag_id,
        description=description,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        is_paused_upon_creation=False,
        max_active_runs=load().max_active_executions,
        tags=["svops"],
        default_args={
            "owner": "svops",
            "retries": 1,
            "retry_delay": timedelta(seconds=5),
            "on_failure_callback": record_cause,
        },
    ) as dag:
        chain(
            *(
                PythonOperator(task_id=step, python_callable=run_pipeline_step, op_kwargs={"step": step})
                for step in STEPS[dag_id]
            )
        )
    return dag


def run_pipeline_step(step: str, **context: Any) -> dict[str, Any]:
    """Run one step for the execution that the DAG run's conf names, and return the step's summary.

    :raises AirflowFailException: where trying again would not help
    """
    run = context["dag_run"]
    try:
        tracker = services().tracker(run.conf or {})
        execution = tracker.begin()
        pipeline_run = PipelineRun.from_snapshot(snapshot(execution), services().settings.preset_dirs)
        with tracking.use(tracker):
            return run_step(run.dag_id, step, pipeline_run)
    except (PipelineError, Conflict, InvalidInput, NotFound) as refusal:
        raise AirflowFailException(str(refusal)) from refusal


def snapshot(execution: Execution) -> dict[str, Any]:
    """Return an execution as the JSON values that a pipeline is told."""
    task = execution.task_snapshot
    return {
        "execution_id": execution.id,
        "task_id": execution.task_id,
        "attempt": execution.attempt,
        "task_name": task["name"],
        "customer": task["customer"],
        "configuration": task,
        "dataset": execution.dataset_snapshot,
        "output": execution.output_path,
        "video_output": task["video_out_path"],
        "parameters": execution.parameters,
        "note": execution.note,
    }


def record_cause(context: Any) -> None:
    """Keep what went wrong, where a task of the chain failed: the callback for tasks of pipelines."""
    ti, run = context["task_instance"], context["dag_run"]
    exception = context.get("exception")
    services().tracker(run.conf or {}).cause(
        failure(
            run.dag_id,
            str(exception) or type(exception).__name__,
            task_id=ti.task_id,
            log_url=getattr(ti, "log_url", None),
        )
    )
