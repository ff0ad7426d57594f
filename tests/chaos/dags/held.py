"""The DAGs of the chain. Each has one task, which notes that it has begun and waits until it is let go.

The first and the third tell SVOps that they have begun, as SVOps' own pipelines do. The second knows nothing
of SVOps, and does not try again, so that what kills its process fails its chain.
"""

import os
import time
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException
from airflow.providers.standard.operators.python import PythonOperator

from svops_plugin.bootstrap import services
from svops_plugin.domain.errors import Conflict
from svops_plugin.orchestration.pipeline import record_cause
from tests.chaos.gates import FOREIGN, Gates, Start

POLL = 0.1


def hold(position: int, **context: Any) -> None:
    """Wait at the gate of this DAG."""
    run, ti = context["dag_run"], context["ti"]
    start = Start.of_this_process(run.dag_id, run.run_id, ti.try_number)
    if run.dag_id != FOREIGN:
        try:
            services().tracker(run.dag_id, run.run_id).begin()
        except Conflict as refusal:
            raise AirflowFailException(str(refusal)) from refusal
    gates = Gates.from_environment()
    gates.note(start)
    while not (word := gates.word(run.conf["task_id"], position)):
        time.sleep(POLL)
    if word == "fail":
        raise AirflowFailException("told to fail")


for position in (1, 2, 3):
    dag_id = f"held_{position}"
    callbacks = os.environ.get("CHAOS_CALLBACKS") != "lost" and dag_id != FOREIGN
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        max_active_runs=200,
        default_args={
            "retries": 0 if dag_id == FOREIGN else 1,
            "retry_delay": timedelta(seconds=1),
            "on_failure_callback": record_cause if callbacks else None,
        },
    ) as dag:
        PythonOperator(task_id="hold", python_callable=hold, op_kwargs={"position": position})
