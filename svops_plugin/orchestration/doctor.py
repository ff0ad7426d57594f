"""The doctor on a worker: a DAG whose one task makes the checks there."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param
from airflow.providers.standard.operators.python import PythonOperator

from svops_plugin.application.doctor import DAG_ID, examine
from svops_plugin.bootstrap import services

log = logging.getLogger(__name__)

DOCUMENTATION = """
Looks whether the worker that it runs on, and Airflow as far as a worker sees it, have all that SVOps needs;
what is lacking is in the log of its task.
`svops doctor --worker` triggers it, and compares the worker's keys with those of the machine it is run on.
"""


def doctor_dag() -> DAG:
    """Build the DAG."""
    with DAG(
        DAG_ID,
        description="Looks whether a worker, and Airflow as it sees it, have all that SVOps needs",
        doc_md=DOCUMENTATION,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        catchup=False,
        is_paused_upon_creation=False,
        params={"keys": Param({}, type="object", description="Digests of the keys to compare with")},
        tags=["svops"],
        default_args={"owner": "svops"},
    ) as dag:
        PythonOperator(task_id="examine", python_callable=examine_worker)
    return dag


def examine_worker(**context: Any) -> list[str]:
    """Make the checks here, and return what they came to.

    :raises AirflowFailException: if one fails, with all that do
    """
    checks = services().checks.on_a_worker(context["params"].get("keys") or {}, context["ti"])
    findings = examine(checks)
    for finding in findings:
        log.info("%s", finding)
    if failed := [f"{finding.check}: {finding.message}" for finding in findings if not finding.ok]:
        raise AirflowFailException(" ".join(failed))
    return [str(finding) for finding in findings]
