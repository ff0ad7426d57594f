"""One deployment for the suite."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.distributed.native import Deployment, deployed
from tests.distributed.support import STORE


@pytest.fixture(scope="session")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """The services of docker-compose.yml with two API servers and two workers; logs of failures are kept.

    Beside its volumes, datasets and outputs may be below S3 URLs, whose connection is not there yet.

    Its folder is not below pytest's, which another run of pytest may close to PostgreSQL's user meanwhile.
    """
    with (
        tempfile.TemporaryDirectory(prefix="svops-distributed-") as name,
        deployed(
            Path(name).resolve(),
            AIRFLOW_WORKER_CONCURRENCY="4",
            SVOPS_DATA_ROOTS=f"/srv/svops/data,{STORE}/data",
            SVOPS_OUTPUT_ROOTS=f"/srv/svops/output,{STORE}/output",
        ) as deployment,
    ):
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it tells of each look at how chains stand
        yield deployment
        if request.session.testsfailed:
            logs = Path(tempfile.mkdtemp(prefix="svops-distributed-logs-"))
            for kept in ("logs", "airflow/logs"):
                shutil.copytree(Path(name, kept), logs / kept, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def api(deployment: Deployment) -> Iterator[httpx.Client]:
    """The administrator, signed in at the one address, by the password that ``svops secrets`` has made."""
    with httpx.Client(base_url=f"{deployment.url}/svops/api/v1/", trust_env=False, timeout=60) as client:
        body = {"username": "admin", "password": deployment.secrets["SVOPS_ADMIN_PASSWORD"]}
        token = client.post("auth/login", json=body).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client
