"""The repositories: queries on one kind of entity each, within the session of a unit of work."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import (
    JSON,
    Table,
    bindparam,
    delete,
    exists,
    func,
    select,
    text,
    true,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, defer
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.sql import ColumnElement, Select

from svops_plugin.application.ports import ActiveRun, Duration, Page, Query
from svops_plugin.domain.entities import (
    LARGEST_ID,
    Dataset,
    Execution,
    IdempotencyKey,
    Task,
    User,
    Workflow,
    WorkflowRun,
    utcnow,
)
from svops_plugin.domain.errors import InvalidInput
from svops_plugin.domain.states import (
    EXECUTION_TRANSITIONS,
    RUN_TRANSITIONS,
    TASK_TRANSITIONS,
    ExecutionStatus,
    RunStatus,
    State,
    sources,
)
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.reading import reading
from svops_plugin.infrastructure.database.statements import insert_missing

E = TypeVar("E")


class SqlRepository(Generic[E]):
    """What all repositories share. ``equal`` maps the plain filters to their columns."""

    kind: ClassVar[type[Any]]
    table: ClassVar[Table]
    equal: ClassVar[Mapping[str, str]] = {}
    transitions: ClassVar[Mapping[Any, frozenset[Any]]] = {}

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, entity_id: int) -> E | None:
        """Return it as of now, or none."""
        with self.session.no_autoflush:  # what is not written yet may still be refused for what is found here
            return self.session.get(self.kind, entity_id) if 0 < entity_id <= LARGEST_ID else None

    def lock(self, entity_id: int) -> E | None:
        """Return it, its row held until the transaction ends."""
        if not 0 < entity_id <= LARGEST_ID:
            return None
        return self._first(self.table.c.id == entity_id, lock=True)

    def add(self, entity: E) -> E:
        """Write it at once, so that it has its id."""
        self.session.add(entity)
        self.session.flush()
        return entity

    def several(self, entity_ids: Collection[int]) -> list[E]:
        """Return those of these that exist, in the order of their ids."""
        found = self.table.c.id.in_([number for number in entity_ids if 0 < number <= LARGEST_ID])
        return self._all(found, order=[self.table.c.id])

    def delete(self, entity: E) -> None:
        """Remove it; foreign keys take what belongs to it along."""
        self.session.delete(entity)
        self.session.flush()

    def page(self, query: Query) -> Page[E]:
        """Return a page of the matching rows in the wanted order, newest id first among equals."""
        where = self._where(query.filters)
        name = query.order_by.removeprefix("-")
        if name not in self.table.c:
            known = ", ".join(sorted(self.table.c.keys()))
            raise InvalidInput.field("order_by", f"{name!r} is not a column; known are {known}.")
        wanted, counted = _listing(self.kind, self.table, query.order_by)  # type: ignore[arg-type]  # classes have hashes
        if where:
            wanted, counted = wanted.where(*where), counted.where(*where)
        self.session.flush()
        found = self.session.execute(wanted, {"skip": query.skip, "limit": query.limit})
        rows: list[E] = reading(self.kind).entities(found)  # type: ignore[arg-type]  # classes have hashes
        if len(rows) < query.limit and (rows or not query.skip):
            return Page(rows, query.skip + len(rows), query)  # the last page tells how many there are
        return Page(rows, int(self.session.scalar(counted) or 0), query)

    def move(self, entity: E, to: State, **values: Any) -> bool:
        """Enter a state if the row is in one that leads there; if not, ``entity`` shows the row as it is."""
        self.session.flush()
        c = self.table.c
        found = self.session.execute(
            update(self.table)
            .where(c.id == entity.id, c.status.in_(sources(self.transitions, to)))  # type: ignore[attr-defined]  # every entity has an id
            .values(status=to, **values)
        )
        if found.rowcount != 1:  # type: ignore[attr-defined]  # a cursor result, as of any UPDATE
            self.session.refresh(entity)
            return False
        for name, value in {"status": to, **values}.items():
            set_committed_value(entity, name, value)
        return True

    def _first(self, *where: ColumnElement[bool], lock: bool = False) -> E | None:
        query = select(self.kind).where(*where).limit(1)
        if lock:
            query = query.with_for_update(of=self.table).execution_options(populate_existing=True)
        found: E | None = self.session.scalars(query).first()
        return found

    def _all(self, *where: ColumnElement[bool], order: Iterable[Any] = (), json: bool = True) -> list[E]:
        """Return all that match; without ``json``, JSON columns are not loaded, and reading one raises."""
        query = select(self.kind).where(*where).order_by(*order)
        if not json:
            columns = [c.name for c in self.table.c if isinstance(c.type, JSON)]
            query = query.options(*(defer(getattr(self.kind, name), raiseload=True) for name in columns))
        return list(self.session.scalars(query))

    def _where(self, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        conditions: list[ColumnElement[bool]] = []
        for name, value in filters.items():
            if name == "q":
                conditions.append(self.table.c.name.ilike(f"%{_escape(value)}%", escape="\\"))
            elif name == "tag":
                conditions.append(self._tagged(value))
            else:
                conditions.append(self.table.c[self.equal[name]] == value)
        return conditions

    def _tagged(self, tag: str) -> ColumnElement[bool]:
        if self.session.get_bind().dialect.name == "postgresql":
            return type_coerce(self.table.c.tags, JSONB).contains([tag])
        each = func.json_each(self.table.c.tags).table_valued("value")
        return exists(select(text("1")).select_from(each).where(each.c.value == tag))


@cache
def _listing(kind: type[Any], table: Table, order_by: str) -> tuple[Select[Any], Select[Any]]:
    """Return the statements for a page's rows and for their total.

    SQLAlchemy knows a statement again that it has compiled, but looks through one that is new to find out.
    """
    columns = [table.c[order_by.removeprefix("-")], table.c.id]
    order = [c.desc() for c in columns] if order_by.startswith("-") else columns
    wanted = reading(kind).query  # type: ignore[arg-type]  # classes have hashes
    rows = wanted.order_by(*order).offset(bindparam("skip")).limit(bindparam("limit"))
    return rows, select(func.count()).select_from(table)


def _escape(words: str) -> str:
    return words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


class SqlDatasets(SqlRepository[Dataset]):
    """The datasets."""

    kind, table = Dataset, tables.dataset
    equal: ClassVar[Mapping[str, str]] = {"data_type": "data_type", "creator_id": "created_by_id"}

    def named(self, name: str) -> Dataset | None:
        """Return the one with this name."""
        with self.session.no_autoflush:
            return self._first(self.table.c.name == name)


class SqlTasks(SqlRepository[Task]):
    """The tasks."""

    kind, table, transitions = Task, tables.task, TASK_TRANSITIONS
    equal: ClassVar[Mapping[str, str]] = {
        "status": "status",
        "customer": "customer",
        "creator_id": "created_by_id",
        "dataset_id": "dataset_id",
    }

    def owners(self) -> list[User]:
        """Return everybody who has made one that is kept, by their names."""
        user = tables.user.c
        made = exists().where(self.table.c.created_by_id == user.id)
        return list(self.session.scalars(select(User).where(made).order_by(user.username, user.id)))


class SqlExecutions(SqlRepository[Execution]):
    """The attempts at tasks' chains."""

    kind, table, transitions = Execution, tables.execution, EXECUTION_TRANSITIONS

    def attempts(self, task_id: int) -> int:
        """Return the highest attempt number of a task so far."""
        c = self.table.c
        return int(self.session.scalar(select(func.max(c.attempt)).where(c.task_id == task_id)) or 0)

    def carried_by(self, controller_run_id: str) -> Execution | None:
        """Return the newest execution that a run of the controller DAG carries."""
        c = self.table.c
        found = self._all(c.controller_run_id == controller_run_id, order=[c.id.desc()])
        return found[0] if found else None

    def active(self) -> list[Execution]:
        """Return those that have not ended, without what they remember in JSON."""
        return self._all(self.table.c.status == ExecutionStatus.RUNNING, order=[self.table.c.id], json=False)

    def under_way(self) -> int:
        """Return how many have not ended."""
        running = text("status = 'running'")  # spelled as the partial index is
        return int(self.session.scalar(select(func.count()).select_from(self.table).where(running)) or 0)

    def failed_or_cancelled_since(self, since: datetime) -> list[Execution]:
        """Return those that failed or were cancelled after a time."""
        unsuccessful = [ExecutionStatus.FAILED, ExecutionStatus.CANCELLED]
        return self._all(self.table.c.ended_at > since, self.table.c.status.in_(unsuccessful))

    def history(self, task_id: int) -> list[Execution]:
        """Return a task's executions, the newest first."""
        return self._all(self.table.c.task_id == task_id, order=[self.table.c.attempt.desc()])


class SqlWorkflows(SqlRepository[Workflow]):
    """The DAGs known to SVOps."""

    kind, table = Workflow, tables.workflow
    equal: ClassVar[Mapping[str, str]] = {"dag_id": "dag_id", "is_active": "is_active"}

    def dag_ids(self) -> list[str]:
        """Return the DAGs of all."""
        return list(self.session.scalars(select(self.table.c.dag_id)))

    def of_dag(self, dag_id: str) -> Workflow | None:
        """Return the workflow of a DAG."""
        return self._first(self.table.c.dag_id == dag_id)

    def for_dags(self, dag_ids: Iterable[str]) -> dict[str, Workflow]:
        """Return the workflow of each DAG, registering the new ones in one order, so that none deadlock."""
        wanted = sorted(set(dag_ids))
        known = {w.dag_id: w for w in self._all(self.table.c.dag_id.in_(wanted))}
        for dag_id in wanted:
            if dag_id not in known:
                insert_missing(self.session, self.table, _workflow_row(dag_id))
                found = self._first(self.table.c.dag_id == dag_id)
                if found is not None:
                    known[dag_id] = found
        return known


def _workflow_row(dag_id: str) -> dict[str, Any]:
    now = utcnow()
    return {
        "name": dag_id,
        "dag_id": dag_id,
        "is_active": True,
        "last_seen": 0,
        "created_at": now,
        "updated_at": now,
        "version": 1,
    }


class SqlWorkflowRuns(SqlRepository[WorkflowRun]):
    """The DAG runs of workflows."""

    kind, table, transitions = WorkflowRun, tables.workflow_run, RUN_TRANSITIONS
    equal: ClassVar[Mapping[str, str]] = {
        "workflow_id": "workflow_id",
        "status": "status",
        "external_trigger_id": "dag_run_id",
    }

    def _where(self, filters: Mapping[str, Any]) -> list[ColumnElement[bool]]:
        plain = {name: value for name, value in filters.items() if name not in {"since", "until"}}
        conditions = super()._where(plain)
        if "since" in filters:
            conditions.append(self.table.c.created_at >= filters["since"])
        if "until" in filters:
            conditions.append(self.table.c.created_at < filters["until"])
        return conditions

    def of_execution(self, execution_id: int) -> list[WorkflowRun]:
        """Return the runs of a chain in its order."""
        return self._all(self.table.c.execution_id == execution_id, order=[self.table.c.position])

    def of_executions(self, execution_ids: Collection[int]) -> list[WorkflowRun]:
        """Return the runs of several chains."""
        return self._all(self.table.c.execution_id.in_(execution_ids)) if execution_ids else []

    def of_dag_run(self, dag_id: str, dag_run_id: str) -> WorkflowRun | None:
        """Return the run that goes by Airflow's names."""
        return self._first(self.table.c.dag_id == dag_id, self.table.c.dag_run_id == dag_run_id)

    def succeeded(self, dag_id: str, task_id: int, limit: int) -> list[WorkflowRun]:
        """Return the newest runs of a DAG that succeeded for a task, in a chain or alone."""
        c = self.table.c
        query = select(WorkflowRun).where(
            c.dag_id == dag_id,
            c.status == RunStatus.SUCCESS,
            c.configuration["task_id"].as_integer() == task_id,
        )
        return list(self.session.scalars(query.order_by(c.end_date.desc(), c.id.desc()).limit(limit)))

    def durations(
        self, dag_ids: Collection[str], each: int, dataset_ids: Collection[int] | None = None
    ) -> list[Duration]:
        """Return how long the newest runs of DAGs took that succeeded."""
        c, workflow, dataset = self.table.c, tables.workflow, tables.dataset
        query = select(*(c[name] for name in Duration._fields)).where(
            tables.SUCCEEDED, c.start_date.is_not(None), c.end_date.is_not(None)
        )
        if self.session.get_bind().dialect.name == "postgresql":
            # Reads no more than it returns, each group from the end of its index; a window reads them whole.
            query = query.where(c.dag_id == workflow.c.dag_id).order_by(c.end_date.desc()).limit(each)
            groups: Any = workflow
            if dataset_ids is not None:
                query = query.where(c.dataset_id == dataset.c.id)
                groups = workflow.join(dataset, dataset.c.id.in_(dataset_ids))
            newest = query.correlate(workflow, dataset).lateral()
            found = select(newest).select_from(groups.join(newest, true()))
            found = found.where(workflow.c.dag_id.in_(dag_ids))
        else:
            group = [c.dag_id] if dataset_ids is None else [c.dag_id, c.dataset_id]
            if dataset_ids is not None:
                query = query.where(c.dataset_id.in_(dataset_ids))
            place = func.row_number().over(partition_by=group, order_by=c.end_date.desc()).label("place")
            ranked = query.where(c.dag_id.in_(dag_ids)).add_columns(place).subquery()
            found = select(*(ranked.c[name] for name in Duration._fields)).where(ranked.c.place <= each)
        return [Duration(*row) for row in self.session.execute(found)]

    def active(self) -> list[ActiveRun]:
        """Return those that have not ended."""
        columns = [self.table.c[name] for name in ActiveRun._fields]
        active = text("status IN ('queued', 'running')")  # spelled as the partial index is
        return [
            ActiveRun(*row)
            for row in self.session.execute(select(*columns).where(active).order_by(self.table.c.id))
        ]


class SqlIdempotencyKeys:
    """Answers to requests that must not be done twice."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find(self, scope: str, key: str) -> IdempotencyKey | None:
        """Return the request that had this key."""
        c = tables.idempotency_key.c
        return self.session.scalars(select(IdempotencyKey).where(c.scope == scope, c.key == key)).first()

    def add(self, request: IdempotencyKey) -> None:
        """Keep a request with its answer."""
        self.session.add(request)

    def forget(self, scope: str, key: str) -> None:
        """Forget the request that had this key."""
        c = tables.idempotency_key.c
        self.session.execute(delete(tables.idempotency_key).where(c.scope == scope, c.key == key))

    def forget_scopes(self, scopes: Collection[str]) -> None:
        """Remove all requests of some scopes."""
        statement = delete(tables.idempotency_key).where(tables.idempotency_key.c.scope.in_(scopes))
        self.session.execute(statement.execution_options(synchronize_session=False))
