"""What the tests have to know of the Airflow that they run on: a module for each, with the same names.

Airflow is imported inside functions only: the environment that it reads is not set yet.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from svops_plugin.infrastructure.airflow import host_name

# Constants that are not the same on both, and the row of the README that tells people so.
DIFFERENCES = {
    "AFTER_LOGOUT": "Access tokens",
    "BAR": "Pages",
    "BY_HAND": "DAG runs",
    "MARKS": "DAG runs",
    "NEVER_RAN": "DAG runs",
    "OTEL_TIMER": "Metrics by OpenTelemetry",
    "PAGES": "Addresses",
    "ROOTS": "Addresses",
    "RUN_PAGE": "DAG runs",
    "SERVER": "Server",
    "SOCKETS": "Server",
}
# Those that nobody but the tests meets: they say how Airflow itself is asked, held up and hurried.
OF_THE_TESTS = {
    "AIRFLOW",
    "A_RUN_NOW",
    "COPIED_RUN",
    "DAG_RUN_TYPES",
    "HOLD_NEW_RUNS",
    "MAY_BEGIN",
    "OLD_SCHEMATHESIS",
    "PREPARE_TO_HOLD",
    "SOONER",
}


def hosting() -> ModuleType:
    """Return the module for the Airflow that is installed."""
    return import_module(f"{__name__}.{host_name()}")
