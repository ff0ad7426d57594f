"""``svops up`` and ``svops demo`` as a person uses them: the output, the exit status, and what is left.

Every process of a stack works in its home or was told of it, which is how the tests find them all.
"""

from __future__ import annotations

import json
import os
import re
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
from tests.e2e.terminal import Terminal, terminal
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


def address_of(up: Command) -> str:
    """Return where a stack answers."""
    address = re.search(r"Open (http://\S+) and", up.said)
    assert address, up.said
    return address[1]


@contextmanager
def signed_in(up: Command, password: str) -> Iterator[httpx.Client]:
    """Give the administrator's client of a stack's API."""
    with httpx.Client(base_url=f"{address_of(up)}/svops/api/v1", timeout=120, trust_env=False) as api:
        answer = api.post("auth/login", json={"username": "admin", "password": password})
        api.headers["Authorization"] = f"Bearer {answer.raise_for_status().json()['access_token']}"
        yield api


def answers(shown: str) -> list[Any]:
    """Return what a block's requests were answered: JSON after JSON."""
    found, decoder, rest = [], json.JSONDecoder(), shown.strip()
    while rest:
        answer, end = decoder.raw_decode(rest)
        found.append(answer)
        rest = rest[end:].lstrip()
    return found


def the_readme_is_right(reader: Terminal, api: httpx.Client) -> None:
    """Type the blocks of README.md, whose like README.ko.md has, on a stack that has just been started."""
    dataset, task, started, standing = answers(reader.type(the_block("README.md", "console", "auth/login")))
    assert (dataset["id"], task["id"], started["task_id"]) == (4, 2, 2)
    assert (standing["execution_id"], standing["overall_status"]) == (started["execution_id"], "running")
    said = reader.type(the_block("README.md", "console", "svops samples create")).splitlines()
    began = "Task 3 execution started with 3 DAG chain"
    ends = [line for line in said if line.startswith("Task 3")]
    assert ends == [began, "Task 3: cancelled", began, "Task 3: completed"]
    assert any(" task.cancelled task=3 " in line for line in said)
    assert [line for line in said if line.startswith("ok ")][-1].split()[1] == "worker:"
    wait_for(lambda: api.get("tasks/2").json()["status"] != "running", "the end of task 2")
    assert api.get("tasks/2").json()["status"] == "completed"


def of_the_guide(saying: str) -> str:
    return the_block("docs/getting-started.md", "shell", saying)


def the_guide_asks(reader: Terminal, home: Path, api: httpx.Client) -> None:
    """Type the third part of docs/getting-started.md."""
    (standing,) = answers(reader.type(of_the_guide("auth/login")))
    assert (standing["attempt"], standing["overall_status"]) == (1, "completed")
    assert stat.S_IMODE((home / "environment").stat().st_mode) == 0o600
    said = reader.type(of_the_guide(".svops/environment"))
    assert "simple_workflow_example: success" in said
    assert "Task 1: completed" in said
    assert "class_recall" not in said
    (started,) = answers(reader.type(of_the_guide("-d '{}'")))
    assert (started["task_id"], started["attempt"]) == (1, 3)
    api.post("tasks/1/stop").raise_for_status()  # instead of waiting, as the guide's reader does


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


def the_terminal_goes_on(reader: Terminal, home: Path) -> None:
    """Read the environment anew, as the guide says, and execute the sample task with the longer chain."""
    said = reader.type(of_the_guide(".svops/environment"))
    assert "class_recall: success" in said
    assert (home / "output" / "task_1" / "5" / "recall.json").exists()


def it_can_fail_the_chain_and_that_is_told(reader: Terminal, api: httpx.Client) -> None:
    """Ask for more than the model can do, as the guide does, with its receiver on a port of its own."""
    told: list[Any] = []
    names: dict[str, Any] = {"__name__": "receiver", "print": lambda *words, **_: told.append(words)}
    exec(the_block("docs/getting-started.md", "python"), names)  # noqa: S102  # it is ours
    with HTTPServer((LOOPBACK, 0), names["Receiver"]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reader.instead[":9000"] = f":{server.server_port}"
        made, tried = answers(reader.type(of_the_guide("notifications/configs")))
        assert (made["name"], "on its way" in tried["message"]) == ("mine", True)
        (started,) = answers(reader.type(of_the_guide("min_recall")))
        assert started["attempt"] == 6
        wait_for(lambda: len(told) > 1, "the notification")
        server.shutdown()
    assert told[0] == ("notification.requested", None, None)
    (kind, task_id, error) = told[1]
    assert (kind, task_id, error["dag_id"], error["task_id"]) == (
        "task.failed",
        1,
        "class_recall",
        "class_recall",
    )
    assert re.fullmatch(r"class \d has a recall of 0\.\d{3}, below 0\.9999", error["message"])
    standing = api.get("tasks/1/status").json()
    assert [run["status"] for run in standing["workflow_runs"]] == ["success", "success", "failed", "skipped"]


@pytest.mark.timeout(1800)  # seven chains from end to end, and two starts
def test_up_keeps_its_home_between_two_starts_and_takes_a_dag_of_ones_own(
    start: Callable[..., Command], folder: Path
) -> None:
    home = folder / ".svops"
    (folder / ".venv").symlink_to(sys.prefix, target_is_directory=True)
    arguments = ("up", "--home", str(home), "--port")

    first = start(*arguments, "0")
    first.wait_for("Ctrl-C stops everything")
    said = re.search(r"admin with password (\S+)", first.said)
    assert said is not None
    password, port = said[1], address_of(first).rpartition(":")[2]
    assert "The task has completed: accuracy" in first.said
    assert f"Report: {home}/output/task_1/1/report.html" in first.said
    assert stat.S_IMODE((home / "secrets.json").stat().st_mode) == 0o600
    second = start(*arguments, "0")
    assert second.wait_for_end() == 1
    assert f"A stack is running in {home}" in second.errors.read_text()

    instead = {":8080": f":{port}", "choose-one": password}
    with terminal(folder, instead) as guides:
        with (
            signed_in(first, password) as api,
            terminal(folder, instead, SVOPS_ADMIN_PASSWORD=password) as readmes,
        ):
            the_readme_is_right(readmes, api)
            the_guide_asks(guides, home, api)
        first.popen.send_signal(signal.SIGINT)
        assert first.wait_for_end() == 0
        assert not processes_of(home)
        holders = [
            path for path in home.rglob("*") if path.is_file() and password.encode() in path.read_bytes()
        ]
        assert holders == []

        again = start(*arguments, port, **with_a_dag_of_ones_own(home))
        again.wait_for("Ctrl-C stops everything")
        assert "password" not in again.said
        assert (home / "output" / "task_1" / "4" / "report.html").exists()
        with signed_in(again, password) as api:
            the_own_dag_has_measured(api)
            the_terminal_goes_on(guides, home)
            it_can_fail_the_chain_and_that_is_told(guides, api)
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
