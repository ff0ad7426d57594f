"""The controller: runs the chain of DAGs for an SVOps task. An Airflow DAG."""

from svops_plugin.orchestration.controller import controller_dag

dag = controller_dag()
