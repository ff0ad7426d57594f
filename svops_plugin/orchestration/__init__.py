"""What runs inside Airflow: the controller DAG, its steps, and the frame around pipelines."""
