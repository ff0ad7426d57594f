"""Switches SVOps' monitor off, in the API server whose plugins folder this is."""

import threading

from airflow.plugins_manager import AirflowPlugin

from svops_plugin.application.monitor import Monitor


def idle(_monitor: Monitor, stop: threading.Event) -> None:
    """Do nothing until the end."""
    stop.wait()


Monitor.run = idle


class MonitorOff(AirflowPlugin):
    """Airflow loads what a plugin's module does with it."""

    name = "monitor_off"
