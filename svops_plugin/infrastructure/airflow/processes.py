"""How each Airflow is run on one machine: its processes and their environment. Imports no Airflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from svops_plugin.infrastructure.airflow import host_name

Arguments = tuple[str, ...]


@dataclass(frozen=True)
class Address:
    """Where the server listens, and the URL at which this machine reaches it."""

    host: str
    port: int
    url: str


@dataclass(frozen=True)
class Processes:
    """The processes of an Airflow, by name, as arguments of its command.

    Two cores have the first pair ready in half the time when the others wait. All logs lie on one disk, so
    nobody need serve them to the server.

    :param server: the name of the one that has the pages and APIs
    :param defaults: variables that a machine of one's own may have otherwise
    :param variables: returns those that must be as they are, for an address and two secrets: the server's own
        key and that of access tokens
    :param fragile: those that may end by themselves, and do no harm when they are started again
    """

    server: str
    first: Mapping[str, Arguments]
    later: Mapping[str, Arguments]
    defaults: Mapping[str, str]
    variables: Callable[[Address, str, str], dict[str, str]]
    fragile: frozenset[str] = frozenset()


DEFAULTS = {
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
}
SECONDS_TO_A_NEW_DAG = "10"  # Airflow's default of five minutes seems broken to whoever waits for a first DAG
LATER: Mapping[str, Arguments] = {
    "triggerer": ("triggerer", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}


def _airflow2(address: Address, server_key: str, _token_key: str) -> dict[str, str]:
    return {
        "AIRFLOW__SCHEDULER__STANDALONE_DAG_PROCESSOR": "True",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": address.host,
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(address.port),
        "AIRFLOW__WEBSERVER__BASE_URL": address.url,
        "AIRFLOW__WEBSERVER__SECRET_KEY": server_key,
    }


def _airflow3(address: Address, server_key: str, token_key: str) -> dict[str, str]:
    return {
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address.url}/execution/",
        "AIRFLOW__API__HOST": address.host,
        "AIRFLOW__API__PORT": str(address.port),
        "AIRFLOW__API__BASE_URL": address.url,
        "AIRFLOW__API__SECRET_KEY": server_key,
        "AIRFLOW__API_AUTH__JWT_SECRET": token_key,
    }


# A live socket holds a thread of the webserver's, whose class of workers has one each unless told otherwise.
AIRFLOW2 = Processes(
    server="webserver",
    first={"webserver": ("webserver",), "scheduler": ("scheduler", "--skip-serve-logs")},
    later=LATER,
    defaults={
        **DEFAULTS,
        "AIRFLOW__API__AUTH_BACKENDS": (
            "airflow.providers.fab.auth_manager.api.auth.backend.basic_auth,airflow.api.auth.backend.session"
        ),
        "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": SECONDS_TO_A_NEW_DAG,
        "AIRFLOW__WEBSERVER__WORKERS": "1",
        "AIRFLOW__WEBSERVER__WORKER_CLASS": "gthread",
        "GUNICORN_CMD_ARGS": "--threads 128",
    },
    variables=_airflow2,
    fragile=frozenset({"dag-processor"}),  # "Tried to get the result before it's done!", see ADR 10
)
AIRFLOW3 = Processes(
    server="api-server",
    first={"api-server": ("api-server",), "scheduler": ("scheduler", "--skip-serve-logs")},
    later=LATER,
    defaults={
        **DEFAULTS,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": SECONDS_TO_A_NEW_DAG,
    },
    variables=_airflow3,
)


def processes() -> Processes:
    """Return the processes of the Airflow that is installed.

    :raises ConfigurationProblem: for an Airflow that SVOps does not run on
    """
    return AIRFLOW2 if host_name() == "airflow2" else AIRFLOW3
