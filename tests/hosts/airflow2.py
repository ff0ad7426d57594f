"""Airflow 2.11: a WSGI application behind a real server, with a thread for each request."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from flask import Flask
from sqlalchemy import PickleType

from svops_plugin.infrastructure.airflow import host

if TYPE_CHECKING:
    from svops_plugin.presentation.websocket.flask_sock import Sockets

ROOTS = ("/svops/api/v1",)
AFTER_LOGOUT = 200  # an access token cannot be taken back here
SERVER = "webserver"
SOCKETS = ("flask_sock",)  # what serves them
AIRFLOW = "2.11"
PAGES = "/svops"  # where the pages stand
BAR = True  # whether they have Airflow's own bar
RUN_PAGE = "/dags/{dag_id}/grid?dag_run_id="
A_RUN_NOW: dict[str, Any] = {}  # what a request for a new DAG run has to say
BY_HAND = "airflow"  # who has triggered a run by hand, as far as this Airflow tells
NEVER_RAN = "upstream_failed"  # the state of the tasks that a stop kept from running
# That of the lock's day shows tokens that it means to leave out, and believes that a refused DELETE deletes.
OLD_SCHEMATHESIS = True
OTEL_TIMER = ("gauge", 1)  # how a timer is told, and how many of its units are a second
MARKS = 5  # how often a run is marked failed by hand, at the most, until it has (ADR 10)
DAG_RUN_TYPES: dict[str, Any] = {"conf": PickleType}  # of columns, where SQL alone does not tell
COPIED_RUN = {"execution_date": "clock_timestamp()"}  # what a copy of a DAG run has beside the rest
# What keeps new runs of a DAG from being made.
MAY_BEGIN = """
    CREATE FUNCTION may_begin() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(hashtext(NEW.dag_id));
        RETURN NEW;
    END $$
"""
PREPARE_TO_HOLD = (
    MAY_BEGIN,
    "CREATE TRIGGER may_begin BEFORE INSERT ON dag_run FOR EACH ROW EXECUTE FUNCTION may_begin()",
)
HOLD_NEW_RUNS = "SELECT pg_advisory_xact_lock(hashtext(:of))"
# What lets Airflow notice within seconds that a task's process is gone.
SOONER = {
    "AIRFLOW__SCHEDULER__SCHEDULER_ZOMBIE_TASK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ZOMBIE_DETECTION_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__LOCAL_TASK_JOB_HEARTBEAT_SEC": "2",
}


def environment() -> dict[str, str]:
    """Return what this Airflow's server needs to have set."""
    return {"AIRFLOW__WEBSERVER__SECRET_KEY": secrets.token_urlsafe(48)}


def create_app() -> Any:
    from airflow.www.app import cached_app

    return cached_app()


@contextmanager
def flask_app(sockets: Sockets) -> Iterator[Flask]:  # noqa: ARG001
    """Return the webserver's application, which has these sockets."""
    yield create_app()


class Redirected(httpx.HTTPTransport):
    """Asks a server of this machine, whatever the address."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url.copy_with(scheme="http", host="127.0.0.1", port=self._port)
        return super().handle_request(
            httpx.Request(request.method, url, headers=request.headers, stream=request.stream)
        )


@cache
def _serve(app: Any, below: str) -> int:
    """Serve an application until the tests end, and return the port."""
    from werkzeug.exceptions import NotFound
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import make_server

    mounted = DispatcherMiddleware(NotFound(), {below: app}) if below else app
    server = make_server("127.0.0.1", 0, mounted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def client(app: Any, base_url: str, headers: dict[str, str], below: str = "") -> httpx.Client:
    """Return a client of the server, which lives below a path where [webserver] base_url has one."""
    transport = Redirected(_serve(app, below))
    return httpx.Client(base_url=base_url, headers=headers, transport=transport, timeout=60)


def airflow_api(url: str, token: str, password: str) -> httpx.Client:  # noqa: ARG001
    """Return a client of Airflow's own API, for the administrator."""
    return httpx.Client(base_url=f"{url}/api/v1", auth=("admin", password), timeout=120, trust_env=False)


def users() -> Any:
    """Return Flask-AppBuilder's security manager."""
    from airflow.www.extensions.init_auth_manager import get_auth_manager

    manager: Any = get_auth_manager()
    return manager.security_manager


@contextmanager
def user_keeping() -> Iterator[Any]:
    """Give a security manager that can add users: the server's, for making another would replace it."""
    yield users()


def forget_users() -> None:
    """Do what the end of each request does in the server."""
    users().get_session.remove()


def token(username: str, seconds: int = 600) -> str:
    """Return an access token that is good for so long."""
    airflow = host()
    accounts = airflow.Accounts()
    account = accounts.by_claims({"sub": str(users().find_user(username).id)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(airflow, "TOKEN_SECONDS", seconds)
        made: str = accounts.access_token(account)[0]
    forget_users()
    return made


def sign_in(client: httpx.Client, username: str) -> None:
    """Give a client the session of somebody who has signed in at Airflow's own page."""
    client.cookies.set("session", _session(client, username))


_sessions: dict[str, str] = {}  # the page takes five passwords in forty seconds


def _session(client: httpx.Client, username: str) -> str:
    from tests.server import BASE, PASSWORD

    if username in _sessions:
        return _sessions[username]
    page = client.get(f"{BASE}/login/")
    csrf_token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)
    assert csrf_token, page.text
    form = {"username": username, "password": PASSWORD, "csrf_token": csrf_token[1]}
    answer = client.post(f"{BASE}/login/", data=form)
    assert not answer.headers["location"].endswith("/login/"), answer.text
    _sessions[username] = client.cookies["session"]
    client.cookies.clear()
    return _sessions[username]


def dag(dag_id: str) -> Any:
    """Return a DAG as Airflow keeps it."""
    from airflow.models.serialized_dag import SerializedDagModel

    return SerializedDagModel.get_dag(dag_id)


def add_dags(folder: Path) -> None:
    """Let Airflow have the DAGs of a folder besides its own."""
    from airflow.models.dagbag import DagBag

    bag = DagBag(folder, include_examples=False)
    assert bag.import_errors == {}
    bag.sync_to_db()


def all_tell_of_failure(dag_id: str) -> bool:
    """Tell whether every task of a DAG has a callback for its failure, which only the DAG's file knows."""
    from airflow.models.dagbag import DagBag

    return all(task.on_failure_callback for task in DagBag().dags[dag_id].tasks)


def fail_run(dag_id: str, run_id: str, reason: str) -> Callable[[], None]:
    """Fail a DAG run as the scheduler does, and return what the DAG processor does then, maybe much later."""
    from airflow.models.dag import DAG
    from airflow.models.dagbag import DagBag
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    files: Any = DagBag()
    airflow_dag: Any = DAG
    with create_session() as session:
        session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one().set_state(DagRunState.FAILED)

    def tell() -> None:
        with create_session() as session:
            callbacks, context = airflow_dag.fetch_callback(
                files.dags[dag_id], run_id, success=False, reason=reason, session=session
            )
            airflow_dag.execute_callback(callbacks, context, dag_id)

    return tell


def csrf_token(client: httpx.Client) -> str:
    """Return the CSRF token of a page of Airflow's."""
    from tests.server import BASE

    page = client.get(f"{BASE}/home", follow_redirects=True)
    found = re.search(r"""csrf_?token\W[^>]*?["']([\w.-]{40,})["']""", page.text, re.IGNORECASE)
    assert found, page.text
    return found[1]


def framed(path: str) -> str:
    """Return the address of a page of SVOps', with what Airflow puts around it."""
    return f"{PAGES}/{path}"


def desk(page: Any) -> Any:
    """Return what the desk is in."""
    return page


def open_desk(page: Any) -> Any:
    """Open the board as people do, from the menu of the page that is open; return what the desk is in."""
    page.get_by_role("link", name="SVOps", exact=True).hover()
    page.get_by_role("link", name="Board", exact=True).click()
    return desk(page)


def sign_out(page: Any) -> None:
    """Sign out as people do."""
    page.locator(".navbar-user-icon").hover()
    page.get_by_role("button", name="Log Out").click()


def choose_korean(page: Any) -> None:
    """Choose Korean as people do."""
    page.get_by_role("button", name="한국어").click()


def begin_metrics() -> None:
    """Do nothing: this Airflow reads its settings of metrics when the first one is told."""
