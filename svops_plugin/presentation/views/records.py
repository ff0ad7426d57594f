"""What SVOps keeps, row by row, as an operator looks it up. Nothing is written here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, ClassVar, cast

from flask import Response, request
from flask_appbuilder import ModelView, expose  # type: ignore[import-untyped]
from flask_appbuilder.models.filters import BaseFilter, Filters  # type: ignore[import-untyped]
from flask_appbuilder.models.sqla.filters import FilterContains  # type: ignore[import-untyped]
from flask_appbuilder.models.sqla.interface import SQLAInterface  # type: ignore[import-untyped]
from flask_appbuilder.widgets import RenderTemplateWidget  # type: ignore[import-untyped]
from sqlalchemy import or_
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from svops_plugin.application.events import sees_addresses, unreadable_kinds, without_address
from svops_plugin.bootstrap import raise_refusal, services
from svops_plugin.domain.entities import (
    LARGEST_ID,
    Dataset,
    DataType,
    Event,
    Execution,
    Task,
    WorkflowRun,
    number_of,
)
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ExecutionStatus, RunStatus, TaskStatus
from svops_plugin.presentation.rest.api import ROOT
from svops_plugin.presentation.views.language import language_of, speaker
from svops_plugin.presentation.views.pages import Page
from svops_plugin.presentation.views.shell import opened, shell

LAST_PAGE = 100_000
LONGEST = 250  # text to search for
TAB = "Records"
NOTHING = "–"  # noqa: RUF001  # a dash, as the other pages have it
NOT_THERE = "There is no such row."


def _open() -> Session:
    return Session(services(pooled=True).engine, future=True)


# A session on SVOps' own database for each thread that wants one, closed with each answer.
_sessions: Any = scoped_session(cast("sessionmaker[Session]", _open))


class Rows(SQLAInterface):  # type: ignore[misc]  # Flask-AppBuilder is not typed
    """Rows of SVOps' own database, whatever session an application wants it to use."""

    @property
    def session(self) -> Any:
        """The session of who asks."""
        return _sessions

    @session.setter
    def session(self, _of_the_application: Any) -> None: ...


class RowsWidget(RenderTemplateWidget):  # type: ignore[misc]  # as above
    """Rows as a table."""

    template = "svops/rows.html"


class RowWidget(RenderTemplateWidget):  # type: ignore[misc]  # as above
    """A row with all its columns."""

    template = "svops/row.html"


class Readable(BaseFilter):  # type: ignore[misc]  # as above
    """Events that somebody may read."""

    def apply(self, query: Any, actor: Actor) -> Any:
        """Leave out what others only may read."""
        event: Any = Event  # its attributes are columns here
        others = [event.type.startswith(f"{kind}.") for kind in unreadable_kinds(actor)]
        return query.filter(or_(~or_(*others), event.user_id == actor.user_id)) if others else query


@dataclass(frozen=True)
class Search:
    """What a column is searched by.

    :param choices: the values that it may have; any by default
    """

    column: str
    choices: tuple[str, ...] = ()
    is_number: bool = False

    def add(self, filters: Filters, datamodel: Any, text: str) -> None:
        """Narrow a list to what fits a text; nothing does that no row can have."""
        if self.is_number:
            filters.add_filter(self.column, datamodel.FilterEqual, number_of(text) or 0)
        elif self.choices:
            if text in self.choices:
                filters.add_filter(self.column, datamodel.FilterEqual, text)
        else:
            filters.add_filter(self.column, FilterContains, text)


class Records(ModelView):  # type: ignore[misc]  # as above
    """Lists rows of one kind and shows one of them, to whoever may read them."""

    include_route_methods: ClassVar[set[str]] = {"list", "show"}
    base_permissions: ClassVar[list[str]] = []  # SVOps asks its own table
    base_order = ("id", "desc")
    page_size = 50
    list_widget = RowsWidget
    show_widget = RowWidget
    needs: ClassVar[tuple[str, str]]
    searches: ClassVar[tuple[Search, ...]] = ()
    opens: ClassVar[str] = ""  # the address of the page about a row, below the pages' root

    def _init_forms(self) -> None:
        """Make no forms: nothing is written here."""

    @property
    def _page(self) -> Page:
        return Page("", self.list_title, TAB, self.needs)

    @expose("/")  # type: ignore[untyped-decorator]
    def list(self) -> Any:
        """Show a page of the rows that are searched for."""
        return opened(self, self._page, lambda _, actor: self._answer(actor, self._rows))

    @expose("/<int:pk>")  # type: ignore[untyped-decorator]
    def show(self, pk: int) -> Any:
        """Show a row."""
        return opened(self, self._page, lambda _, actor: self._answer(actor, lambda who: self._row(who, pk)))

    def _answer(self, actor: Actor, content: Callable[[Actor], RenderTemplateWidget | None]) -> Response:
        try:
            widget = content(actor)
            if widget is None:
                return shell(self, self._page, actor, problem=NOT_THERE, status=404)
            say = speaker(language_of(request))
            inner = widget(say=say, written=written, route=f"{request.script_root}{self.route_base}/")
            others = {view.list_title: f"{request.script_root}{view.route_base}/" for view in RECORDS}
            return shell(self, self._page, actor, template="svops/records.html", content=inner, others=others)
        except SQLAlchemyError as failure:
            raise_refusal(failure)
            raise
        finally:
            _sessions.remove()

    def _rows(self, actor: Actor) -> RenderTemplateWidget:
        filters = self._filters_for(actor)
        sent = {one.column: request.args.get(one.column, "") for one in self.searches}
        asked = {name: text.replace("\0", "").strip()[:LONGEST] for name, text in sent.items()}
        for one in self.searches:
            if asked[one.column]:
                one.add(filters, self.datamodel, asked[one.column])
        order = request.args.get("order", "-id")
        column = order.removeprefix("-")
        if column not in self.order_columns:
            order, column = "-id", "id"
        page = max(0, min(request.args.get("page", 0, type=int), LAST_PAGE))
        return self._get_list_widget(
            filters,
            order_column=column,
            order_direction="desc" if order.startswith("-") else "asc",
            page=page,
            searches=self.searches,
            asked={name: text for name, text in asked.items() if text},
            order=order,
        )["list"]

    def _row(self, actor: Actor, pk: int) -> RenderTemplateWidget | None:
        item = self.datamodel.get(pk, self._filters_for(actor)) if 0 < pk <= LARGEST_ID else None
        if item is None:
            return None
        widget = self._get_show_widget(pk, self._told(actor, item))["show"]
        about = self.opens.format_map(vars(item)) if self.opens else ""
        widget.template_args["about"] = f"{request.script_root}{ROOT}/{about}" if about else ""
        return widget

    def _filters_for(self, actor: Actor) -> Filters:  # noqa: ARG002  # as those who narrow have it
        """Return the filters for what somebody may read."""
        return self.datamodel.get_filters()

    def _told(self, actor: Actor, item: Any) -> Any:  # noqa: ARG002  # as above
        """Return a row as somebody may see it."""
        return item


def _texts(kind: type[Enum]) -> tuple[str, ...]:
    return tuple(member.value for member in kind)


def _name(dataset: Dataset | None) -> str | None:
    return None if dataset is None else dataset.name


class TaskRecords(Records):
    """The tasks."""

    route_base = f"{ROOT}/records/tasks"
    datamodel = Rows(Task)
    list_title = "Tasks"
    needs = ("task", "read")
    opens = "tasks/{id}"
    list_columns: ClassVar[list[str]] = [
        "id",
        "name",
        "customer",
        "status",
        "dataset",
        "created_by",
        "updated_at",
    ]
    show_columns: ClassVar[list[str]] = [*Task.__dataclass_fields__]
    order_columns: ClassVar[list[str]] = ["id", "name", "customer", "status", "updated_at"]
    formatters_columns: ClassVar[Mapping[str, Any]] = {"dataset": _name}
    searches = (Search("name"), Search("customer"), Search("status", _texts(TaskStatus)))


class DatasetRecords(Records):
    """The datasets."""

    route_base = f"{ROOT}/records/datasets"
    datamodel = Rows(Dataset)
    list_title = "Datasets"
    needs = ("dataset", "read")
    opens = "datasets/{id}"
    list_columns: ClassVar[list[str]] = ["id", "name", "data_type", "path", "created_by", "updated_at"]
    show_columns: ClassVar[list[str]] = [*Dataset.__dataclass_fields__]
    order_columns: ClassVar[list[str]] = ["id", "name", "data_type", "updated_at"]
    searches = (Search("name"), Search("path"), Search("data_type", _texts(DataType)))


class ExecutionRecords(Records):
    """The attempts at tasks' chains."""

    route_base = f"{ROOT}/records/executions"
    datamodel = Rows(Execution)
    list_title = "Executions"
    needs = ("task", "read")
    opens = "tasks/{task_id}"
    list_columns: ClassVar[list[str]] = [
        "id",
        "task_id",
        "attempt",
        "status",
        "requested_by",
        "created_at",
        "ended_at",
    ]
    show_columns: ClassVar[list[str]] = [*Execution.__dataclass_fields__]
    order_columns: ClassVar[list[str]] = ["id", "task_id", "status", "created_at", "ended_at"]
    searches = (
        Search("task_id", is_number=True),
        Search("requested_by"),
        Search("status", _texts(ExecutionStatus)),
    )


class RunRecords(Records):
    """The DAG runs of workflows."""

    route_base = f"{ROOT}/records/runs"
    datamodel = Rows(WorkflowRun)
    list_title = "Workflow runs"
    needs = ("workflow", "read")
    opens = "workflows/wf_{workflow_id}/runs/run_{id}"
    list_columns: ClassVar[list[str]] = [
        "id",
        "dag_id",
        "dag_run_id",
        "status",
        "triggered_by",
        "start_date",
        "end_date",
    ]
    show_columns: ClassVar[list[str]] = [*WorkflowRun.__dataclass_fields__]
    order_columns: ClassVar[list[str]] = ["id", "dag_id", "status", "start_date", "end_date"]
    searches = (Search("dag_id"), Search("triggered_by"), Search("status", _texts(RunStatus)))


class EventRecords(Records):
    """What happened."""

    route_base = f"{ROOT}/records/events"
    datamodel = Rows(Event)
    list_title = "Events"
    needs = ("event", "read")
    list_columns: ClassVar[list[str]] = [
        "id",
        "type",
        "actor",
        "task_id",
        "workflow_id",
        "run_id",
        "created_at",
    ]
    show_columns: ClassVar[list[str]] = [*Event.__dataclass_fields__]
    order_columns: ClassVar[list[str]] = ["id", "type", "task_id"]
    searches = (Search("type"), Search("actor"), Search("task_id", is_number=True))

    def _filters_for(self, actor: Actor) -> Filters:
        return self.datamodel.get_filters().add_filter("type", Readable, actor)

    def _told(self, actor: Actor, item: Event) -> Any:
        if not sees_addresses(actor):
            _sessions.expunge(item)  # what is shown is not what is kept
            item.data = without_address(item.data)
        return item


RECORDS = (TaskRecords, DatasetRecords, ExecutionRecords, RunRecords, EventRecords)


def written(value: Any) -> str:
    """Return a value as text."""
    if value is None or value == "":
        return NOTHING
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    if isinstance(value, Enum):
        return str(value.value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, bool)) else str(value)
