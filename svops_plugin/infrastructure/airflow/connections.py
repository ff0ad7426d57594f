"""Where SVOps' own commands find Airflow's connections. Imports no Airflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from svops_plugin.infrastructure.airflow import host_name

CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"


@contextmanager
def stored_connections() -> Iterator[None]:
    """Let hooks find the connections that are stored in Airflow's metadata database, too.

    Airflow 3's look there only in a process that says it is a server, as ``airflow connections get`` says of
    itself; 2.11's always do. Processes that are started meanwhile would say the same of themselves.

    :raises ConfigurationProblem: for an Airflow that SVOps does not run on
    """
    if host_name() == "airflow2":
        yield
        return
    before = os.environ.get(CONTEXT)
    os.environ[CONTEXT] = "server"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CONTEXT]
        else:
            os.environ[CONTEXT] = before
