"""The floor: the three empty tasks without any chain, one after the other in one DAG."""

from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, chain
from airflow.providers.standard.operators.python import PythonOperator


def do_nothing() -> None:
    """Take no time."""


with DAG(
    "three_tasks",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    max_active_runs=200,
) as dag:
    chain(
        *(PythonOperator(task_id=f"nothing_{position}", python_callable=do_nothing) for position in (1, 2, 3))
    )
