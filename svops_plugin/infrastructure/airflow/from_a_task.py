"""How Airflow is, as a task sees it: on 3.3 it may not look into the metadata database, and asks a server."""

from __future__ import annotations

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
DEFAULT = "http://localhost:8080"  # where Airflow, too, looks for a server that no setting tells of
TIMEOUT = 10.0


def alive(process: str) -> str:
    """Check that a process of Airflow's runs; see :func:`condition.alive`.

    :raises ConfigurationProblem: if none does
    """
    if host_name() == "airflow2":
        return condition.alive(process)
    answer = _ask(AIRFLOW_HEALTH, HTTPStatus.OK)
    if isinstance(answer, str):
        return answer
    name = process.replace("-", "_")
    told = answer.json()[name]
    if told["status"] != "healthy":
        seen = told[f"latest_{name}_heartbeat"]
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
    answer = _ask(SVOPS_HEALTH, HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.NOT_FOUND)
    if isinstance(answer, str):
        return answer
    if answer.status_code == HTTPStatus.NOT_FOUND:
        raise ConfigurationProblem(
            f"{answer.url} is not there; install svops-plugin where the server is, and restart that."
        )
    told = answer.json()
    if told["status"] != "healthy":
        raise ConfigurationProblem(f"{answer.url} says: {told['detail']}")
    return f"SVOps {told['version']} is healthy at {answer.url.host}"


def _ask(path: str, *expected: HTTPStatus) -> Response | str:
    """Return what a server answers; or, where it cannot be asked, that nothing was looked at."""
    import httpx  # which a task that asks nothing does without

    url = str(conf.get("core", "execution_api_server_url", fallback="") or "").rstrip("/")
    url = (url.removesuffix(EXECUTION) or host().base_url() or DEFAULT) + path
    try:
        answer = httpx.get(url, timeout=TIMEOUT)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"not looked at, for {url} cannot be asked from here: {error or type(error).__name__}"
    if answer.status_code not in expected:
        return f"not looked at, for {url} answers {answer.status_code}"
    return answer


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
