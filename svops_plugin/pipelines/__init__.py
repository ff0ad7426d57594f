"""What the three pipelines compute: plain functions that know neither Airflow nor a database."""
