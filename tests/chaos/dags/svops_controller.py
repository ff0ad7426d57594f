"""An Airflow DAG: the controller as it is, or without callbacks where the environment says they are lost."""

import os

from svops_plugin.orchestration.controller import controller_dag

dag = controller_dag()
if os.environ.get("CHAOS_CALLBACKS") == "lost":
    dag.on_failure_callback = None
    dag.has_on_failure_callback = False
    for task in dag.tasks:
        task.on_failure_callback = []
