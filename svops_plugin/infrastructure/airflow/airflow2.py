"""Airflow 2.11, where tasks and triggers read the metadata database like everybody else."""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred, conf
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, lazyload

from svops_plugin.application.airflow_ports import RunTaken, foreign_run
from svops_plugin.application.ports import Account
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import Conflict, NotAuthenticated, NotSupported, Unavailable
from svops_plugin.infrastructure.airflow.common import (
    MetadataReader,
    airflow_answers,
    allowed_origins,
    bearer,
    metadata_session,
    token_expiry,
)
from svops_plugin.infrastructure.airflow.fab_users import account_of

if TYPE_CHECKING:
    from flask import Blueprint, Flask, Request, Response

__all__ = [
    "HAS_API_SERVER",
    "RUN_PAGE",
    "SHARED_KEYS",
    "Accounts",
    "DagRuns",
    "allowed_origins",
    "attach",
    "base_url",
    "child_state",
    "child_state_in_task",
    "forget_users",
    "has_dag_processor",
    "login_url",
    "pages_url",
    "plugin_errors",
    "security_manager",
    "server_advice",
    "start_child",
]

HAS_API_SERVER = False
RUN_PAGE = "/dags/{dag_id}/grid?dag_run_id={run_id}"  # what is in braces is filled in, quoted
SHARED_KEYS = (("webserver", "secret_key"), ("core", "fernet_key"))
ALGORITHM, AUDIENCE = "HS256", "svops"
ATTEMPTS, PAUSE = 200, 0.05  # seconds between two, at stopping what others have locked
FEWEST_THREADS = 32  # 16 of which are for pages
THREADED = {"gthread", "sync"}  # gunicorn makes the former of the latter where it has more than one thread
TOKEN_SECONDS = 24 * 60 * 60  # as Airflow 3 has it by default


class DagRuns(MetadataReader):
    """Airflow's DAG runs, from any process."""

    gone = ("is_active", False)

    def trigger(self, dag_id: str, run_id: str, conf: Json, username: str) -> None:  # noqa: ARG002
        """Create a DAG run; see :class:`svops_plugin.application.airflow_ports.Airflow`.

        This Airflow does not keep who has triggered a run.
        """
        from airflow.api.common import trigger_dag

        create: Any = trigger_dag.trigger_dag  # its parameters are another Airflow's to mypy
        try:
            with airflow_answers():
                while True:
                    try:
                        create(dag_id=dag_id, run_id=run_id, conf=conf, replace_microseconds=False)
                    except (DagRunAlreadyExists, IntegrityError) as taken:
                        if self.run_conf(dag_id, run_id) is not None:
                            raise RunTaken(run_id) from taken
                    else:
                        return
        except DagNotFound as missing:
            raise Conflict(f"DAG {dag_id} is missing.") from missing
        except (AirflowException, ValueError) as refusal:
            raise Conflict(f"Airflow refused to run {dag_id}: {refusal}") from refusal

    def stop(self, dag_id: str, run_id: str) -> bool:
        """Fail a DAG run that has not ended; its tasks' own jobs notice at their next heartbeat.

        The scheduler locks a run before its tasks, and a task that begins does the reverse; whoever waits
        with a lock of either kind in hand may wait for ever. So this waits with none.
        """
        for _ in range(ATTEMPTS):
            with metadata_session() as session:
                done = _fail(session, dag_id, run_id)
            if done is not None:
                return done
            time.sleep(PAUSE)
        raise Unavailable(f"Airflow is busy with {dag_id} {run_id}; try again later.")

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a DAG run's page: the grid, which shows only runs up to its base date."""
        from airflow.models.dagrun import DagRun

        column: Any = DagRun.execution_date
        with metadata_session() as session:
            base = session.scalar(select(column).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        shown = {"dag_run_id": run_id, **({"base_date": base.isoformat()} if base else {})}
        return f"{base_url()}/dags/{dag_id}/grid?{urlencode(shown)}"

    def _log_url(self, page: str, task_id: str, try_number: int) -> str:  # noqa: ARG002
        return f"{page}&{urlencode({'task_id': task_id, 'tab': 'logs'})}"

    def _lines(self, messages: Any) -> Iterator[str]:
        """Return the lines of each host's part of each try."""
        for attempt in messages:
            for _host, text in attempt:
                yield from text.splitlines()

    def _params(self, dag_id: str) -> Any:
        from airflow.models.serialized_dag import SerializedDagModel

        with metadata_session() as session:
            dag: Any = SerializedDagModel.get_dag(dag_id, session=session)
        return None if dag is None else dag.params

    def _broken_params(self, dag_id: str, conf: Json) -> dict[str, str] | None:
        params = self._params(dag_id)
        if params is None:
            return None
        broken = {}
        for name in params:
            try:
                params.get_param(name).resolve(*([conf[name]] if name in conf else []))
            except AirflowException as refusal:
                broken[name] = str(refusal)
        return broken


def _fail(session: Session, dag_id: str, run_id: str) -> bool | None:
    """Fail a DAG run in one transaction; tell whether that changes it, or none if it is locked just now.

    Airflow's own ``set_dag_run_state_to_failed`` commits each task that it skips by itself, and a task that
    just begins or ends writes back the state of the run that it remembers. A scheduler that looks then calls
    a run a success whose last task is skipped; one whose last task is ``upstream_failed`` it calls failed.
    """
    from airflow.models.dagrun import DagRun
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import DagRunState, State, TaskInstanceState

    under_way = {TaskInstanceState.RUNNING, TaskInstanceState.DEFERRED, TaskInstanceState.UP_FOR_RESCHEDULE}
    active = select(DagRun).where(
        DagRun.dag_id == dag_id, DagRun.run_id == run_id, DagRun.state.in_(["queued", "running"])
    )
    dag: Any = SerializedDagModel.get_dag(dag_id, session=session)
    if dag is None or session.scalar(active.with_only_columns(DagRun.id)) is None:
        return False
    of_run = select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
    instances = session.scalars(of_run.options(lazyload("*")).with_for_update(of=TaskInstance)).all()
    run = session.scalar(active.with_for_update(of=DagRun, skip_locked=True))
    if run is None:
        return None
    cleanup = {task.task_id for task in dag.tasks if task.is_teardown}
    unfinished = [instance for instance in instances if instance.state not in State.finished]
    stopped = [instance for instance in unfinished if instance.task_id not in cleanup]
    for instance in stopped:
        running = instance.state in under_way
        state = TaskInstanceState.FAILED if running else TaskInstanceState.UPSTREAM_FAILED
        instance.set_state(state, session=session)
    if len(stopped) == len(unfinished):
        run.set_state(DagRunState.FAILED)  # else what cleans up would not be scheduled any more
        return True
    return bool(stopped)


class Accounts:
    """Flask-AppBuilder's users, and access tokens that SVOps signs with a key made from the webserver's."""

    def login(self, username: str, password: str) -> Account:
        """Return whose credentials these are, in the directory or the database."""
        from flask_appbuilder.const import AUTH_DB, AUTH_LDAP  # type: ignore[import-untyped]

        users = security_manager()
        ways = {AUTH_DB: [users.auth_user_db], AUTH_LDAP: [users.auth_user_ldap, users.auth_user_db]}
        if users.auth_type not in ways:
            raise NotSupported("Airflow signs users in elsewhere here: SVOps takes no passwords.")
        with airflow_answers():
            for way in ways[users.auth_type]:
                user = way(username, password)
                if user:
                    return account_of(user)
        raise NotAuthenticated("Wrong username or password.")

    def by_token(self, token: str) -> Account:
        """Return whose access token this is.

        :raises NotAuthenticated: if it is not valid (any more)
        """
        import jwt

        try:
            claims = jwt.decode(
                token, _key(), [ALGORITHM], audience=AUDIENCE, options={"require": ["exp", "sub"]}
            )
        except jwt.InvalidTokenError:
            claims = {}
        account = self.by_claims(claims)
        if account is None:
            raise NotAuthenticated("The access token is not valid; sign in again.")
        return account

    def expiry(self, token: str) -> datetime | None:
        """Return when an access token that is valid ends to be."""
        return token_expiry(token)

    def by_claims(self, claims: Json) -> Account | None:
        """Return the account with these claims, if it still exists and is active."""
        subject = str(claims.get("sub", ""))
        if not (subject.isascii() and subject.isdigit()):
            return None
        with airflow_answers():
            user = security_manager().get_user_by_id(int(subject))
            return account_of(user) if user is not None and user.is_active else None

    def access_token(self, account: Account) -> tuple[str, int]:
        """Return a token for SVOps' API and its lifetime in seconds."""
        import jwt

        now = int(time.time())
        claims = {"sub": account.subject, "aud": AUDIENCE, "iat": now, "exp": now + TOKEN_SECONDS}
        return jwt.encode(claims, _key(), ALGORITHM), TOKEN_SECONDS

    def token_of(self, request: Request) -> tuple[str, bool] | None:
        """Return the token that a request shows, and whether the browser sent it of itself.

        Somebody who is signed in to Airflow shows a session; it counts as a token of theirs.
        """
        token = bearer(request)
        if token is not None:
            return token, False
        manager = _auth_manager()
        with airflow_answers():
            if not manager.is_logged_in():
                return None
            return self.access_token(account_of(manager.get_user()))[0], True

    def revoke(self, token: str) -> bool:  # noqa: ARG002
        """Do nothing: Airflow 2.11 keeps no list of tokens that ended early; this one ends within a day."""
        return False


def attach(app: Flask, blueprint: Blueprint) -> None:
    """Fit a blueprint into the webserver's Flask app.

    It answers for cross-site requests itself. It keeps nothing in the session, which Airflow would otherwise
    write to its database at every request, a bearer token's included.
    """
    from airflow.www.app import csrf
    from flask.globals import request_ctx

    def leave_session(response: Response) -> Response:
        context: Any = request_ctx  # a later Flask declares its session read-only
        context.session = app.session_interface.make_null_session(app)
        return response

    csrf.exempt(blueprint)
    app.after_request_funcs.setdefault(blueprint.name, []).append(leave_session)


def start_child(
    execute: Callable[[Any], Any],
    context: Any,
    dag_id: str,
    run_id: str,
    ours: Callable[[Mapping[str, Any]], bool],
) -> bool:
    """Let TriggerDagRunOperator trigger its run, and return where it would defer.

    A run that exists already is adopted.

    :param ours: tells by its conf whether an existing run is the wanted one
    :returns: true: the run exists now
    :raises Conflict: if a foreign run has the run id
    """
    while True:
        try:
            execute(context)
        except TaskDeferred:
            return True
        except (DagRunAlreadyExists, IntegrityError):
            found = DagRuns().run_conf(dag_id, run_id)
            if found is None:  # another run has the same microsecond as its date, which has to be unique
                continue
            if not ours(found):
                raise foreign_run(dag_id, run_id) from None
            context["ti"].xcom_push(key="trigger_run_id", value=run_id)  # the operator's link reads it
            return True


def child_state_in_task(context: Any, dag_id: str, run_id: str) -> str:  # noqa: ARG001
    """Return the state of a DAG run from inside a task; ``deleted`` if there is no such run."""
    return _state(dag_id, run_id) or "deleted"


async def child_state(dag_id: str, run_id: str) -> str | None:
    """Return the state of a DAG run from inside the triggerer; none if there is no such run."""
    return await asyncio.to_thread(_state, dag_id, run_id)


def _state(dag_id: str, run_id: str) -> str | None:
    from airflow.models.dagrun import DagRun

    with metadata_session() as session:
        state = session.scalar(select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
    return None if state is None else str(getattr(state, "value", state))


def has_dag_processor() -> bool:
    """Tell whether DAG files are parsed by a process of their own."""
    return bool(conf.getboolean("scheduler", "standalone_dag_processor", fallback=False))


def plugin_errors() -> dict[str, str]:
    """Return why which plugin could not be loaded."""
    from airflow import plugins_manager

    return dict(getattr(plugins_manager, "import_errors"))  # noqa: B009  # 3.3's, by which types are checked, has none


def server_advice() -> str | None:
    """Return what the webserver should be started with and is not: a live socket holds a thread."""
    threads = re.search(r"--threads[ =](\d+)", os.environ.get("GUNICORN_CMD_ARGS", ""))
    enough = threads is not None and int(threads[1]) >= FEWEST_THREADS
    if enough and conf.get("webserver", "worker_class") in THREADED:
        return None
    return (
        "live events need threads: start the webserver (and this command) with "
        'AIRFLOW__WEBSERVER__WORKER_CLASS=gthread and GUNICORN_CMD_ARGS="--threads 128".'
    )


def pages_url() -> str:
    """Return the address below which this Airflow serves Flask's pages; a path where it knows none."""
    return base_url()


def login_url(back: str) -> str:
    """Return where somebody signs in and is sent back from."""
    return str(_auth_manager().get_url_login(next_url=back))


def base_url() -> str:
    """Return the address of the webserver; empty where none is set."""
    return str(conf.get("webserver", "base_url", fallback="") or "").rstrip("/")


def _key() -> bytes:
    """Return the key of SVOps' access tokens: good for nothing else, and nothing to configure."""
    secret = conf.get_mandatory_value("webserver", "secret_key")
    return hmac.digest(secret.encode(), b"svops access token", "sha256")


def _auth_manager() -> Any:
    from airflow.www.extensions.init_auth_manager import get_auth_manager

    try:
        return get_auth_manager()
    except RuntimeError as absent:
        raise Unavailable("Only Airflow's webserver knows its users.") from absent


def security_manager() -> Any:
    """Return Flask-AppBuilder's security manager.

    :raises NotSupported: if another auth manager is configured
    """
    manager = _auth_manager()
    if not hasattr(manager.security_manager, "auth_user_db"):
        raise NotSupported(f"{type(manager).__name__} keeps users that SVOps on Airflow 2.11 does not know.")
    return manager.security_manager


def forget_users() -> None:
    """Do nothing: users are loaded at each request."""
