"""Airflow 3.3: an ASGI application that is called in this process."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from flask import Flask

if TYPE_CHECKING:
    from svops_plugin.presentation.websocket.flask_sock import Sockets


ROOTS = ("/svops/api/v1", "/pluginsv2/svops/api/v1")
AFTER_LOGOUT = 401  # what an access token is answered then
SERVER = "api-server"
SOCKETS = ("starlette", "flask_sock")  # what serves them; the second, which Airflow 2.11 has, without Airflow
AIRFLOW = "3.3"
PAGES = "/pluginsv2/svops"  # where the pages stand
BAR = False  # whether they have Airflow's own bar
RUN_PAGE = "/dags/{dag_id}/runs/"
A_RUN_NOW = {"logical_date": None}  # what a request for a new DAG run has to say
BY_HAND = "admin"  # who has triggered a run by hand, as far as this Airflow tells
NEVER_RAN = "skipped"  # the state of the tasks that a stop kept from running
OLD_SCHEMATHESIS = False
OTEL_TIMER = ("exponential_histogram", 1000)  # how a timer is told, and how many of its units are a second
MARKS = 1  # how often a run is marked failed by hand, at the most, until it has failed
DAG_RUN_TYPES: dict[str, Any] = {}  # nothing that the driver does not read of itself
COPIED_RUN = {"run_after": "run_after"}  # what a copy of a DAG run has beside the rest
# What keeps new runs of a DAG from being made: a lock on its version, whose key they have.
PREPARE_TO_HOLD: tuple[str, ...] = ()
HOLD_NEW_RUNS = "SELECT id FROM dag_version WHERE dag_id = :of FOR UPDATE"
# What lets Airflow notice within seconds that a task's process is gone.
SOONER = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "8",
    # An API server that is gone and comes back: up to 90 s from one attempt of a task's to the next.
    "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "3",
    "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "12",
}


def environment() -> dict[str, str]:
    """Return what this Airflow's server needs to have set."""
    return {
        "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
    }


def create_app() -> Any:
    from airflow.api_fastapi.app import create_app

    return create_app()


def client(app: Any, base_url: str, headers: dict[str, str], below: str = "") -> httpx.Client:
    """Return a client of the server, which lives below a path where a proxy has put it there."""
    from starlette.testclient import TestClient

    return TestClient(app, base_url=base_url, headers=headers, root_path=below)


def airflow_api(url: str, token: str, password: str) -> httpx.Client:  # noqa: ARG001
    """Return a client of Airflow's own API, for the administrator."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{url}/api/v2", headers=headers, timeout=120, trust_env=False)


@contextmanager
def flask_app(sockets: Sockets) -> Iterator[Flask]:
    """Return an application with the blueprints that Airflow 2.11's has."""
    from svops_plugin.presentation.rest import blueprints, bridge

    served = list(bridge._served)
    app = Flask("svops")
    for blueprint in [*blueprints(), sockets.blueprint()]:
        app.register_blueprint(blueprint)
    yield app
    bridge._served[:] = served


def users() -> Any:
    """Return Flask-AppBuilder's security manager."""
    return _auth_manager().security_manager


@contextmanager
def user_keeping() -> Iterator[Any]:
    """Give a security manager that can add users; its application has the plugin, but serves nobody."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    from svops_plugin.presentation.rest import bridge

    served = list(bridge._served)
    with get_application_builder() as appbuilder:
        yield appbuilder.sm
    bridge._served[:] = served


def forget_users() -> None:
    """Do what ``[fab] cache_ttl`` does after half a minute."""
    _auth_manager().cache.clear()


def token(username: str, seconds: int = 600) -> str:
    """Return an access token that is good for so long."""
    user = users().find_user(username)
    made: str = _auth_manager().generate_jwt(user, expiration_time_in_seconds=seconds)
    return made


def sign_in(client: httpx.Client, username: str) -> None:
    """Give a client the cookie of somebody who is signed in to Airflow's pages."""
    client.cookies.set("_token", token(username))


def dag(dag_id: str) -> Any:
    """Return a DAG as Airflow keeps it."""
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.session import create_session

    with create_session() as session:
        return DBDagBag().get_latest_version_of_dag(dag_id, session=session)


def add_dags(folder: Path) -> None:
    """Let Airflow have the DAGs of a folder besides its own."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db

    bundle = "dags-folder"
    bag = DagBag(folder, bundle_path=folder, bundle_name=bundle)
    assert bag.import_errors == {}
    sync_bag_to_db(bag, bundle, None)


def all_tell_of_failure(dag_id: str) -> bool:
    """Tell whether every task of a DAG has a callback for its failure."""
    return all(task.has_on_failure_callback for task in dag(dag_id).tasks)


def fail_run(dag_id: str, run_id: str, reason: str) -> Callable[[], None]:
    """Fail a DAG run as the scheduler does, and return what the DAG processor does then, maybe much later."""
    import structlog
    from airflow.dag_processing.dagbag import DagBag
    from airflow.dag_processing.processor import _execute_dag_callbacks
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    kept = dag(dag_id)
    with create_session() as session:
        run: Any = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        run.set_state(DagRunState.FAILED)
        last = run.get_task_instances(session=session)[-1]
        request = run.produce_dag_callback(dag=kept, success=False, relevant_ti=last, reason=reason)
    files: Any = DagBag()
    return lambda: _execute_dag_callbacks(files, request, structlog.get_logger())


def _auth_manager() -> Any:
    from airflow.api_fastapi.app import get_auth_manager

    return get_auth_manager()


def csrf_token(client: httpx.Client) -> str:
    """Return the CSRF token of a page, which leaves its session in the client's cookies as the page would."""
    from flask import session
    from flask_wtf.csrf import generate_csrf

    from svops_plugin.presentation.rest.bridge import _served

    app: Any = _served[-1]
    with app.test_request_context():
        token: str = generate_csrf()
        kept = app.session_interface.get_signing_serializer(app).dumps(dict(session))
    client.cookies.set(app.config["SESSION_COOKIE_NAME"], kept)
    return token


def framed(path: str) -> str:
    """Return the address of a page of SVOps', with what Airflow puts around it."""
    return f"/plugin/svops{PAGES}/{path}"


def desk(page: Any) -> Any:
    """Return what the desk is in."""
    return page.frame_locator("iframe")


def open_desk(page: Any) -> Any:
    """Open the board as people do, from the menu of the page that is open; return what the desk is in."""
    page.get_by_role("link", name="SVOps", exact=True).click()
    return desk(page)


def sign_out(page: Any) -> None:
    """Sign out as people do."""
    page.get_by_role("button", name="User", exact=True).click()
    page.get_by_role("menuitem", name="Logout").click()
    page.get_by_role("button", name="Confirm").click()


def choose_korean(page: Any) -> None:
    """Choose Korean as people do."""
    page.get_by_role("button", name="User", exact=True).click()
    page.get_by_role("menuitem", name="Select Language").click()
    page.get_by_role("combobox").click()
    page.get_by_role("option").filter(has_text="한국어").click()


def begin_metrics() -> None:
    """Do what the API server does with its settings of metrics when it begins."""
    from airflow.api_fastapi.app import _initialize_api_server_stats

    _initialize_api_server_stats()
