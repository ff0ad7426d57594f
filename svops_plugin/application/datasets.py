"""Keeping datasets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from svops_plugin.application import audit
from svops_plugin.application.events import dataset_event
from svops_plugin.application.file_ports import Completion, Paths, ProbeDataset
from svops_plugin.application.ports import (
    Page,
    Query,
    Transactions,
    UnitOfWork,
)
from svops_plugin.domain.entities import Dataset, DataType, utcnow
from svops_plugin.domain.errors import Conflict, FieldErrors, InvalidInput, NotFound
from svops_plugin.domain.permissions import Actor

Keep = Callable[[UnitOfWork, Dataset], None]
SHOWN_COMPLETIONS = 50


@dataclass(frozen=True)
class DatasetChecked:
    """Whether a dataset could be made of a path.

    :param errors: what speaks against it, by field
    :param completions: what the path may be meant for
    """

    errors: FieldErrors
    completions: list[Completion]

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.errors


def found_dataset(dataset: Dataset | None, dataset_id: int) -> Dataset:
    """Return the dataset or say that there is none."""
    if dataset is None:
        raise NotFound(f"There is no dataset {dataset_id}.")
    return dataset


class DatasetService:
    """Use cases of datasets. Each refuses what the permission table does not allow.

    :param probe: tells what is wrong with a dataset's files, cheaply
    :param glance: tells the same, but of very many files looks at some only
    """

    def __init__(
        self, transactions: Transactions, paths: Paths, probe: ProbeDataset, glance: ProbeDataset
    ) -> None:
        self._transactions = transactions
        self._paths = paths
        self._probe = probe
        self._glance = glance

    def create(self, actor: Actor, values: Mapping[str, Any], keep: Keep | None = None) -> Dataset:
        """Register a dataset.

        :param keep: writes something of its own along with it
        :raises InvalidInput: if its files are out of bounds or not what its type says
        :raises Conflict: if the name is taken
        """
        actor.require("dataset", "create")
        dataset = Dataset(**values, **audit.made_by(actor))
        self._check(dataset)
        with self._transactions() as uow:
            _refuse_taken_name(uow, dataset)
            uow.datasets.add(dataset)
            if keep is not None:
                keep(uow, dataset)
            after = audit.shown(audit.fields_of(dataset))
            uow.record(dataset_event("created", dataset, actor.username, address=actor.address, after=after))
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
            refuse_stale("dataset", dataset, version)
            before = audit.fields_of(dataset)
            changed = apply_changes(dataset, changes)
            if not changed:
                return dataset
            self._check(dataset)
            _refuse_taken_name(uow, dataset)
            if {"path", "gt_path", "data_type"} & changed:
                dataset.profile = dataset.fingerprint = None
            told = audit.changes(before, audit.fields_of(dataset))
            uow.record(dataset_event("updated", dataset, actor.username, address=actor.address, **told))
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
            before = audit.shown(audit.fields_of(dataset))
            uow.record(
                dataset_event("deleted", dataset, actor.username, address=actor.address, before=before)
            )

    def check(
        self, actor: Actor, path: str, data_type: DataType | None, gt_path: str | None
    ) -> DatasetChecked:
        """Tell whether a dataset could be made of a path, and what a path may be meant for that begins so.

        :param data_type: without one only the place is looked at, not what it holds
        """
        actor.require("dataset", "create")
        errors: dict[str, Sequence[str]] = {}
        for name, given in (("path", path), ("gt_path", gt_path)):
            try:
                if given is not None:
                    self._paths.readable(name, given)
            except InvalidInput as refusal:
                errors |= refusal.errors
        if not errors and data_type is not None:
            dataset = Dataset(name="", path=path, data_type=data_type, gt_path=gt_path)
            if problems := self._glance(dataset):
                errors["path"] = problems
        return DatasetChecked(errors, self._paths.completions(path, SHOWN_COMPLETIONS))

    def _check(self, dataset: Dataset) -> None:
        self._paths.readable("path", dataset.path)
        if dataset.gt_path is not None:
            self._paths.readable("gt_path", dataset.gt_path)
        if problems := self._probe(dataset):
            raise InvalidInput(f"The dataset cannot be read: {problems[0]}", {"path": problems})


def refuse_stale(kind: str, entity: Any, version: int | None) -> None:
    """Refuse an edit that was made on an older version than the present one.

    :raises Conflict: with the entity as it is now
    """
    if version is not None and version != entity.version:
        raise Conflict(
            f"This {kind} was edited meanwhile: you have version {version}, it is at {entity.version}. "
            "Load it again and repeat your change.",
            entity,
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
