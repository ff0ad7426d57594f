"""The only place that asks which Airflow this is."""

from __future__ import annotations

from types import ModuleType

from airflow import __version__ as airflow_version
from packaging.version import Version

from svops_plugin.domain.errors import ConfigurationProblem


def host() -> ModuleType:
    """Return the module that knows this Airflow.

    :raises ConfigurationProblem: for an Airflow that SVOps does not run on
    """
    if Version(airflow_version) >= Version("3.3"):
        from svops_plugin.infrastructure.airflow import airflow3

        return airflow3
    raise ConfigurationProblem(f"SVOps runs on Airflow 3.3 or later; this is {airflow_version}.")
