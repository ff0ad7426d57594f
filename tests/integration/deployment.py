"""A deployment in which nothing is wrong, for the tests of the doctor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import utcnow
from svops_plugin.infrastructure.airflow.common import metadata_session

NOBODY = "http://127.0.0.1:9"  # the port of the discard protocol, at which nothing listens
JOBS = ("SchedulerJob", "TriggererJob", "DagProcessorJob")


@pytest.fixture
def jobs(airflow_metadata: None) -> Iterator[Callable[..., None]]:  # noqa: ARG001
    """Lets jobs of Airflow's have shown themselves so long ago."""
    from airflow.jobs.job import Job

    def write(**ages: float) -> None:
        with metadata_session() as session:
            session.execute(delete(Job))
            for kind, age in ages.items():
                job = Job(job_type=kind)
                job.state, job.hostname = "running", "host"
                job.latest_heartbeat = utcnow() - timedelta(seconds=age)
                session.add(job)

    write(**dict.fromkeys(JOBS, 0))
    yield write
    with metadata_session() as session:
        session.execute(delete(Job))


@pytest.fixture
def deployment(
    monkeypatch: pytest.MonkeyPatch,
    api_server: Any,  # noqa: ARG001
    svops_database: str,
    jobs: Callable[..., None],  # noqa: ARG001
) -> str:
    """A deployment in which nothing is wrong, of whose server no task knows; the name of its database."""
    for section in ("API", "WEBSERVER"):
        monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", NOBODY)
    monkeypatch.setenv("AIRFLOW__WEBSERVER__WORKER_CLASS", "gthread")
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--threads 128")
    monkeypatch.setenv("AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR", "True")
    services().sync_roles(None)  # type: ignore[arg-type]  # a job that does not look whether to stop
    return svops_database
