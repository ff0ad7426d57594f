"""One deployment for the suite."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.distributed.native import Deployment, deployed


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """The services of docker-compose.yml with two API servers and two workers; logs of failures are kept.

    Its folder is not below pytest's, which another run of pytest may close to PostgreSQL's user meanwhile.
    """
    with (
        tempfile.TemporaryDirectory(prefix="svops-distributed-") as name,
        deployed(Path(name).resolve(), AIRFLOW_WORKER_CONCURRENCY="4") as deployment,
    ):
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of each look at how chains stand
        yield deployment
        if request.session.testsfailed:
            logs = Path(tempfile.mkdtemp(prefix="svops-distributed-logs-"))
            for kept in ("logs", "airflow/logs"):
                shutil.copytree(Path(name, kept), logs / kept, dirs_exist_ok=True)
