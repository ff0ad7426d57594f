"""What tests share of what runs inside Airflow: its chain, and a task that this process's services keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from svops_plugin.bootstrap import Services
from svops_plugin.domain.entities import DataType
from svops_plugin.domain.permissions import OPERATOR
from tests.conftest import OUTPUT

FIRST, SECOND, THIRD = CHAIN = ("data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example")


def new_task(svops: Services, folder: Path, **values: Any) -> int:
    """Keep a task on the data in a folder."""
    dataset = {"name": folder.name, "path": str(folder), "data_type": DataType.VECTOR}
    dataset_id = svops.datasets.create(OPERATOR, dataset).id
    task = {"name": "t", "customer": "c", "log_out_path": str(OUTPUT), "dataset_id": dataset_id}
    return svops.tasks.create(OPERATOR, {**task, **values}).id


def states(svops: Services, task_id: int) -> tuple[str, list[str]]:
    """Return the states of a task and of its newest execution's runs."""
    standing = svops.executions.standing(OPERATOR, task_id)
    return str(standing.task.status), [str(run.status) for run in standing.runs]
