"""The steps of the three pipelines, by DAG: the one table that DAG files and their tasks share.

Importing it imports no pipeline, so that a DAG file is parsed quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from svops_plugin.pipelines.run import PipelineRun

STEPS: Mapping[str, tuple[str, ...]] = {
    "data_processing_pipeline": (
        "extract_data",
        "transform_data",
        "load_data",
        "validate_pipeline",
        "generate_report",
    ),
    "ml_training_pipeline": (
        "prepare_training_data",
        "train_model",
        "evaluate_model",
        "validate_model_performance",
        "save_model_artifacts",
    ),
    "simple_workflow_example": (
        "start_workflow",
        "validate_data",
        "process_data",
        "finalize_workflow",
    ),
}

_MODULES = {
    "data_processing_pipeline": "svops_plugin.pipelines.data_processing",
    "ml_training_pipeline": "svops_plugin.pipelines.training",
    "simple_workflow_example": "svops_plugin.pipelines.reporting",
}


def run_step(dag_id: str, step: str, run: PipelineRun) -> dict[str, Any]:
    """Run one step and return its summary as JSON values; the last step's is the chain's result.

    :raises PipelineError: if the input is at fault; trying again would not help
    :raises ValueError: if there is no such step
    """
    if step not in STEPS.get(dag_id, ()):
        raise ValueError(f"{dag_id} has no step {step}; known: {dict(STEPS)}")
    function = getattr(import_module(_MODULES[dag_id]), step)
    # A worker runs many tasks side by side: one core each, and sums that do not depend on the core count.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        summary: dict[str, Any] = function(run)
    return summary
