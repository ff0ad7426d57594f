"""Keeping datasets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from svops_plugin.application.events import dataset_event
from svops_plugin.application.ports import Page, Paths, ProbeDataset, Query, Transactions, UnitOfWork
from svops_plugin.domain.entities import Dataset, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.permissions import Actor


def found_dataset(dataset: Dataset | None, dataset_id: int) -> Dataset:
    """Return the dataset or say that there is none."""
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id}.")
    return dataset


class DatasetService:
    """Use cases of datasets. Each refuses what the permission table does not allow.

    :param probe: tells what is wrong with a dataset's files, cheaply
    """

    def __init__(self, transactions: Transactions, paths: Paths, probe: ProbeDataset) -> None:
        self._transactions = transactions
        self._paths = paths
        self._probe = probe

    def create(self, actor: Actor, values: Mapping[str, Any]) -> Dataset:
        """Register a dataset.

        :raises InvalidInput: if its files are out of bounds or not what its type says
        :raises Conflict: if the name is taken
        """
        actor.require("dataset", "create")
        dataset = Dataset(**values, created_by_id=actor.user_id)
        self._check(dataset)
        with self._transactions() as uow:
            _refuse_taken_name(uow, dataset)
            uow.datasets.add(dataset)
            uow.record(dataset_event("created", dataset, actor.username))
        return dataset

    def get(self, actor: Actor, dataset_id: int) -> Dataset:
        """Return a dataset."""
        actor.require("dataset", "read")
        with self._transactions() as uow:
            return found_dataset(uow.datasets.get(dataset_id), dataset_id)

    def page(self, actor: Actor, query: Query) -> Page[Dataset]:
        """Return a page of datasets; filters ``data_type``, ``creator_id``, ``tag``, ``q``."""
        actor.require("dataset", "read")
        with self._transactions() as uow:
            return uow.datasets.page(query)

    def update(self, actor: Actor, dataset_id: int, values: Mapping[str, Any]) -> Dataset:
        """Change the given fields; with ``version``, only if nobody else has edited since.

        :raises Conflict: if the name is taken or the version is not the present one
        """
        changes = dict(values)
        version = changes.pop("version", None)
        with self._transactions() as uow:
            dataset = found_dataset(uow.datasets.lock(dataset_id), dataset_id)
            actor.require("dataset", "edit", dataset.created_by_id)
            refuse_stale("dataset", dataset.version, version)
            changed = apply_changes(dataset, changes)
            if not changed:
                return dataset
            self._check(dataset)
            _refuse_taken_name(uow, dataset)
            if {"path", "gt_path", "data_type"} & changed:
                dataset.profile = dataset.fingerprint = None
            uow.record(dataset_event("updated", dataset, actor.username, changed=sorted(changed)))
        return dataset

    def delete(self, actor: Actor, dataset_id: int) -> None:
        """Forget a dataset; its files stay.

        :raises Conflict: if tasks use it
        """
        with self._transactions() as uow:
            dataset = found_dataset(uow.datasets.lock(dataset_id), dataset_id)
            actor.require("dataset", "delete", dataset.created_by_id)
            users = uow.tasks.page(Query(limit=3, filters={"dataset_id": dataset_id}))
            if users.total:
                names = ", ".join(f"{task.id} ({task.name})" for task in users.items)
                more = f" and {users.total - len(users.items)} more" if users.total > len(users.items) else ""
                raise Conflict(
                    f"Dataset {dataset_id} is used by task {names}{more}; change or delete them first."
                )
            uow.datasets.delete(dataset)
            uow.record(dataset_event("deleted", dataset, actor.username))

    def _check(self, dataset: Dataset) -> None:
        self._paths.readable("path", dataset.path)
        if dataset.gt_path is not None:
            self._paths.readable("gt_path", dataset.gt_path)
        if problems := self._probe(dataset):
            raise InvalidInput(f"The dataset cannot be read: {problems[0]}", {"path": problems})


def refuse_stale(kind: str, present: int, version: int | None) -> None:
    """Refuse an edit that was made on an older version than the present one."""
    if version is not None and version != present:
        raise Conflict(
            f"This {kind} was edited meanwhile: you have version {version}, it is at {present}. "
            "Load it again and repeat your change."
        )


def apply_changes(entity: Any, values: Mapping[str, Any]) -> set[str]:
    """Set the fields that differ, count the edit, and return their names."""
    changed = {name for name, value in values.items() if getattr(entity, name) != value}
    for name in changed:
        setattr(entity, name, values[name])
    if changed:
        entity.version += 1
        entity.updated_at = utcnow()
    return changed


def _refuse_taken_name(uow: UnitOfWork, dataset: Dataset) -> None:
    other = uow.datasets.named(dataset.name)
    if other is not None and other is not dataset:
        raise Conflict(f"The name {dataset.name!r} is taken by dataset {other.id}; choose another.")
