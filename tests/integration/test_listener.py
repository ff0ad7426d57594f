"""Which processes prepare for the tasks that are forked from them."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from svops_plugin.bootstrap import Services
from svops_plugin.orchestration import listener


@pytest.fixture
def rehearsals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Services]]:
    """What has been rehearsed with, in a process that has not prepared yet."""
    found: list[Services] = []

    def rehearse(services: Services) -> None:
        found.append(services)

    monkeypatch.setattr(Services, "rehearse", rehearse)
    listener._prepare.cache_clear()
    yield found
    listener._prepare.cache_clear()


def start(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    """Let Airflow make a job, as it does whatever the command."""
    from airflow.jobs.job import Job
    from airflow.listeners.listener import get_listener_manager

    monkeypatch.setattr(sys, "argv", ["airflow", *arguments])
    assert get_listener_manager().pm.is_registered(listener)
    Job(dag_id="any")


@pytest.mark.parametrize("service", ["scheduler", "triggerer", "dag-processor"])
def test_a_service_prepares_once(
    rehearsals: list[Services], monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    start(monkeypatch, service)
    start(monkeypatch, service)
    assert len(rehearsals) == 1


@pytest.mark.parametrize("arguments", [("tasks", "run", "scheduler"), ("celery", "worker"), ()])
def test_a_task_and_a_worker_do_not(
    rehearsals: list[Services], monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    start(monkeypatch, *arguments)
    assert rehearsals == []


def test_a_task_that_says_so_in_a_spawned_process_does_not(
    rehearsals: list[Services], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the task SDK of 3.3 does; a process that multiprocessing spawns has its parent's arguments."""
    monkeypatch.setattr(sys, "argv", ["airflow", "scheduler"])
    listener.on_starting(component=object())
    assert rehearsals == []


def test_a_service_starts_whatever_fails(
    rehearsals: list[Services], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(_: Services) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Services, "rehearse", fail)
    start(monkeypatch, "scheduler")
    assert rehearsals == []
    assert "compiles its statements" in caplog.text
