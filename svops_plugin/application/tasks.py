"""Keeping tasks. Their status is moved by executions only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from svops_plugin.application.datasets import apply_changes, refuse_stale
from svops_plugin.application.events import task_event
from svops_plugin.application.ports import Check, Page, Paths, Query, Transactions, UnitOfWork
from svops_plugin.domain.entities import Task
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import TaskStatus


def found_task(task: Task | None, task_id: int) -> Task:
    """Return the task or say that there is none."""
    if task is None:
        raise NotFound(f"There is no task {task_id}.")
    return task


class TaskService:
    """Use cases of tasks. Each refuses what the permission table does not allow.

    :param check_configuration: refuses an unknown preset, estimator or parameter
    """

    def __init__(self, transactions: Transactions, paths: Paths, check_configuration: Check) -> None:
        self._transactions = transactions
        self._paths = paths
        self._check_configuration = check_configuration

    def create(self, actor: Actor, values: Mapping[str, Any]) -> Task:
        """Keep a new task.

        :raises InvalidInput: naming the fields that are to blame
        """
        actor.require("task", "create")
        task = Task(**values, created_by_id=actor.user_id)
        with self._transactions() as uow:
            self._check(uow, task)
            uow.tasks.add(task)
            uow.record(task_event("created", task, actor.username))
        return task

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
            refuse_stale("task", task.version, version)
            if status is not None and status != task.status:
                raise InvalidInput.field("status", f"only the chain moves it; it is {task.status}.")
            changed = apply_changes(task, changes)
            if changed:
                self._check(uow, task)
                uow.record(task_event("updated", task, actor.username, changed=sorted(changed)))
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
            uow.record(task_event("deleted", task, actor.username))

    def _check(self, uow: UnitOfWork, task: Task) -> None:
        if task.video_out_enabled and not task.video_out_path:
            raise InvalidInput.field("video_out_path", "a folder is needed when video output is enabled.")
        self._paths.writable("log_out_path", task.log_out_path)
        if task.video_out_path:
            self._paths.writable("video_out_path", task.video_out_path)
        self._check_configuration(task)
        task.dataset = None
        if task.dataset_id is not None:
            task.dataset = uow.datasets.get(task.dataset_id)
            if task.dataset is None:
                raise InvalidInput.field("dataset_id", f"there is no dataset {task.dataset_id}.")


def _refuse_running(task: Task, verb: str) -> None:
    if task.status is TaskStatus.RUNNING:
        raise Conflict(f"Task {task.id} is running; wait for its end or stop it before you {verb} it.")
