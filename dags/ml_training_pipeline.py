"""Train, cross-validate and evaluate a model. An Airflow DAG."""

from svops_plugin.orchestration.pipeline import pipeline_dag

dag = pipeline_dag("ml_training_pipeline", "Train, cross-validate and evaluate a model")
