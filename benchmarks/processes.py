"""What the plugin adds to each process of Airflow: memory at rest, and the API server's start.

A stack is started with the plugin and, on the same database, without it (``without`` beside this file hides
it from Airflow), as often as asked for and in turn. Memory is the proportional set size of a process and its
children, so that pages that several of them share count once, after Airflow calls all of them healthy and a
task has run; the task writes down what its own process has. A start is from the command to the first answer
of Airflow's API; its processor time tells more where others use the machine.
Airflow 3 only. Printed is a line of JSON for each process.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
from figures import Figure, json_option, keep

from svops_plugin.infrastructure.airflow.processes import processes
from svops_plugin.presentation.cli.stack import commands
from svops_plugin.presentation.cli.stack.environment import LOOPBACK, Home, base_url, environment, opened
from svops_plugin.presentation.cli.stack.narrator import Narrator
from svops_plugin.presentation.cli.stack.supervisor import Process, Supervisor, signals_as_events

POLL = 0.1
MEGABYTE = 1024**2
TASK = "task"
WITH, WITHOUT = "with", "without"
DAG_FILE = """import os
from pathlib import Path

import psutil
from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.python import PythonOperator


def weigh():
    Path(os.environ["WEIGHED"]).write_text(str(psutil.Process().memory_full_info().pss))


with DAG("weigh", schedule=None) as dag:
    PythonOperator(task_id="weigh", python_callable=weigh)
"""
Sample = dict[str, float]


def megabytes(leader: psutil.Process) -> float:
    """Return the proportional set size of a process and all below it."""
    total = 0
    for process in [leader, *leader.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue  # a parser or a task that has just ended
    return total / MEGABYTE


def processor_seconds(leader: psutil.Process) -> float:
    """Return the processor time of a process and all below it."""
    spent = 0.0
    for process in [leader, *leader.children(recursive=True)]:
        times = process.cpu_times()
        spent += times.user + times.system
    return spent


class Arm:
    """A stack with or without the plugin.

    :param weighed: where the task writes what its process has, in bytes
    """

    def __init__(self, supervisor: Supervisor, url: str, password: str, weighed: Path) -> None:
        self._supervisor = supervisor
        self._http = httpx.Client(base_url=url, trust_env=False, timeout=60)
        self._password = password
        self._weighed = weighed
        self._airflow = processes()

    def measure(self) -> Sample:
        """Start everything, run a task, and return what was found."""
        server, began = self._start(self._airflow.server), time.monotonic()
        while not self._answers():
            self._supervisor.pause(POLL)
        sample = {"start_seconds": time.monotonic() - began}
        leader = psutil.Process(server.popen.pid)
        sample["start_processor_seconds"] = processor_seconds(leader)
        others = {**self._airflow.first, **self._airflow.later}
        del others[self._airflow.server]
        leaders = {self._airflow.server: leader}
        for name in others:
            leaders[name] = psutil.Process(self._start(name).popen.pid)
        self._run_task()
        sample[TASK] = int(self._weighed.read_text()) / MEGABYTE
        return sample | {name: megabytes(leader) for name, leader in leaders.items()}

    def has_plugin(self) -> bool:
        """Tell whether SVOps answers."""
        answer = self._http.get("/svops/api/v1/openapi.json")
        return "json" in answer.headers["Content-Type"]  # to what nobody knows Airflow answers with its page

    def _start(self, name: str) -> Process:
        arguments = {**self._airflow.first, **self._airflow.later}[name]
        return self._supervisor.start(name, [sys.executable, "-m", "airflow", *arguments])

    def _answers(self) -> bool:
        try:
            return self._http.get("/api/v2/version").is_success
        except httpx.TransportError:
            return False

    def _run_task(self) -> None:
        """Wait for health, run the DAG, and wait until it has succeeded."""
        credentials = {"username": commands.USERNAME, "password": self._password}
        token = self._http.post("/auth/token", json=credentials).raise_for_status().json()["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        while not self._is_healthy():
            self._supervisor.pause(POLL)
        self._weighed.unlink(missing_ok=True)
        path = "/api/v2/dags/weigh/dagRuns"
        run = self._http.post(path, json={"logical_date": None}).raise_for_status().json()
        while run["state"] in {"queued", "running"}:
            self._supervisor.pause(POLL)
            run = self._http.get(f"{path}/{run['dag_run_id']}").raise_for_status().json()
        assert run["state"] == "success", run

    def _is_healthy(self) -> bool:
        health: dict[str, Any] = self._http.get("/api/v2/monitor/health").raise_for_status().json()
        return all(part["status"] == "healthy" for part in health.values())


def measure(folder: Path, repeat: int) -> Iterator[tuple[str, Sample]]:
    """Prepare a database, and measure both on it in turn."""
    with ExitStack() as closing:
        events = closing.enter_context(signals_as_events())
        home = closing.enter_context(opened(folder))
        dags = home.path / "weighing"
        dags.mkdir()
        (dags / "weigh.py").write_text(DAG_FILE)
        port = commands.free_port(LOOPBACK, 0)
        variables = environment(home, LOOPBACK, port)
        variables["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags)
        variables["WEIGHED"] = str(home.path / "weighed")
        supervisor = closing.enter_context(Supervisor(events, home.logs, variables, lock=home.lock))
        postgres: list[str | Path] = [
            sys.executable,
            "-I",
            commands.HERE / "postgres.py",
            home.database,
            home.sockets,
        ]
        supervisor.start("postgres", postgres, stop_signal=signal.SIGINT)
        password, _ = commands.prepare(supervisor, Narrator())
        for _ in range(repeat):
            for name in (WITHOUT, WITH):
                yield name, _measure_one(home, variables, base_url(LOOPBACK, port), str(password), name)


def _measure_one(home: Home, variables: dict[str, str], url: str, password: str, name: str) -> Sample:
    if name == WITHOUT:
        variables = {**variables, "PYTHONPATH": str(Path(__file__).with_name("without"))}
    with (
        signals_as_events() as events,
        Supervisor(events, home.logs / name, variables, lock=home.lock) as supervisor,
    ):
        arm = Arm(supervisor, url, password, Path(variables["WEIGHED"]))
        sample = arm.measure()
        assert arm.has_plugin() is (name == WITH)
        return sample


def figures(samples: dict[str, list[Sample]]) -> Iterator[Figure]:
    """Return, of each thing, what it is without and with the plugin, and what is added: medians."""
    for name in samples[WITH][0]:
        unit = "s" if "seconds" in name else "MB"
        what = {
            "start_seconds": "start of the API server",
            "start_processor_seconds": "start of the API server, processor time",
            TASK: "memory of a task's process",
        }.get(name, f"memory of the {name}")
        plain, ours = (statistics.median(one[name] for one in samples[arm]) for arm in (WITHOUT, WITH))
        yield Figure(f"{what}, without the plugin", round(plain, 2), unit)
        yield Figure(f"{what}, with it", round(ours, 2), unit)
        yield Figure(f"{what}, added", round(ours - plain, 2), unit)


@click.command()
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1))
@json_option
def main(repeat: int, report: Path | None) -> None:
    """Measure each so often, and print medians."""
    samples: dict[str, list[Sample]] = {WITH: [], WITHOUT: []}
    with tempfile.TemporaryDirectory(prefix="svops-benchmark-") as folder:
        for name, sample in measure(Path(folder), repeat):
            samples[name].append(sample)
            rounded = {what: round(value, 2) for what, value in sample.items()}
            shown = {"plugin": name, **rounded, "load": round(os.getloadavg()[0], 2)}
            print(json.dumps(shown), flush=True)
    found = list(figures(samples))
    keep(report, found)
    for figure in found:
        print(f"{figure.what}: {figure.value} {figure.unit}")


if __name__ == "__main__":
    main()
