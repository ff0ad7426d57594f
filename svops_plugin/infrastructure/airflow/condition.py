"""How the Airflow is that SVOps runs in: its processes, DAG files, keys and roles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime

from airflow.providers.common.compat.sdk import conf
from sqlalchemy import select

from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.airflow import host
from svops_plugin.infrastructure.airflow.common import metadata_session

JOBS = {"scheduler": "SchedulerJob", "triggerer": "TriggererJob", "dag-processor": "DagProcessorJob"}
MOST_ERRORS = 5
DIGITS = 12


def alive(process: str) -> str:
    """Check that a process of Airflow's runs: as its own health check sees it.

    :raises ConfigurationProblem: if none does
    """
    from airflow.jobs.job import most_recent_job

    if process == "dag-processor" and not host().has_dag_processor():
        return "the scheduler parses the DAG files"
    with metadata_session() as session:
        job = most_recent_job(JOBS[process], session=session)
        if job is None or not job.is_alive():
            raise ConfigurationProblem(gone(process, job.latest_heartbeat if job else None))
        return f"alive on {job.hostname}"


def gone(process: str, seen: datetime | None) -> str:
    """Return what to do about a process that was last seen then, or never."""
    sign = f"the last sign of one is of {seen:%Y-%m-%d %H:%M:%S}" if seen else "none ever ran"
    return f"no {process} is alive ({sign}); start: airflow {process}"


def dags(dag_ids: Iterable[str]) -> str:
    """Check that DAGs are parsed and unpaused.

    :raises ConfigurationProblem: naming those that are not, and what could not be imported
    """
    from airflow.models.errors import ParseImportError

    wanted = list(dag_ids)
    problems = [str(one) for one in host().DagRuns().problems(wanted)]
    if not problems:
        return f"{', '.join(wanted)} are parsed and unpaused"
    with metadata_session() as session:
        query = select(ParseImportError.filename, ParseImportError.stacktrace)
        found = session.execute(query.order_by(ParseImportError.id.desc()).limit(MOST_ERRORS)).all()
    problems += [
        f"{name} cannot be imported: {(trace or '?').strip().splitlines()[-1]}" for name, trace in found
    ]
    raise ConfigurationProblem(" ".join(problems))


def plugin() -> str:
    """Check that Airflow has loaded SVOps' plugin.

    :raises ConfigurationProblem: with Airflow's reason, if not
    """
    from airflow import plugins_manager

    loaded = {info["name"] for info in plugins_manager.get_plugin_info(["name"])}
    found = host().plugin_errors().items()  # found twice on the path of modules, it is loaded all the same
    errors = {name: why for name, why in found if "svops" in name and "already registered" not in why}
    if "svops" in loaded and not errors:
        return "loaded"
    reason = "; ".join(errors.values()) or "install svops-plugin where Airflow is installed"
    raise ConfigurationProblem(f"Airflow has not loaded the plugin: {reason}")


def server() -> str:
    """Check what the server needs to be started with.

    :raises ConfigurationProblem: saying what to set
    """
    advice: str | None = host().server_advice()
    if advice is not None:
        raise ConfigurationProblem(advice)
    return "set up for live events"


def worked_on(dag_id: str, run_id: str) -> str:
    """Return the hosts that the tasks of a DAG run were worked on by."""
    from airflow.models.taskinstance import TaskInstance

    query = select(TaskInstance.hostname).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    with metadata_session() as session:
        return ", ".join(sorted({name for name in session.scalars(query) if name})) or "a worker"


def key_digests() -> dict[str, str]:
    """Return a digest of each key that all machines of an Airflow share; none of one that is not set."""
    digests = {}
    for section, key in host().SHARED_KEYS:
        value = str(conf.get(section, key, fallback="") or "")
        digest = hashlib.sha256(f"svops {section} {key} {value}".encode()).hexdigest()[:DIGITS]
        digests[f"[{section}] {key}"] = digest if value else ""
    return digests


def keys(elsewhere: Mapping[str, str]) -> str:
    """Check that the keys are here what they are elsewhere.

    :raises ConfigurationProblem: naming those that are not
    """
    here = key_digests()
    if not elsewhere:
        return "not compared; svops doctor --worker does that"
    other = sorted(name for name, digest in here.items() if not digest or elsewhere.get(name) != digest)
    if other:
        raise ConfigurationProblem(
            f"{', '.join(other)}: not set, or not what it is where svops doctor ran; set the same everywhere."
        )
    return f"{', '.join(sorted(here))} are the same as where svops doctor ran"
