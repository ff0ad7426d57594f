"""The doctor: looks whether a worker has all that SVOps needs. An Airflow DAG."""

from svops_plugin.orchestration.doctor import doctor_dag

dag = doctor_dag()
