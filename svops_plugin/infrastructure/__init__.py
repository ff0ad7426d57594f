"""What the ports are in reality: the database, Airflow, files."""
