"""How Airflow is, as a task sees it: on 3.3 it may not look into the metadata database, and asks a server."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf

from svops_plugin.application.airflow_ports import DagProblem, Hindrance
from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.airflow import condition, host, host_name

if TYPE_CHECKING:
    from httpx import Response

AIRFLOW_HEALTH = "/api/v2/monitor/health"
SVOPS_HEALTH = "/svops/api/v1/health"
EXECUTION = "/execution"  # below a server's address, what workers are told to ask it at
HEALTHY = "healthy"
DEFAULT = "http://localhost:8080"  # where Airflow, too, looks for a server that no setting tells of
TIMEOUT = 10.0


def alive(process: str) -> str:
    """Check that a process of Airflow's runs; see :func:`condition.alive`.

    :raises ConfigurationProblem: if none does
    """
    if host_name() == "airflow2":
        return condition.alive(process)
    answer = _ask(AIRFLOW_HEALTH)
    if isinstance(answer, str):
        return answer
    told = _json(answer)
    if answer.status_code != HTTPStatus.OK or told is None:
        return _unseen(answer)
    if told["metadatabase"]["status"] != HEALTHY:
        raise ConfigurationProblem(
            "Airflow's metadata database does not answer its server; see that one's log."
        )
    name = process.replace("-", "_")
    if told[name]["status"] != HEALTHY:
        seen = told[name][f"latest_{name}_heartbeat"]
        raise ConfigurationProblem(condition.gone(process, datetime.fromisoformat(seen) if seen else None))
    return "alive"


def dags(task_instance: Any, dag_ids: Iterable[str]) -> str:
    """Check that Airflow knows DAGs and that they are unpaused.

    :param task_instance: of the task that asks
    :raises ConfigurationProblem: naming those that are not
    """
    wanted = list(dag_ids)
    if host_name() == "airflow2":
        return condition.dags(wanted)
    problems = [DagProblem(one, hindrance) for one in wanted if (hindrance := _hindrance(task_instance, one))]
    if problems:
        raise ConfigurationProblem(" ".join(map(str, problems)))
    return f"{', '.join(wanted)} are known and unpaused"


def server() -> str:
    """Check that the server that workers know has SVOps, and that it is healthy there.

    :raises ConfigurationProblem: if not, with what the server says
    """
    answer = _ask(SVOPS_HEALTH)
    if isinstance(answer, str):
        return answer
    told = _json(answer) or {}
    if told.get("status") == HEALTHY:
        return f"SVOps {told['version']} is healthy at {answer.url.host}"
    if "detail" in told and "version" in told:
        raise ConfigurationProblem(f"{answer.url} says: {told['detail']}")
    if answer.status_code == (HTTPStatus.OK if host().HAS_API_SERVER else HTTPStatus.NOT_FOUND):
        raise ConfigurationProblem(  # 3.3 answers what it does not know with its UI's first page
            f"{answer.url} is not SVOps; install svops-plugin where the server is, and restart that."
        )
    if answer.is_server_error:
        raise ConfigurationProblem(f"{answer.url} answers {answer.status_code}; see the server's log.")
    return _unseen(answer)


def _ask(path: str) -> Response | str:
    """Return what a server answers; or, where none can be asked, that nothing was looked at."""
    import httpx  # which a task that asks nothing does without

    url = str(conf.get("core", "execution_api_server_url", fallback="") or "").rstrip("/")
    url = url.removesuffix(EXECUTION) or host().base_url()
    url = (url if url.startswith("http") else DEFAULT + url) + path
    try:
        return httpx.get(url, timeout=TIMEOUT, verify=_trusted())
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        return f"not looked at, for {url} cannot be asked from here: {error or type(error).__name__}"


def _trusted() -> ssl.SSLContext:
    """Return whose certificates are believed: the system's, and what Airflow 3 has its tasks believe."""
    context = ssl.create_default_context(cafile=conf.get("api", "ssl_ca_file", fallback="") or None)
    if certificate := conf.get("api", "ssl_cert", fallback=""):
        context.load_verify_locations(certificate)
    return context


def _json(answer: Response) -> dict[str, Any] | None:
    """Return the object that was answered; none if it is anything else."""
    try:
        told = answer.json()
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _unseen(answer: Response) -> str:
    return f"not looked at, for {answer.url} answers {answer.status_code}"


def _hindrance(task_instance: Any, dag_id: str) -> Hindrance | None:
    from airflow.sdk.api.client import ServerResponseError
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        return Hindrance.PAUSED if task_instance.get_dag(dag_id).is_paused else None
    except AirflowRuntimeError as refusal:
        if (refusal.error.detail or {}).get("status_code") != HTTPStatus.NOT_FOUND:
            raise
    except ServerResponseError as refusal:  # in `airflow dags test`, where the task is its own supervisor
        if refusal.response.status_code != HTTPStatus.NOT_FOUND:
            raise
    return Hindrance.MISSING
