"""Keeping tasks. Their status is moved by executions only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svops_plugin.application import audit
from svops_plugin.application.datasets import apply_changes, refuse_stale
from svops_plugin.application.events import task_event
from svops_plugin.application.file_ports import Paths
from svops_plugin.application.ports import CheckConfiguration, Page, Query, Transactions, UnitOfWork
from svops_plugin.domain.entities import Json, Task, User
from svops_plugin.domain.errors import Conflict, FieldErrors, InvalidInput, NotFound
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import TaskStatus

MAX_NAME = 255
COPY = " (copy)"
CLONED = [name for name in audit.FIELDS[Task] if name != "name"]


@dataclass(frozen=True)
class Checked:
    """Whether a task would be kept.

    :param errors: everything that speaks against it, by field
    :param resolved: the build configuration as the pipelines would have it; none if it is not good
    """

    errors: FieldErrors
    resolved: Json | None

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.errors


def found_task(task: Task | None, task_id: int) -> Task:
    """Return the task or say that there is none."""
    if task is None:
        raise NotFound(f"There is no task {task_id}.")
    return task


class TaskService:
    """Use cases of tasks. Each refuses what the permission table does not allow.

    :param check_configuration: refuses an unknown preset, estimator or parameter, and returns the whole
    """

    def __init__(
        self, transactions: Transactions, paths: Paths, check_configuration: CheckConfiguration
    ) -> None:
        self._transactions = transactions
        self._paths = paths
        self._check_configuration = check_configuration

    def create(self, actor: Actor, values: Mapping[str, Any]) -> Task:
        """Keep a new task.

        :raises InvalidInput: naming the fields that are to blame
        """
        actor.require("task", "create")
        task = Task(**values, **audit.made_by(actor))
        with self._transactions() as uow:
            self._check(uow, task)
            uow.tasks.add(task)
            after = audit.shown(audit.fields_of(task))
            uow.record(task_event("created", task, actor.username, address=actor.address, after=after))
        return task

    def clone(self, actor: Actor, task_id: int, name: str | None = None) -> Task:
        """Keep a new task of one's own that says the same as another.

        :param name: what to call it, if not as a copy of the other
        :raises InvalidInput: if what the other says is not good any more, naming the fields
        """
        source = self.get(actor, task_id)
        values = {field: getattr(source, field) for field in CLONED}
        return self.create(actor, {**values, "name": name or _copy_name(source.name)})

    def check(self, actor: Actor, values: Mapping[str, Any]) -> Checked:
        """Tell whether a task with these fields would be kept; what is left out is not looked at.

        Nothing is written.
        """
        actor.require("task", "create")
        task = Task(**{"name": "", "customer": "", "log_out_path": "", **values})
        with self._transactions() as uow:
            errors = self._refusals(uow, task)
        if "log_out_path" not in values:
            errors.pop("log_out_path", None)
        configured = not any(name.startswith("build_config") for name in errors)
        return Checked(errors, self._check_configuration(task) if configured else None)

    def get(self, actor: Actor, task_id: int) -> Task:
        """Return a task with its dataset."""
        actor.require("task", "read")
        with self._transactions() as uow:
            return found_task(uow.tasks.get(task_id), task_id)

    def page(self, actor: Actor, query: Query) -> Page[Task]:
        """Return a page of tasks.

        Filters: ``status``, ``customer``, ``creator_id``, ``dataset_id``, ``tag``, ``q`` (in the name).
        """
        actor.require("task", "read")
        with self._transactions() as uow:
            return uow.tasks.page(query)

    def owners(self, actor: Actor) -> list[User]:
        """Return everybody who has tasks, by their names."""
        actor.require("task", "read")
        with self._transactions() as uow:
            return uow.tasks.owners()

    def update(self, actor: Actor, task_id: int, values: Mapping[str, Any]) -> Task:
        """Change the given fields; with ``version``, only if nobody else has edited since.

        :raises Conflict: if the task is running or the version is not the present one
        :raises InvalidInput: for a field that is to blame; the status can be repeated, not changed
        """
        changes = dict(values)
        version, status = changes.pop("version", None), changes.pop("status", None)
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            actor.require("task", "edit", task.created_by_id)
            _refuse_running(task, "edit")
            refuse_stale("task", task, version)
            if status is not None and status != task.status:
                raise InvalidInput.field("status", f"only the chain moves it; it is {task.status}.")
            before = audit.fields_of(task)
            if apply_changes(task, changes):
                self._check(uow, task)
                told = audit.changes(before, audit.fields_of(task))
                uow.record(task_event("updated", task, actor.username, address=actor.address, **told))
        return task

    def delete(self, actor: Actor, task_id: int) -> None:
        """Forget a task with its executions; what they wrote to disk stays.

        :raises Conflict: if the task is running
        """
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(task_id), task_id)
            actor.require("task", "delete", task.created_by_id)
            _refuse_running(task, "delete")
            uow.tasks.delete(task)
            before = audit.shown(audit.fields_of(task))
            uow.record(task_event("deleted", task, actor.username, address=actor.address, before=before))

    def _check(self, uow: UnitOfWork, task: Task) -> None:
        if errors := self._refusals(uow, task):
            raise InvalidInput("; ".join(f"{name}: {why[0]}" for name, why in errors.items()), errors)

    def _refusals(self, uow: UnitOfWork, task: Task) -> dict[str, Sequence[str]]:
        """Return everything that speaks against a task, by field, and give it its dataset."""
        errors: dict[str, Sequence[str]] = {}
        for check in (self._check_log_path, self._check_video_path, self._check_configuration):
            try:
                check(task)
            except InvalidInput as refusal:
                errors |= refusal.errors
        task.dataset = None
        if task.dataset_id is not None:
            task.dataset = uow.datasets.get(task.dataset_id)
            if task.dataset is None:
                errors["dataset_id"] = [f"there is no dataset {task.dataset_id}."]
        return errors

    def _check_log_path(self, task: Task) -> None:
        self._paths.writable("log_out_path", task.log_out_path)

    def _check_video_path(self, task: Task) -> None:
        if task.video_out_path:
            self._paths.writable("video_out_path", task.video_out_path)
        elif task.video_out_enabled:
            raise InvalidInput.field("video_out_path", "a folder is needed when video output is enabled.")


def _copy_name(name: str) -> str:
    return f"{name[: MAX_NAME - len(COPY)]}{COPY}"


def _refuse_running(task: Task, verb: str) -> None:
    if task.status is TaskStatus.RUNNING:
        raise Conflict(f"Task {task.id} is running; wait for its end or stop it before you {verb} it.")
