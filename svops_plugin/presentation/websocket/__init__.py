"""Live events over WebSocket: one protocol, and a host for it per Airflow."""
