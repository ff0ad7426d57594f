"""``svops up`` and ``svops demo`` as a person uses them: the output, the exit status, and what is left.

Every process of a stack works in its home or was told of it, which is how the tests find them all.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

import svops_plugin
from svops_plugin.presentation.cli.stack.environment import LOOPBACK
from tests.unit.documentation import the_block

SVOPS = [sys.executable, "-c", "from svops_plugin.presentation.cli import main; main()"]
PRESETS = Path(svops_plugin.__file__).parent / "pipelines" / "presets"
PATIENCE = 300
CHAIN = ["data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example"]


def processes_of(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            places = [process.cwd(), *process.cmdline()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if any(str(folder) in place for place in places):
            found.append(process)
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.05)


class Command:
    """A started ``svops`` whose output is read as it comes."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        foreign = ("AIRFLOW", "SVOPS", "PG")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        self.folder = folder
        self.output, self.errors = folder / "stdout", folder / "stderr"
        with self.output.open("w") as output, self.errors.open("w") as errors:
            self.popen = subprocess.Popen(
                [*SVOPS, *arguments],
                stdout=output,
                stderr=errors,
                env={**inherited, "TMPDIR": str(folder), **environment},
                cwd=folder,
            )

    def wait_for(self, words: str) -> None:
        wait_for(lambda: self.popen.poll() is not None or words in self.said, words)
        assert words in self.said, self.said + self.errors.read_text()

    def wait_for_end(self) -> int:
        return self.popen.wait(PATIENCE)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def others(self) -> list[psutil.Process]:
        return [process for process in processes_of(self.folder) if process.pid != self.popen.pid]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the database server's own user can pass, unlike pytest's."""
    with tempfile.TemporaryDirectory(prefix="svops-e2e-") as name:
        yield Path(name).resolve()


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Command]]:
    """Start commands; the test fails if a process of theirs outlives it."""
    started: list[Command] = []

    def start_one(*arguments: str, **environment: str) -> Command:
        own = folder / str(len(started))
        own.mkdir()
        started.append(Command(own, *arguments, **environment))
        return started[-1]

    yield start_one
    for command in started:
        if command.popen.poll() is None:
            command.popen.send_signal(signal.SIGINT)
            command.popen.wait(PATIENCE)
    left = processes_of(folder)
    for process in left:
        process.kill()
    assert not left


def test_demo_completes_the_sample_task_and_leaves_only_what_was_asked_for(
    start: Callable[..., Command], folder: Path
) -> None:
    kept = folder / "kept"
    demo = start("demo", "--keep", str(kept))
    assert demo.wait_for_end() == 0, demo.errors.read_text()
    outcome = json.loads(demo.said.splitlines()[-1])
    assert set(outcome) == {"task_status", "dag_chain", "metrics", "seconds"}
    assert outcome["task_status"] == "completed"
    assert outcome["dag_chain"] == CHAIN
    assert outcome["metrics"]["accuracy"] >= 0.95
    assert 0 < outcome["seconds"] < PATIENCE
    assert "<html" in (kept / "output" / "task_1" / "1" / "report.html").read_text()
    assert set(demo.folder.iterdir()) == {demo.output, demo.errors}
    assert not demo.others()


def test_demo_tells_why_a_chain_has_failed(start: Callable[..., Command], folder: Path) -> None:
    preset = (PRESETS / "release.toml").read_text()
    unreachable, count = re.subn(r"(?m)^min_accuracy = .*$", "min_accuracy = 1.0", preset)
    assert count == 1
    (folder / "release.toml").write_text(unreachable)
    demo = start("demo", AIRFLOW__SVOPS__PRESET_DIRS=str(folder))
    assert demo.wait_for_end() == 1
    message = demo.errors.read_text()
    assert "failed in ml_training_pipeline, task validate_model_performance" in message
    assert "min_accuracy" in message
    assert "The end of its log:" in message
    assert "simple_workflow_example: skipped" in demo.said
    assert "{" not in demo.said


def test_demo_passes_on_what_the_api_refuses(start: Callable[..., Command]) -> None:
    demo = start("demo", AIRFLOW__SVOPS__CHAIN="no_such_dag")
    assert demo.wait_for_end() == 1
    assert "no_such_dag" in demo.errors.read_text()


def test_demo_ends_when_its_time_is_up(start: Callable[..., Command]) -> None:
    demo = start("demo", "--timeout", "1")
    assert demo.wait_for_end() == 1
    assert "not done after 1 seconds" in demo.errors.read_text()
    assert not demo.others()


@pytest.mark.parametrize(
    ("received", "stage"),
    [
        (signal.SIGINT, None),
        (signal.SIGTERM, "The databases are ready"),
        (signal.SIGINT, "is being executed"),
    ],
)
def test_a_signal_ends_everything(
    start: Callable[..., Command], received: signal.Signals, stage: str | None
) -> None:
    demo = start("demo")
    if stage is None:
        wait_for(lambda: len(demo.others()) > 1, "the first processes")
    else:
        demo.wait_for(stage)
    demo.popen.send_signal(received)
    assert demo.wait_for_end() == 128 + received
    assert not demo.others()
    assert set(demo.folder.iterdir()) == {demo.output, demo.errors}


def test_impatience_leaves_nothing_either(start: Callable[..., Command]) -> None:
    demo = start("demo")
    demo.wait_for("data_processing_pipeline: running")
    while demo.popen.poll() is None:
        demo.popen.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert not demo.others()


def test_a_killed_supervisor_leaves_nobody_behind(start: Callable[..., Command]) -> None:
    demo = start("demo")
    demo.wait_for("data_processing_pipeline: running")
    demo.popen.kill()
    wait_for(lambda: not demo.others(), "the reaper")


def with_a_dag_of_ones_own(home: Path) -> dict[str, str]:
    """Do what the guides say, and return the variables that they set."""
    (home / "dags" / "class_recall.py").write_text(the_block("docs/pipelines.md", "python", "An Airflow DAG"))
    said = the_block("docs/getting-started.md", "shell", "AIRFLOW__SVOPS__CHAIN")
    return dict(re.findall(r"(?m)^export (\w+)=(\S+)$", said))


@contextmanager
def signed_in(up: Command, password: str) -> Iterator[httpx.Client]:
    """Give the administrator's client of a stack's API."""
    address = re.search(r"Open (http://\S+) and", up.said)
    assert address, up.said
    with httpx.Client(base_url=f"{address[1]}/svops/api/v1", timeout=120, trust_env=False) as api:
        answer = api.post("auth/login", json={"username": "admin", "password": password})
        api.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        yield api


def the_own_dag_has_measured(api: httpx.Client) -> None:
    """Look at the sample task, which the start has executed."""
    standing = api.get("tasks/1/status").json()
    runs = [(run["dag_id"], run["status"]) for run in standing["workflow_runs"]]
    assert runs == [(dag_id, "success") for dag_id in (*CHAIN[:2], "class_recall", CHAIN[2])]
    result = api.get("tasks/1").json()["result"]
    recalls = json.loads(Path(result["artifacts"]["recall.json"]).read_text())
    assert len(recalls) == 10
    assert result["metrics"]["worst_recall"] == min(recalls.values()) > 0.5
    workflows = api.get("workflows", params={"dag_id": "class_recall"}).json()["items"]
    assert [workflow["dag_id"] for workflow in workflows] == ["class_recall"]


def a_shell_reaches_the_stack(home: Path) -> None:
    """Execute the sample task at the command line, as docs/getting-started.md does."""
    assert stat.S_IMODE((home / "environment").stat().st_mode) == 0o600
    said = the_block("docs/getting-started.md", "shell", ".svops/environment")
    command = said.replace(".svops/", f"{home}/").replace(".venv/bin/svops", shlex.join(SVOPS))
    done = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "class_recall: success" in done.stdout
    assert (home / "output" / "task_1" / "3" / "recall.json").exists()


def it_can_fail_the_chain_and_that_is_told(api: httpx.Client) -> None:
    """Ask for more than the model can do, as the guide does, with its receiver on a port of its own."""
    told: list[Any] = []
    names: dict[str, Any] = {"__name__": "receiver", "print": lambda *words, **_: told.append(words)}
    exec(the_block("docs/getting-started.md", "python"), names)  # noqa: S102  # it is ours
    with HTTPServer((LOOPBACK, 0), names["Receiver"]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        mine = {"name": "mine", "channel": "webhook", "notification_types": ["task_completed", "task_failed"]}
        mine["webhook_url"] = f"http://{LOOPBACK}:{server.server_port}/"
        api.post("notifications/configs", json=mine).raise_for_status()
        api.post("tasks/1/execute", json={"parameters": {"min_recall": 0.9999}}).raise_for_status()
        wait_for(lambda: bool(told), "the notification")
        server.shutdown()
    (kind, task_id, error) = told[0]
    assert (kind, task_id, error["dag_id"], error["task_id"]) == (
        "task.failed",
        1,
        "class_recall",
        "class_recall",
    )
    assert re.fullmatch(r"class \d has a recall of 0\.\d{3}, below 0\.9999", error["message"])
    standing = api.get("tasks/1/status").json()
    assert [run["status"] for run in standing["workflow_runs"]] == ["success", "success", "failed", "skipped"]


def test_up_keeps_its_home_between_two_starts_and_takes_a_dag_of_ones_own(
    start: Callable[..., Command], folder: Path
) -> None:
    home = folder / "home"
    arguments = ("up", "--home", str(home), "--port", "0")

    first = start(*arguments)
    first.wait_for("Ctrl-C stops everything")
    password = re.search(r"admin with password (\S+)", first.said)
    assert password is not None
    assert "The task has completed: accuracy" in first.said
    assert f"Report: {home}/output/task_1/1/report.html" in first.said
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600
    second = start(*arguments)
    assert second.wait_for_end() == 1
    assert f"A stack is running in {home}" in second.errors.read_text()
    first.popen.send_signal(signal.SIGINT)
    assert first.wait_for_end() == 0
    assert not processes_of(home)
    holders = [
        path for path in home.rglob("*") if path.is_file() and password[1].encode() in path.read_bytes()
    ]
    assert holders == []

    again = start(*arguments, **with_a_dag_of_ones_own(home))
    again.wait_for("Ctrl-C stops everything")
    assert "password" not in again.said
    assert (home / "output" / "task_1" / "2" / "report.html").exists()
    with signed_in(again, password[1]) as api:
        the_own_dag_has_measured(api)
        a_shell_reaches_the_stack(home)
        it_can_fail_the_chain_and_that_is_told(api)
    scheduler = next(one for one in processes_of(home) if "scheduler" in one.cmdline())
    scheduler.kill()
    assert again.wait_for_end() == 1
    assert "scheduler was ended by SIGKILL" in again.errors.read_text()
    assert not processes_of(home)


def test_up_refuses_a_port_that_is_taken(start: Callable[..., Command]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        up = start("up", "--port", str(port))
        assert up.wait_for_end() == 1
    assert f"127.0.0.1:{port} is not free" in up.errors.read_text()
