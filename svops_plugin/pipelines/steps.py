"""The steps of the three pipelines, by DAG: the one table that DAG files and their tasks share.

Importing it imports no pipeline, so that a DAG file is parsed quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from itertools import takewhile
from typing import Any

from svops_plugin.pipelines import state
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


def before(dag_id: str) -> tuple[str, ...]:
    """Return the pipelines that a pipeline goes on from, in order; of another DAG, none."""
    return tuple(takewhile(lambda other: other != dag_id, STEPS)) if dag_id in STEPS else ()


def run_step(dag_id: str, step: str, run: PipelineRun) -> dict[str, Any]:
    """Run one step and return its summary as JSON values; the last step's is the chain's result.

    :raises PipelineError: if the input is at fault; trying again would not help
    :raises ValueError: if there is no such step
    """
    if step not in STEPS.get(dag_id, ()):
        raise ValueError(f"{dag_id} has no step {step}; known: {dict(STEPS)}")
    if run.reused_from is not None and step == STEPS[dag_id][0]:
        state.take_over(run, run.reused_from, [left for other in before(dag_id) for left in STEPS[other]])
    function = getattr(import_module(_MODULES[dag_id]), step)
    # A worker runs many tasks side by side: one core each, and sums that do not depend on the core count.
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(limits=1):
        summary: dict[str, Any] = function(run)
    return summary
