"""One running stack for the tests that look at chains."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.hosts import hosting

PATIENCE = 1000  # less than pytest's, which cannot say what was waited for
POLL = 0.2
SVOPS = [sys.executable, "-c", "from svops_plugin.presentation.cli import main; main()"]
SETTINGS = {"AIRFLOW__SVOPS__NOTIFICATION_PRIVATE_TARGETS": "127.0.0.0/8"}
ENDED = {"completed", "failed", "cancelled"}


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Return the condition's first true value."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(POLL)
    return value


@dataclass
class Stack:
    """A running stack and an administrator signed in to it."""

    home: Path
    api: httpx.Client
    airflow: httpx.Client

    def post(self, path: str, body: dict[str, Any] | None = None, *, status: int = 201) -> dict[str, Any]:
        answer = self.api.post(path, json=body or {})
        assert answer.status_code == status, self.explain(answer)
        made: dict[str, Any] = answer.json()
        return made

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.api.get(path, params=query)
        assert answer.status_code == 200, self.explain(answer)
        found: dict[str, Any] = answer.json()
        return found

    def explain(self, answer: httpx.Response) -> str:
        """Return an answer that was not wanted, with the server's words if it is the server's fault."""
        return answer.text + (self.log(hosting().SERVER)[-5000:] if answer.is_server_error else "")

    def dataset(self, data_type: str) -> int:
        """Return the sample dataset of a type."""
        found = self.get("datasets", data_type=data_type)["items"]
        return int(found[-1]["id"])

    def task(self, data_type: str = "Vector", **fields: Any) -> int:
        """Keep a small task and return its id."""
        body = {
            "name": "An end-to-end test",
            "customer": "tests",
            "dataset_id": self.dataset(data_type),
            "build_config": "test-config-e2e",
            "log_out_path": str(self.home / "output"),
            **fields,
        }
        return int(self.post("tasks", body)["id"])

    def failing_task(self) -> int:
        """Keep a task whose second DAG fails."""
        return self.task(build_config_customized=True, build_config_custom_conf={"min_accuracy": 1})

    def standing(self, task_id: int) -> dict[str, Any]:
        return self.get(f"tasks/{task_id}/status")

    def end_of(self, task_id: int) -> dict[str, Any]:
        """Return how a task stands when its execution has ended."""

        def ended() -> dict[str, Any] | None:
            standing = self.standing(task_id)
            return standing if standing["overall_status"] in ENDED else None

        found: dict[str, Any] = wait_until(ended, f"the end of task {task_id}")
        return found

    def dag_runs(self, dag_id: str, **query: Any) -> list[dict[str, Any]]:
        """Return Airflow's runs of a DAG."""
        answer = self.airflow.get(f"dags/{dag_id}/dagRuns", params={"limit": 1000, **query})
        assert answer.status_code == 200, answer.text
        runs: list[dict[str, Any]] = answer.json()["dag_runs"]
        return runs

    def log(self, process: str) -> str:
        """Return what a process of the stack has logged."""
        return (self.home / "logs" / f"{process}.log").read_text()


@contextmanager
def standing(home: Path, python: str = sys.executable) -> Iterator[tuple[httpx.Client, str]]:
    """Keep a stack up in a home, and give the administrator's client of its API and their password.

    :param python: the interpreter of the environment whose Airflow it is
    """
    foreign = ("AIRFLOW", "SVOPS", "PG")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    password = secrets.token_urlsafe(12)
    output = home.with_suffix(".output")
    with output.open("w") as terminal:
        up = subprocess.Popen(
            [python, *SVOPS[1:], "up", "--home", str(home), "--port", "0"],
            stdout=terminal,
            stderr=subprocess.STDOUT,
            env={**inherited, "SVOPS_ADMIN_PASSWORD": password, **SETTINGS},
            cwd=home.parent,
        )
    said = output.read_text
    try:
        wait_until(lambda: up.poll() is not None or "Ctrl-C stops everything" in said(), "the stack")
        address = re.search(r"Open (http://\S+) and", said())
        assert address, said()
        with httpx.Client(base_url=f"{address[1]}/svops/api/v1", timeout=120, trust_env=False) as api:
            answer = api.post("auth/login", json={"username": "admin", "password": password})
            api.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
            yield api, password
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(PATIENCE)


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A stack as `make run` makes it, with the sample task executed once.

    Its folder is not below pytest's, which another run of pytest may close to PostgreSQL's user meanwhile.
    """
    with tempfile.TemporaryDirectory(prefix="svops-e2e-") as folder:
        home = Path(folder, "home")
        with standing(home) as (api, password):
            address = str(api.base_url.copy_with(path="/")).rstrip("/")
            token = api.headers["Authorization"].partition(" ")[2]
            with hosting().airflow_api(address, token, password) as airflow:
                yield Stack(home, api, airflow)
