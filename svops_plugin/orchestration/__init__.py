"""What runs inside Airflow: the controller DAG, its steps, the frame around pipelines, and a notifier."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """Load what DAG files of others use when they ask for it; every process loads this package."""
    if name == "SVOpsNotifier":
        from svops_plugin.orchestration.notifier import SVOpsNotifier

        return SVOpsNotifier
    if name == "PipelineOperator":
        from svops_plugin.orchestration.pipeline import PipelineOperator

        return PipelineOperator
    raise AttributeError(name)
