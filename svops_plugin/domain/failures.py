"""What is kept of a failure: where it happened and why."""

from __future__ import annotations

from datetime import timedelta

from svops_plugin.domain.entities import Json

LONGEST = 10_000


def storable(words: str) -> str:
    """Return text that every database can hold: without NUL and lone surrogates, and not endless."""
    return words.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")[:LONGEST]


def took_too_long(limit: timedelta) -> str:
    """Say that a chain was ended because of its length."""
    return f"The chain did not end within {limit} ([svops] execution_timeout)."


def failure(
    dag_id: str | None, message: str, *, task_id: str | None = None, log_url: str | None = None
) -> Json:
    """Return a failure as it is stored and answered.

    :param message: the exception's words, whatever they hold
    :param log_url: of the failed task's log in Airflow
    """
    return {"dag_id": dag_id, "task_id": task_id, "message": storable(message), "log_url": log_url}
