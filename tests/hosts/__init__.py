"""What the tests have to know of the Airflow that they run on: a module for each, with the same names.

Airflow is imported inside functions only: the environment that it reads is not set yet.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from svops_plugin.infrastructure.airflow import host_name


def hosting() -> ModuleType:
    """Return the module for the Airflow that is installed."""
    return import_module(f"{__name__}.{host_name()}")
