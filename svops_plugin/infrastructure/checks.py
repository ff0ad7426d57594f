"""The checks of the doctor: one place for those at the command line and those on a worker."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from svops_plugin.application.doctor import DAG_ID, Check
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.application.notification_ports import Cipher
from svops_plugin.application.ports import Query, Transactions
from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure.airflow import condition, from_a_task
from svops_plugin.infrastructure.database import migrations
from svops_plugin.infrastructure.database.unit_of_work import raise_refusal
from svops_plugin.infrastructure.object_storage import is_url, location
from svops_plugin.settings import Settings

MOST_CONFIGS = 1000


@dataclass(frozen=True)
class Checks:
    """What is looked at.

    :param engine: returns the engine of SVOps' database, whatever schema that has
    :param missing_grants: returns how many of SVOps' permissions Airflow's roles lack
    """

    settings: Settings
    engine: Callable[[], Engine]
    transactions: Transactions
    cipher: Cipher
    missing_grants: Callable[[], int]

    def at_the_command_line(self) -> Mapping[str, Check]:
        """Return the checks for a machine that reaches Airflow's metadata database."""
        return {
            "plugin": condition.plugin,
            "database": self.database,
            "schema": self.schema,
            "fernet key": self.fernet,
            "data roots": self.data_roots,
            "output roots": self.output_roots,
            "scheduler": lambda: condition.alive("scheduler"),
            "dag-processor": lambda: condition.alive("dag-processor"),
            "triggerer": lambda: condition.alive("triggerer"),
            "DAGs": lambda: condition.dags(self._dag_ids),
            "server": condition.server,
            "permissions": self.permissions,
        }

    def on_a_worker(self, keys: Mapping[str, str], task_instance: Any) -> Mapping[str, Check]:
        """Return the checks for a task's process.

        :param keys: digests of the keys where the doctor was asked; see ``condition.key_digests``
        :param task_instance: of the task
        """
        return {
            "plugin": condition.plugin,
            "database": self.database,
            "schema": self.schema,
            "data roots": self.data_roots,
            "output roots": self.output_roots,
            "keys": lambda: condition.keys(keys),
            "scheduler": lambda: from_a_task.alive("scheduler"),
            "dag-processor": lambda: from_a_task.alive("dag-processor"),
            "triggerer": lambda: from_a_task.alive("triggerer"),
            "DAGs": lambda: from_a_task.dags(task_instance, self._dag_ids),
            "server": from_a_task.server,
        }

    @property
    def _dag_ids(self) -> Sequence[str]:
        return CONTROLLER, *self.settings.chain, DAG_ID

    def database(self) -> str:
        """Check that SVOps' database is set and answers.

        :raises ConfigurationProblem: if it is not set
        :raises Unavailable: if it does not answer
        """
        migrations.current(self.engine())
        return f"{self.engine().dialect.name} answers"

    def schema(self) -> str:
        """Check that it has this version's schema.

        :raises ConfigurationProblem: with the command that mends it
        :raises Unavailable: if it does not answer
        """
        try:
            with self.engine().connect() as connection:
                migrations.require_head(connection)
        except SQLAlchemyError as failure:
            raise_refusal(failure)
            raise
        return f"at revision {migrations.HEAD}"

    def fernet(self) -> str:
        """Check that secrets can be kept, and that those that are kept can be read.

        :raises ConfigurationProblem: if not
        """
        self.cipher.decrypt(self.cipher.encrypt("svops"))
        with self.transactions() as uow:
            configs = uow.notification_configs.page(Query(limit=MOST_CONFIGS)).items
        sealed = [words for one in configs for words in (one.sealed_url, one.sealed_secret) if words]
        for words in sealed:
            self.cipher.decrypt(words)
        return f"set, and reads all {len(sealed)} secrets"

    def data_roots(self) -> str:
        """Check that the folders are there from which datasets are read.

        :raises ConfigurationProblem: naming one that is not
        """
        return _each("data_roots", self.settings.data_roots, _read)

    def output_roots(self) -> str:
        """Check that the folders can be written to that outputs go to.

        :raises ConfigurationProblem: naming one that cannot
        """
        return _each("output_roots", self.settings.output_roots, _write)

    def permissions(self) -> str:
        """Check that Airflow's roles have SVOps' permissions.

        :raises ConfigurationProblem: if some are missing
        """
        if missing := self.missing_grants():
            raise ConfigurationProblem(
                f"Airflow's roles lack {missing} permissions of SVOps; restart the server."
            )
        return "Airflow's roles have them"


def _each(setting: str, roots: Collection[str], use: Callable[[Path], str]) -> str:
    """Use each root, and return them with what was found there."""
    if not roots:
        raise ConfigurationProblem(f"no folder is allowed; set [svops] {setting} (a comma-separated list).")
    found = []
    for root in roots:
        try:
            found.append(f"{root}{use(location(root))}")
        except OSError as error:
            advice = (
                "see that the connection and the bucket exist, and that the policy of the former allows it"
                if is_url(root)
                else f"make it, mount it or let this user (uid {os.getuid()}) use it"
            )
            raise ConfigurationProblem(
                f"[svops] {setting}: {root}: {error.strerror or error}; {advice}."
            ) from error
    return ", ".join(found)


def _read(root: Path) -> str:
    try:
        next(root.iterdir(), None)
    except FileNotFoundError:
        if not is_url(str(root)):
            raise
        with suppress(PermissionError):  # who may list the place alone has just done that
            next(location(root.anchor).iterdir(), None)
        return " (nothing is there yet)"  # folders of a bucket come with their first object
    return ""


def _write(root: Path) -> str:
    if not is_url(str(root)) and not root.is_dir():
        next(root.iterdir(), None)  # which says why not
    probe = root / f".svops-{uuid4().hex}"
    probe.write_bytes(b"svops")
    probe.unlink()
    return ""
