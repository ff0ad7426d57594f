"""The same chain by TriggerDagRunOperator as it is, waiting in each of its ways."""

from datetime import datetime, timezone
from typing import Any

from airflow.providers.common.compat.sdk import DAG, chain
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

WAYS: dict[str, dict[str, Any]] = {
    "operator_default": {},
    "operator_synchronous": {"poke_interval": 1},
    "operator_deferrable": {"poke_interval": 1, "deferrable": True},
}

for dag_id, options in WAYS.items():
    with DAG(
        dag_id,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
        max_active_runs=200,
    ) as dag:
        chain(
            *(
                TriggerDagRunOperator(
                    task_id=f"step_{position}",
                    trigger_dag_id=f"noop_{position}",
                    wait_for_completion=True,
                    **options,
                )
                for position in (1, 2, 3)
            )
        )
