"""With this folder on ``PYTHONPATH``, Airflow does not find the plugin: its distribution is not there."""

import importlib.metadata

import importlib_metadata  # which Airflow asks before Python 3.12


def hide(module):
    """Leave the plugin out of what a module finds; by its path, for reading names would cost time."""
    everything = module.distributions

    def all_but_svops(**context):
        return (one for one in everything(**context) if not one._path.name.startswith("svops_plugin"))

    module.distributions = all_but_svops


hide(importlib.metadata)
hide(importlib_metadata)
