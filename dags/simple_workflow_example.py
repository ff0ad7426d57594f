"""Write the report and register the result. An Airflow DAG."""

from svops_plugin.orchestration.pipeline import pipeline_dag

dag = pipeline_dag("simple_workflow_example", "Write the report and register the result")
