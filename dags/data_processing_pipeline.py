"""Validate a dataset against its ground truth, profile it and split it. An Airflow DAG."""

from svops_plugin.orchestration.pipeline import pipeline_dag

dag = pipeline_dag(
    "data_processing_pipeline", "Validate a dataset against its ground truth, profile it and split it"
)
