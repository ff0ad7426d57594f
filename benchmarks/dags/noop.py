"""The pipelines that all chains run: each is one task that does nothing."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator


def do_nothing() -> None:
    """Take no time."""


for position in (1, 2, 3):
    with DAG(
        f"noop_{position}",
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        max_active_runs=200,
    ) as dag:
        PythonOperator(task_id="nothing", python_callable=do_nothing)
