"""The only place that asks which Airflow this is. Importing it imports no Airflow."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from packaging.version import Version

from svops_plugin.domain.errors import ConfigurationProblem


def host() -> ModuleType:
    """Return the module that knows this Airflow; what it promises is its ``__all__``.

    :raises ConfigurationProblem: for an Airflow that SVOps does not run on
    """
    return import_module(f"{__name__}.{host_name()}")


def host_name() -> str:
    """Return the name of that module, ``airflow2`` or ``airflow3``, without importing it.

    :raises ConfigurationProblem: for an Airflow that SVOps does not run on
    """
    installed = _installed()
    release = Version(installed).release[:2]  # so a release candidate counts as what it becomes
    if release == (2, 11):
        return "airflow2"
    if release >= (3, 3):
        return "airflow3"
    raise ConfigurationProblem(f"SVOps runs on Airflow 2.11, and on 3.3 or later; this is {installed}.")


@cache  # every request asks, and each time a file would be read
def _installed() -> str:
    try:
        return version("apache-airflow-core")  # since 3.0 what "apache-airflow" only asks for
    except PackageNotFoundError:
        return version("apache-airflow")
