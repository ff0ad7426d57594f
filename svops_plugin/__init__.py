"""SVOps: chains of ML data pipelines for Apache Airflow."""

__version__ = "0.1.0"
