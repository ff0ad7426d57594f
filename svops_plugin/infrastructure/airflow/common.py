"""What both Airflows have in common: queries on the metadata database, and the connection to SVOps' own.

Airflow's models are imported where they are used: task processes load this module and need none of them.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import conf
from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from svops_plugin.application.airflow_ports import (
    Dag,
    DagParam,
    DagProblem,
    DagRunState,
    Hindrance,
    SeenRun,
    TaskInstanceState,
)
from svops_plugin.application.ports import Account, Page, Query
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import ConfigurationProblem, InvalidInput, NotFound, Unavailable
from svops_plugin.domain.failures import failure, storable

if TYPE_CHECKING:
    from flask import Request
    from starlette.requests import HTTPConnection

log = logging.getLogger(__name__)
LOG_TAIL = 20
FOLD = re.compile(r"::(end)?group::")  # where Airflow's own page folds a log


@contextmanager
def airflow_answers() -> Iterator[None]:
    """Say in the domain's words that Airflow's metadata database does not answer.

    :raises Unavailable: then
    """
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        reason = type(getattr(error, "orig", error)).__name__
        raise Unavailable(f"Airflow's database does not answer ({reason}); try again later.") from error


@contextmanager
def metadata_session() -> Iterator[Session]:
    """Open a transaction on Airflow's metadata database.

    :raises Unavailable: if it does not answer
    """
    from airflow.utils.session import create_session

    with airflow_answers(), create_session() as session:
        yield session


def database_url(conn_id: str) -> URL:
    """Return the SQLAlchemy URL of an Airflow connection to PostgreSQL.

    Resolved through ``airflow.models``, which finds connections in the environment, a secrets backend and the
    metadata database in servers, at the command line, and (through the supervisor) inside tasks.

    :raises ConfigurationProblem: if the connection is missing or is not to PostgreSQL
    """
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException
    from airflow.providers.postgres.hooks.postgres import PostgresHook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            connection: Any = Connection.get_connection_from_secrets(conn_id)
        except AirflowNotFoundException as missing:
            raise ConfigurationProblem(
                f"SVOps' database is not set: make an Airflow connection {conn_id!r} of type postgres "
                f"(environment: AIRFLOW_CONN_{conn_id.upper()}), or name another by [svops] database_conn_id."
            ) from missing
    if connection.conn_type not in {"postgres", "postgresql"}:
        raise ConfigurationProblem(
            f"The connection {conn_id!r} is of type {connection.conn_type!r}; SVOps needs postgres."
        )
    return make_url(PostgresHook(postgres_conn_id=conn_id, connection=connection).sqlalchemy_url)


class MetadataReader:
    """Questions to Airflow's metadata database that both Airflows answer alike.

    :param gone: the name of the DagModel column that tells a DAG's file is gone, and its value then
    """

    gone: tuple[str, bool]

    def problems(self, dag_ids: Iterable[str]) -> list[DagProblem]:
        """Tell which of these DAGs cannot be run, in their order."""
        from airflow.models.dag import DagModel

        wanted = list(dag_ids)
        column, value = self.gone
        with metadata_session() as session:
            query = select(
                DagModel.dag_id, DagModel.is_paused, DagModel.has_import_errors, getattr(DagModel, column)
            ).where(DagModel.dag_id.in_(wanted))
            known = {row[0]: row for row in session.execute(query)}
        found = []
        for dag_id in wanted:
            row = known.get(dag_id)
            if row is None or row[3] is value:
                found.append(DagProblem(dag_id, Hindrance.MISSING))
            elif row[2]:
                found.append(DagProblem(dag_id, Hindrance.BROKEN))
            elif row[1]:
                found.append(DagProblem(dag_id, Hindrance.PAUSED))
        return found

    def dags(self, query: Query, without: Collection[str]) -> Page[Dag]:
        """Return a page of the DAGs that Airflow has but these, by their ids."""
        from airflow.models.dag import DagModel

        column, value = self.gone
        columns: Any = (DagModel.dag_id, DagModel.description, DagModel.is_paused, DagModel.has_import_errors)
        found = select(*columns).where(
            getattr(DagModel, column).is_not(value),
            DagModel.dag_id.not_in(without),
            func.lower(columns[0]).contains(query.filters.get("q", "").lower(), autoescape=True),
        )
        order = columns[0].desc() if query.order_by.startswith("-") else columns[0]
        with metadata_session() as session:
            total = session.scalar(select(func.count()).select_from(found.subquery()))
            rows = session.execute(found.order_by(order).offset(query.skip).limit(query.limit))
            return Page([Dag(row[0], row[1], bool(row[2]), bool(row[3])) for row in rows], total or 0, query)

    def params(self, dag_id: str) -> list[DagParam]:
        """Return what a run of a DAG can be given, in the DAG's order."""
        params = self._params(dag_id)
        if params is None:
            raise NotFound(f"DAG {dag_id} is missing.")
        known = ((name, params.get_param(name)) for name in params)
        return [DagParam(name, _default(one), one.description, dict(one.schema)) for name, one in known]

    def task_counts(self, dag_ids: Collection[str]) -> dict[str, int]:
        """Return how many tasks each of these DAGs has; those that Airflow does not know are left out."""
        from airflow.models.serialized_dag import SerializedDagModel

        with metadata_session() as session:
            known = (SerializedDagModel.get(dag_id, session=session) for dag_id in dag_ids)
            return {dag.dag_id: len(dag.data["dag"]["tasks"]) for dag in known if dag and dag.data}

    def run_conf(self, dag_id: str, run_id: str) -> Json | None:
        """Return the conf of a DAG run; none if there is no such run."""
        from airflow.models.dagrun import DagRun

        with metadata_session() as session:
            query = select(DagRun.conf).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            row = session.execute(query).first()
        return None if row is None else dict(row[0] or {})

    def states(self, runs: Collection[tuple[str, str]]) -> dict[tuple[str, str], DagRunState]:
        """Return what Airflow knows of each run that exists: two queries, however many."""
        from airflow.models.dag import DagModel
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance
        from airflow.utils.state import State as AirflowState

        if not runs:
            return {}
        run_ids: dict[str, list[str]] = {}
        for dag_id, run_id in runs:
            run_ids.setdefault(dag_id, []).append(run_id)

        def among(model: Any) -> Any:  # a thousand pairs would be compared one by one; this uses the index
            return or_(*(and_(model.dag_id == dag, model.run_id.in_(ids)) for dag, ids in run_ids.items()))

        ended = case((TaskInstance.state.in_(list(AirflowState.finished)), 1), else_=0)
        with metadata_session() as session:
            counts = {
                (row[0], row[1]): (int(row[2]), int(row[3]))
                for row in session.execute(
                    select(TaskInstance.dag_id, TaskInstance.run_id, func.sum(ended), func.count())
                    .where(among(TaskInstance))
                    .group_by(TaskInstance.dag_id, TaskInstance.run_id)
                )
            }
            rows = session.execute(
                select(
                    DagRun.dag_id,
                    DagRun.run_id,
                    DagRun.state,
                    DagRun.start_date,
                    DagRun.end_date,
                    DagModel.is_paused,
                )
                .outerjoin(DagModel, DagModel.dag_id == DagRun.dag_id)
                .where(among(DagRun))
            )
            return {
                (row[0], row[1]): DagRunState(
                    str(row[2]), row[3], row[4], *counts.get((row[0], row[1]), (0, 0)), bool(row[5])
                )
                for row in rows
            }

    def task_instances(self, dag_id: str, run_id: str) -> list[TaskInstanceState]:
        """Return the task instances of a DAG run, in the order in which they began."""
        from airflow.models.taskinstance import TaskInstance

        wanted = ("task_id", "state", "start_date", "end_date", "duration", "try_number", "operator")
        query = (
            select(*(getattr(TaskInstance, name) for name in wanted))
            .where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
            .order_by(TaskInstance.start_date.is_(None), TaskInstance.start_date, TaskInstance.task_id)
        )
        with metadata_session() as session:
            rows = session.execute(query).all()
        page = self.run_url(dag_id, run_id)
        return [
            TaskInstanceState(
                **dict(zip(wanted, row, strict=True)), log_url=self._log_url(page, row[0], row[5])
            )
            for row in rows
        ]

    def cause(self, dag_id: str, run_id: str) -> Json | None:
        """Return which task of a run failed first, and the end of its log; none if no task has."""
        from airflow.models.taskinstance import TaskInstance

        with metadata_session() as session:
            failed = session.scalar(
                select(TaskInstance)
                .where(
                    TaskInstance.dag_id == dag_id,
                    TaskInstance.run_id == run_id,
                    TaskInstance.state == "failed",
                )
                .order_by(TaskInstance.end_date)
                .limit(1)
            )
            if failed is None:
                return None
            tail = self._log_tail(failed)
            last_words = (line for line in reversed(tail) if "Error" in line or "Exception" in line)
            found = failure(
                dag_id,
                next(last_words, f"Task {failed.task_id} failed."),
                task_id=failed.task_id,
                log_url=self._log_url(self.run_url(dag_id, run_id), failed.task_id, failed.try_number),
            )
            return {**found, "log_tail": tail}

    def _log_tail(self, instance: Any) -> list[str]:
        """Return the last lines of a task's log; none where it cannot be read."""
        from airflow.utils.log.log_reader import TaskLogReader

        try:
            messages, _ = TaskLogReader().read_log_chunks(
                instance, instance.try_number, {"end_of_log": False}
            )
            told = (storable(line) for line in self._lines(messages) if not FOLD.search(line))
            return list(deque(told, maxlen=LOG_TAIL))
        except Exception:
            log.warning("The log of %s cannot be read.", instance, exc_info=True)
            return []

    def new_runs(self, after: Mapping[str, int], limit: int) -> list[SeenRun]:
        """Return runs of DAGs that are newer than a number given for each, the oldest first."""
        from airflow.models.dagrun import DagRun

        if not after:
            return []
        newer = [and_(DagRun.dag_id == dag_id, DagRun.id > number) for dag_id, number in after.items()]
        query = select(DagRun).where(or_(*newer)).order_by(DagRun.id).limit(limit)
        with metadata_session() as session:
            return [
                SeenRun(
                    run.id,
                    run.dag_id,
                    run.run_id,
                    str(getattr(run.run_type, "value", run.run_type)),
                    str(getattr(run.state, "value", run.state)),
                    run.start_date,
                    run.end_date,
                    dict(run.conf or {}),
                    getattr(run, "triggering_user_name", None) or "airflow",
                )
                for run in session.scalars(query)
            ]

    def check_conf(self, dag_id: str, conf: Json) -> None:
        """Refuse a conf that breaks the schema of the DAG's params."""
        broken = self._broken_params(dag_id, conf)
        if broken is None:
            raise InvalidInput.field("dag_id", f"DAG {dag_id} is missing.")
        reasons = {f"parameters.{name}": [why.splitlines()[0]] for name, why in broken.items()}
        if reasons:
            first, why = next(iter(reasons.items()))
            raise InvalidInput(f"{first}: {why[0]}", reasons)

    def _params(self, dag_id: str) -> Any:
        """Return the params of a DAG; none if there is no such DAG."""
        raise NotImplementedError

    def _broken_params(self, dag_id: str, conf: Json) -> dict[str, str] | None:
        """Return what is wrong with which param of a DAG when it gets this conf; none if there is no DAG."""
        raise NotImplementedError

    def run_url(self, dag_id: str, run_id: str) -> str:
        """Return the address of a DAG run's page in Airflow."""
        raise NotImplementedError

    def _log_url(self, page: str, task_id: str, try_number: int) -> str:
        """Return the address of a task instance's log, from that of its run's page."""
        raise NotImplementedError

    def _lines(self, messages: Any) -> Iterable[str]:
        """Return the lines of a log as Airflow's reader returns it."""
        raise NotImplementedError


def _default(param: Any) -> Any:
    """Return the value that a param has of itself; Airflow has an object of its own for none."""
    return param.value if isinstance(param.value, (str, int, float, list, dict)) else None


def describe_user(user: Any, claims: Json) -> Account:
    """Describe a user of any auth manager; Flask-AppBuilder's have the most to tell."""
    roles = getattr(user, "roles", None)
    if roles is None:
        names = frozenset({user.role.title()}) if getattr(user, "role", None) else frozenset()
    else:
        names = frozenset(role.name for role in roles)
    created = getattr(user, "created_on", None)
    full_name = f"{getattr(user, 'first_name', '') or ''} {getattr(user, 'last_name', '') or ''}".strip()
    return Account(
        claims=claims,
        username=getattr(user, "username", None) or user.get_name(),
        email=getattr(user, "email", None) or "",
        name=full_name or user.get_name(),
        is_active=bool(getattr(user, "is_active", True)),
        roles=names,
        created_at=created.astimezone(timezone.utc)
        if created
        else None,  # a naive one is the server's local time
    )


def bearer(request: Request | HTTPConnection) -> str | None:
    """Return the token that a request's ``Authorization`` header shows."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if token and scheme.lower() == "bearer" else None


def token_expiry(token: str) -> datetime | None:
    """Return when an access token that is valid ends to be."""
    import jwt

    ends = jwt.decode(token, options={"verify_signature": False}).get("exp")
    return datetime.fromtimestamp(ends, timezone.utc) if ends is not None else None


def allowed_origins() -> frozenset[str]:
    """Return the other sites whose pages may use the API: SVOps' list, and Airflow's own."""
    listed = [
        conf.get("svops", "cors_origins", fallback=""),
        conf.get("api", "access_control_allow_origins", fallback=""),
    ]
    return frozenset(" ".join(listed).replace(",", " ").split())


def once(message: str) -> Callable[[], None]:
    """Return a function that logs a warning at its first call only."""
    said: list[bool] = []

    def say() -> None:
        if not said:
            said.append(True)
            log.warning(message)

    return say
