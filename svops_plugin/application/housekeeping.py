"""Housekeeping: deleting what is old, on request or as time goes by."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from svops_plugin.application import alone
from svops_plugin.application.file_ports import Outputs
from svops_plugin.application.housekeeping_ports import TABLES
from svops_plugin.application.leases import new_holder
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import InvalidInput, SVOpsError
from svops_plugin.domain.metrics import Tell

log = logging.getLogger(__name__)

LEASE = "retention"
PURGE_SECONDS = 3600.0
LOOK_SECONDS = 60.0
CHUNK, CHUNK_WITH_FILES = 2000, 50  # rows of a transaction, which nobody should have to wait for
WITH_FILES = frozenset({"execution", "workflow_run"})


@dataclass
class Cleaned:
    """What was deleted of a table.

    :param kept: why files could not be deleted, for each row that stays for their sake
    """

    rows: int = 0
    kept: list[str] = field(default_factory=list)


class Housekeeper:
    """Deletes what is old, with the files that belong to it, in transactions of few rows.

    Files go first and are not missed if it is killed before their rows have gone: those are found again.

    :param tell: takes metrics
    """

    def __init__(self, transactions: Transactions, outputs: Outputs, tell: Tell) -> None:
        self._transactions = transactions
        self._outputs = outputs
        self._tell = tell

    def count(self, before: datetime, tables: Collection[str] = TABLES) -> dict[str, int]:
        """Return how many rows of each table are older.

        :raises InvalidInput: for an unknown table, or a time that has not come yet
        """
        _check(before, tables)
        with self._transactions() as uow:
            return {table: uow.old.count(table, before) for table in _in_order(tables)}

    def clean(
        self, before: datetime, tables: Collection[str] = TABLES, stop: threading.Event | None = None
    ) -> Iterator[tuple[str, Cleaned]]:
        """Delete what is older, table by table, and give what was; a stop ends it after a transaction.

        :raises InvalidInput: as for ``count``
        """
        _check(before, tables)
        for table in _in_order(tables):
            cleaned = self._clean(table, before, stop or threading.Event())
            if cleaned.rows:
                self._tell("svops.housekeeping.deleted", cleaned.rows, table=table)
            yield table, cleaned

    def _clean(self, table: str, before: datetime, stop: threading.Event) -> Cleaned:
        cleaned, after = Cleaned(), 0
        chunk = CHUNK_WITH_FILES if table in WITH_FILES else CHUNK
        while not stop.is_set():
            with self._transactions() as uow:
                ids = uow.old.some(table, before, after, chunk)
                gone = ids if table not in WITH_FILES else self._without_files(uow, table, ids, cleaned)
                uow.old.delete(table, gone)
            cleaned.rows += len(gone)
            if len(ids) < chunk:
                break
            after = ids[-1]
        return cleaned

    def _without_files(
        self, uow: UnitOfWork, table: str, ids: Collection[int], cleaned: Cleaned
    ) -> list[int]:
        """Delete the files of rows, and return those rows whose files are gone."""
        gone, in_use = [], _in_use(uow)
        for number, folder in _folders(uow, table, ids):
            if folder in in_use:
                cleaned.kept.append(f"{folder} is being read.")
                continue
            try:
                if folder is not None:
                    self._outputs.remove(folder)
            except SVOpsError as refusal:
                cleaned.kept.append(str(refusal))
            else:
                gone.append(number)
        return gone


def _check(before: datetime, tables: Collection[str]) -> None:
    if before > utcnow():
        raise InvalidInput.field("before", f"{before.isoformat()} has not come yet.")
    if unknown := sorted(set(tables) - set(TABLES)):
        raise InvalidInput.field("tables", f"{', '.join(unknown)}: known are {', '.join(TABLES)}.")


def _in_order(tables: Collection[str]) -> list[str]:
    return [table for table in TABLES if table in tables]


def _folders(uow: UnitOfWork, table: str, ids: Collection[int]) -> Iterable[tuple[int, str | None]]:
    """Return the folder that belongs to each row alone; none where it has none."""
    if table == "execution":
        return [(one.id, one.output_path) for one in uow.executions.several(ids)]
    return [
        (run.id, None if run.snapshot is None else alone.output_path(run, run.snapshot))
        for run in uow.runs.several(ids)
    ]


def _in_use(uow: UnitOfWork) -> set[str | None]:
    """Return the folders that runs under way outside any chain go on from."""
    runs = uow.runs.several([run.id for run in uow.runs.active() if run.execution_id is None])
    return {run.snapshot["reused_from"] for run in runs if run.snapshot} - {None}


class Retention:
    """Deletes what is older than it is kept, once an hour, in one of all processes.

    :param days: for each table, how long its rows are kept; for ever if 0
    """

    def __init__(
        self, transactions: Transactions, housekeeper: Housekeeper, days: Mapping[str, float]
    ) -> None:
        self._transactions = transactions
        self._housekeeper = housekeeper
        self._days = {table: timedelta(days=kept) for table, kept in days.items() if kept > 0}

    def run(self, stop: threading.Event) -> None:
        """Purge whenever it is due until stopped; failures are logged and outlived."""
        while not stop.wait(LOOK_SECONDS):
            try:
                if self._is_due():
                    log.info("Deleted what was older than it is kept: %s.", self.purge(stop))
            except SVOpsError as refusal:
                log.warning("What is old stays for now: %s", refusal)
            except Exception:
                log.exception("Deleting what is old failed; it is tried again in an hour.")

    def purge(self, stop: threading.Event | None = None) -> dict[str, int]:
        """Delete what is too old, and return how many rows of each table that were."""
        deleted = {}
        for table, kept in self._days.items():
            for _, cleaned in self._housekeeper.clean(utcnow() - kept, [table], stop):
                deleted[table] = cleaned.rows
                if cleaned.kept:
                    log.warning("%s of %s stay: %s", len(cleaned.kept), table, cleaned.kept[0])
        return deleted

    def _is_due(self) -> bool:
        """Take the lease under a new name each time, so that even its last holder has to wait for its end."""
        with self._transactions() as uow:
            return uow.leases.acquire(LEASE, new_holder(), PURGE_SECONDS)
