"""Airflow 3.3 and later."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.exceptions import DagNotFound, DagRunAlreadyExists
from airflow.providers.common.compat.sdk import AirflowException, conf
from sqlalchemy.exc import IntegrityError

from svops_plugin.application.airflow_ports import RunTaken, foreign_run
from svops_plugin.application.ports import Account
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import Conflict, NotAuthenticated, NotSupported, Unavailable
from svops_plugin.infrastructure.airflow.common import (
    MetadataReader,
    airflow_answers,
    allowed_origins,
    bearer,
    describe_user,
    metadata_session,
    once,
    token_expiry,
)
from svops_plugin.infrastructure.airflow.loops import completed

if TYPE_CHECKING:
    from flask import Blueprint, Flask, Request
    from starlette.requests import HTTPConnection

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

HAS_API_SERVER = True  # where fastapi_apps of plugins are served
RUN_PAGE = "/dags/{dag_id}/runs/{run_id}"  # what is in braces is filled in, quoted
SESSION_COOKIE = "svops_session"
SHARED_KEYS = (("api", "secret_key"),)  # tasks need no other: connections come to them in the clear
_without_private_parts = once(
    "This Airflow lacks what ChainStepOperator builds on; steps wait as TriggerDagRunOperator does."
)


class DagRuns(MetadataReader):
    """Airflow's DAG runs, from a process with access to the metadata database."""

    gone = ("is_stale", True)

    def trigger(self, dag_id: str, run_id: str, conf: Json, username: str) -> None:
        """Create a DAG run; see :class:`svops_plugin.application.airflow_ports.Airflow`."""
        from airflow.api.common.trigger_dag import trigger_dag
        from airflow.utils.types import DagRunTriggeredByType

        try:
            with metadata_session() as session:
                trigger_dag(
                    dag_id=dag_id,
                    run_id=run_id,
                    conf=conf,
                    triggered_by=DagRunTriggeredByType.REST_API,
                    triggering_user_name=username or None,
                    session=session,
                )
        except (DagRunAlreadyExists, IntegrityError) as taken:
            raise RunTaken(run_id) from taken
        except DagNotFound as missing:
            raise Conflict(f"DAG {dag_id} is missing.") from missing
        except (AirflowException, ValueError) as refusal:
            raise Conflict(f"Airflow refused to run {dag_id}: {refusal}") from refusal

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a DAG run's page in Airflow."""
        return f"{base_url()}/dags/{dag_id}/runs/{quote(run_id)}"

    def _log_url(self, page: str, task_id: str, try_number: int) -> str:
        tried = f"?try_number={try_number}" if try_number else ""
        return f"{page}/tasks/{task_id}{tried}"

    def _lines(self, messages: Any) -> Iterator[str]:
        """Return each message as one line, with the error that it carries."""
        for message in messages:
            details = getattr(message, "error_detail", None) or []
            causes = "; ".join(f"{one.get('exc_type')}: {one.get('exc_value')}" for one in details)
            yield f"{message.event} {causes}".strip()

    def stop(self, dag_id: str, run_id: str) -> bool:
        """Fail a DAG run that has not ended; the supervisors of its tasks notice at their next heartbeat.

        The run's row is locked first: so the scheduler's decision on it is waited for, and it is either ended
        by that or stopped. Where teardown tasks are left, the run goes on; to stop it again changes nothing.
        """
        from airflow.api.common.mark_tasks import set_dag_run_state_to_failed
        from airflow.models.dagbag import DBDagBag
        from airflow.models.dagrun import DagRun
        from sqlalchemy import select

        with metadata_session() as session:
            run = session.scalar(
                select(DagRun)
                .where(
                    DagRun.dag_id == dag_id,
                    DagRun.run_id == run_id,
                    DagRun.state.in_(["queued", "running"]),
                )
                .with_for_update(of=DagRun)
            )
            dag = DBDagBag().get_dag_for_run(run, session=session) if run else None
            if run is None or dag is None:
                return False
            stopped, _ = set_dag_run_state_to_failed(dag=dag, run_id=run_id, commit=True, session=session)
            return bool(stopped) or run.state == "failed"

    def _params(self, dag_id: str) -> Any:
        from airflow.models.dagbag import DBDagBag

        with metadata_session() as session:
            dag = DBDagBag().get_latest_version_of_dag(dag_id, session=session)
        return None if dag is None else dag.params

    def _broken_params(self, dag_id: str, conf: Json) -> dict[str, str] | None:
        from jsonschema import ValidationError  # type: ignore[import-untyped]

        params = self._params(dag_id)
        if params is None:
            return None
        broken = {}
        for name in (params := params.deep_merge(conf)):
            try:
                params.get_param(name).resolve(raises=True)
            except (ValueError, ValidationError) as refusal:
                broken[name] = str(refusal)
        return broken


class Accounts:
    """The auth manager's users and Airflow's own access tokens, which serve both APIs."""

    def login(self, username: str, password: str) -> Account:
        """Return whose credentials these are, by the auth manager's own login service."""
        from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import (
            SimpleAuthManager,
        )

        manager = _auth_manager()
        if isinstance(manager, SimpleAuthManager):
            return self._simple_login(username, password)
        if not hasattr(manager, "create_token"):
            raise NotSupported(
                f"{type(manager).__name__} has no login by password; use a token of Airflow's."
            )
        try:
            with airflow_answers():
                user = manager.create_token(headers={}, body={"username": username, "password": password})
        except ValueError as refusal:
            raise NotAuthenticated(str(refusal)) from refusal
        if user is None:
            raise NotAuthenticated("Wrong username or password.")
        return _account(user)

    def _simple_login(self, username: str, password: str) -> Account:
        from airflow.api_fastapi.auth.managers.simple.datamodels.login import LoginBody
        from airflow.api_fastapi.auth.managers.simple.services.login import (
            SimpleAuthManagerLogin,
        )
        from fastapi import HTTPException

        try:
            token = SimpleAuthManagerLogin.create_token(LoginBody(username=username, password=password))
        except HTTPException as refusal:
            raise NotAuthenticated("Wrong username or password.") from refusal
        return self.by_token(token)

    def by_token(self, token: str) -> Account:
        """Return whose access token this is.

        :raises NotAuthenticated: if it is not valid (any more)
        """
        from jwt import InvalidTokenError

        try:
            with airflow_answers():
                return _account(completed(_auth_manager().get_user_from_token(token)))
        except InvalidTokenError as refusal:
            raise NotAuthenticated("The access token is not valid; sign in again.") from refusal

    def expiry(self, token: str) -> datetime | None:
        """Return when an access token that is valid ends to be."""
        return token_expiry(token)

    def by_claims(self, claims: Json) -> Account | None:
        """Return the account that the auth manager serialised so, if it still exists and is active."""
        try:
            with airflow_answers():
                return _account(_auth_manager().deserialize_user(claims))
        except (ValueError, KeyError):
            return None

    def access_token(self, account: Account) -> tuple[str, int]:
        """Return a token for both APIs and its lifetime in seconds."""
        manager = _auth_manager()
        seconds = conf.getint("api_auth", "jwt_expiration_time")
        user = manager.deserialize_user(account.claims)
        return manager.generate_jwt(user, expiration_time_in_seconds=seconds), seconds

    def token_of(self, request: Request | HTTPConnection) -> tuple[str, bool] | None:
        """Return the token that a request shows, and whether the browser sent it of itself."""
        token = bearer(request)
        if token is not None:
            return token, False
        cookie = request.cookies.get("_token")
        return (cookie, True) if cookie else None

    def revoke(self, token: str) -> bool:
        """End an access token in all of Airflow."""
        with airflow_answers():
            _auth_manager().revoke_token(token)
        return True


def security_manager() -> Any:
    """Return Flask-AppBuilder's security manager.

    :raises NotSupported: if another auth manager is configured
    """
    manager = _auth_manager()
    if not hasattr(type(manager), "security_manager"):
        raise NotSupported(
            f"{type(manager).__name__} keeps its users elsewhere; SVOps can keep them only where [core] "
            "auth_manager is FabAuthManager."
        )
    return manager.security_manager


def forget_users() -> None:
    """Load every user anew at their next request, rather than when ``[fab] cache_ttl`` has passed."""
    manager = _auth_manager()
    known = getattr(manager, "cache", None)  # SimpleAuthManager has none
    if known is not None:
        manager.cache = type(known)(known.maxsize, known.ttl)  # emptied, others may be in the middle of it


def has_dag_processor() -> bool:
    """Tell whether DAG files are parsed by a process of their own."""
    return True


def plugin_errors() -> dict[str, str]:
    """Return why which plugin could not be loaded."""
    from airflow.plugins_manager import get_import_errors

    return get_import_errors()


def server_advice() -> str | None:
    """Return what the API server should be started with and is not."""
    return None


def pages_url() -> str:
    """Return the address below which this Airflow serves Flask's pages; a path where it knows none."""
    return base_url() + "/pluginsv2"


def login_url(back: str) -> str:
    """Return where somebody signs in and is sent back from."""
    return str(_auth_manager().get_url_login(next_url=back))


def base_url() -> str:
    """Return the address of the API server; empty where none is set."""
    return str(conf.get("api", "base_url", fallback="") or "").rstrip("/")


def _auth_manager() -> Any:
    from airflow.api_fastapi.app import get_auth_manager

    try:
        return get_auth_manager()
    except RuntimeError as absent:
        raise Unavailable("Only Airflow's API server knows its users.") from absent


def _account(user: Any) -> Account:
    return describe_user(user, _auth_manager().serialize_user(user))


def attach(app: Flask, blueprint: Blueprint) -> None:
    """Fit the Flask app in which Airflow serves plugins to SVOps.

    Its session cookie gets a name of its own, for that app has no session store and would overwrite the one
    that ``/auth`` signs people in with. The blueprint answers for cross-site requests itself.
    """
    from airflow.providers.fab.www.app import csrf

    app.config["SESSION_COOKIE_NAME"] = SESSION_COOKIE
    csrf.exempt(blueprint)


def start_child(
    execute: Callable[[Any], Any],
    context: Any,
    dag_id: str,
    run_id: str,
    ours: Callable[[Mapping[str, Any]], bool],
) -> bool:
    """Let TriggerDagRunOperator trigger its run, through the task's supervisor, and return before it waits.

    A run that exists already is adopted.

    :param ours: tells by its conf whether an existing run is the wanted one
    :returns: whether the run exists now; if not, the parent's way of waiting has to do
    :raises Conflict: if a foreign run has the run id
    """
    try:
        from airflow.sdk.exceptions import DagRunTriggerException, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse, GetDagRun, TriggerDagRun
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS
    except ImportError:
        _without_private_parts()
        return False
    try:
        execute(context)
    except DagRunTriggerException as wanted:
        answer = SUPERVISOR_COMMS.send(
            TriggerDagRun(
                dag_id=wanted.trigger_dag_id,
                run_id=wanted.dag_run_id,
                logical_date=wanted.logical_date,
                run_after=wanted.run_after,
                conf=wanted.conf,
                note=wanted.note,
            )
        )
        if isinstance(answer, ErrorResponse):
            if answer.error is not ErrorType.DAGRUN_ALREADY_EXISTS:
                raise AirflowException(f"{dag_id} could not be triggered: {answer}") from None
            run: Any = SUPERVISOR_COMMS.send(GetDagRun(dag_id=dag_id, run_id=run_id))
            if not ours(getattr(run, "conf", None) or {}):
                raise foreign_run(dag_id, run_id) from None
        context["ti"].xcom_push(key="trigger_run_id", value=run_id)  # the operator's link reads it
    return True


def child_state_in_task(context: Any, dag_id: str, run_id: str) -> str:
    """Return the state of a DAG run from inside a task."""
    state = context["ti"].get_dagrun_state(dag_id, run_id)
    return str(getattr(state, "value", state))


async def child_state(dag_id: str, run_id: str) -> str | None:
    """Return the state of a DAG run from inside the triggerer; none if there is no such run."""
    from airflow.sdk.execution_time.comms import GetDagRunState, GetDRCount
    from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS

    try:
        answer: Any = await SUPERVISOR_COMMS.asend(GetDagRunState(dag_id=dag_id, run_id=run_id))
    except Exception:
        count: Any = await SUPERVISOR_COMMS.asend(GetDRCount(dag_id=dag_id, run_ids=[run_id]))
        if count.count == 0:
            return None
        raise
    return str(answer.state.value)
