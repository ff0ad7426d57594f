"""The frame around a pipeline: a DAG whose tasks are its steps, for a task of SVOps, in a chain or alone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseOperator, chain
from airflow.providers.standard.operators.python import PythonOperator

from svops_plugin.bootstrap import location, services
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.failures import failure
from svops_plugin.pipelines import tracking
from svops_plugin.pipelines.errors import PipelineError
from svops_plugin.pipelines.files import is_local
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.steps import STEPS, run_step
from svops_plugin.settings import load

Callback = Callable[[Any], None]

# As when Airflow 3 calls back for a process that is gone.
WITHOUT_EXCEPTION = "ended without an exception: its process was killed, or somebody marked it failed"


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


class PipelineOperator(BaseOperator):
    """A task, in a DAG of anybody's, that computes something for the task of SVOps that the DAG run is for.

    What the function raises of :class:`PipelineError` fails the task without another try.

    :param pipeline: what is computed. It is given the run, whose folder is there, may report through
        :mod:`svops_plugin.pipelines.tracking`, and what it returns becomes the task's XCom
    :param on_failure_callback: called after SVOps has been told which task failed, and why
    """

    def __init__(
        self,
        *,
        pipeline: Callable[[PipelineRun], Any],
        on_failure_callback: Callback | Collection[Callback] | None = None,
        **kwargs: Any,
    ) -> None:
        given = on_failure_callback or ()
        others = [given] if callable(given) else given
        super().__init__(on_failure_callback=[record_cause, *others], **kwargs)
        self.pipeline = pipeline

    def execute(self, context: Any) -> Any:
        """Compute it, in the task's process.

        :raises AirflowFailException: where trying again would not help
        """
        with for_the_task(context) as run:
            if is_local(run.output):  # an object store has no folders
                run.output.mkdir(parents=True, exist_ok=True)
            return self.pipeline(run)


def run_pipeline_step(step: str, **context: Any) -> dict[str, Any]:
    """Run one step of SVOps' own for the task that the DAG run was started for; return the step's summary.

    :raises AirflowFailException: where trying again would not help
    """
    with for_the_task(context) as run:
        return run_step(context["dag_run"].dag_id, step, run)


@contextmanager
def for_the_task(context: Mapping[str, Any]) -> Iterator[PipelineRun]:
    """Ask SVOps what a DAG run is about, and let what is reported meanwhile go there.

    :param context: Airflow's, of a task of the run
    :raises AirflowFailException: where trying again would not help
    """
    dag_run = context["dag_run"]
    try:
        tracker = services().tracker(dag_run.dag_id, dag_run.run_id)
        run = PipelineRun.from_snapshot(tracker.begin(), services().settings.preset_dirs, location)
        with tracking.use(tracker):
            yield run
    except (PipelineError, Conflict, InvalidInput, NotFound) as refusal:
        raise AirflowFailException(str(refusal)) from refusal


def record_cause(context: Any) -> None:
    """Keep what went wrong, where a task of a pipeline failed: the callback for all of them."""
    ti, run = context["task_instance"], context["dag_run"]
    exception = context.get("exception")
    message = WITHOUT_EXCEPTION if exception is None else str(exception) or type(exception).__name__
    services().tracker(run.dag_id, run.run_id).cause(
        failure(
            run.dag_id,
            message,
            task_id=ti.task_id,
            log_url=getattr(ti, "log_url", None),
        )
    )
