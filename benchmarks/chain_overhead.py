"""How long a chain of three pipelines takes when the pipelines take no time, in SVOps' way and in Airflow's.

Everything is real and its own: PostgreSQL, Airflow's four processes with the LocalExecutor, and SVOps, in a
temporary folder and on a free port. The DAGs are in ``dags`` beside this file. Every chain runs the same
three DAGs of one task that does nothing, and is started by a request to the REST API.

What is measured, in seconds: of a chain of SVOps, from before ``POST tasks/{id}/execute`` (which also checks
the dataset and the configuration, and claims the task) to the commit that sets the execution and its task
completed; of the others, from before ``POST dags/{dag_id}/dagRuns`` to the end that Airflow records of the
run. With several chains at once, from before the first request to the end of the last.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import click
import httpx
from figures import Figure, json_option, keep
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url

from svops_plugin.infrastructure.airflow.processes import processes
from svops_plugin.presentation.cli import stack
from svops_plugin.presentation.cli.stack.commands import free_port, start_services
from svops_plugin.presentation.cli.stack.environment import (
    LOOPBACK,
    Home,
    base_url,
    environment,
    opened,
)
from svops_plugin.presentation.cli.stack.supervisor import (
    Interrupted,
    StackError,
    Supervisor,
    signals_as_events,
)

SVOPS = "svops"
REFERENCE = "operator_synchronous"
SLOW = "operator_default"
WAYS = {
    SVOPS: "SVOps' chain",
    REFERENCE: "TriggerDagRunOperator, synchronous, poke 1 s",
    "operator_deferrable": "TriggerDagRunOperator, deferrable, poke 1 s",
    "three_tasks": "three tasks in one DAG (the floor)",
    SLOW: "TriggerDagRunOperator, default settings (poke 60 s)",
}
HIGHEST_RATIO = 1.25  # of SVOps' chain to the synchronous operator
SLOTS = 32  # Airflow's default parallelism
LATENCY_SETTINGS = ("AIRFLOW__SCHEDULER__", "AIRFLOW__TRIGGERER__")
POLL = 0.1
LIMIT = 900.0  # seconds for one measurement; the slowest takes 200


@dataclass(frozen=True)
class Measurement:
    """Chains of one way that were started at once.

    :param seconds: until the last had ended
    :param wrong: how many did not end as successful
    :param load: of the machine, in the minute before the end
    """

    way: str
    chains: int
    seconds: float
    wrong: int
    load: float


class Access(NamedTuple):
    """Where a stack is, and what the user ``admin`` shows to be let in."""

    url: str
    password: str
    token: str


class Bench:
    """A running stack, and the ways to run chains in it.

    :param logs: the folder with a log of each process
    """

    def __init__(
        self, supervisor: Supervisor, access: Access, databases: dict[str, Engine], logs: Path
    ) -> None:
        self._supervisor = supervisor
        self.access = access
        self.logs = logs
        self._http = httpx.Client(
            base_url=access.url,
            headers={"Authorization": f"Bearer {access.token}"},
            trust_env=False,
            timeout=120,
        )
        self._databases = databases
        self._tasks: list[int] = []

    @property
    def metadata(self) -> Engine:
        """Airflow's own database."""
        return self._databases["airflow"]

    @property
    def svops(self) -> Engine:
        """SVOps' database."""
        return self._databases["svops"]

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask one of the two REST APIs for something."""
        answer = self._http.post(path, json=body)
        if answer.is_error:
            raise StackError(f"POST {path}: {answer.status_code} {answer.text[:500]}")
        result: dict[str, Any] = answer.json()
        return result

    def keep_tasks(self, count: int, dataset: dict[str, Any], output: Path) -> None:
        """Keep a task for each chain that is to run at once."""
        dataset_id = self.post("svops/api/v1/datasets", dataset)["id"]
        for number in range(count):
            body = {
                "name": f"Chain {number}",
                "customer": "benchmark",
                "dataset_id": dataset_id,
                "log_out_path": str(output),
            }
            self._tasks.append(self.post("svops/api/v1/tasks", body)["id"])

    def measure(self, way: str, chains: int) -> Measurement:
        """Start chains at once and wait until they and all they have left have ended."""
        with ThreadPoolExecutor(chains) as pool:
            began = time.time()
            started = list(pool.map(lambda number: self._start(way, number), range(chains)))
        ends = self._wait(way, started)
        load = os.getloadavg()[0]
        seconds = max(end for _, end in ends).timestamp() - began
        wrong = sum(state not in {"completed", "success"} for state, _ in ends)
        return Measurement(way, chains, round(seconds, 2), wrong, round(load, 2))

    def _start(self, way: str, number: int) -> str:
        """Start a chain; return its id in the database where its end is found."""
        if way == SVOPS:
            answer = self.post(f"svops/api/v1/tasks/{self._tasks[number]}/execute", {})
            return str(answer["execution_id"])
        answer = self.post(f"api/v2/dags/{way}/dagRuns", {"logical_date": None})
        return str(answer["dag_run_id"])

    def _wait(self, way: str, started: Sequence[str]) -> list[tuple[str, datetime]]:
        """Return how and when each chain has ended, once no DAG run is left that could disturb the next."""
        database, query = (
            ("svops", "SELECT status, ended_at FROM svops_execution WHERE id::text = ANY(:started)")
            if way == SVOPS
            else ("airflow", "SELECT state, end_date FROM dag_run WHERE run_id = ANY(:started)")
        )
        deadline = time.monotonic() + LIMIT
        while True:
            self._supervisor.pause(POLL)
            with self._databases[database].connect() as connection:
                ends = [(row[0], row[1]) for row in connection.execute(text(query), {"started": started})]
            with self._databases["airflow"].connect() as connection:
                left = connection.scalar(text("SELECT count(*) FROM dag_run WHERE end_date IS NULL"))
            if not left and all(end for _, end in ends):
                return ends
            if time.monotonic() > deadline:
                raise StackError(f"{way}: {left} DAG runs have not ended after {LIMIT:g} s.")


@contextmanager
def running(settings: str, most_chains: int) -> Iterator[Bench]:
    """Start a stack for these measurements; nothing of it is left afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="svops-benchmark-") as folder,
        signals_as_events() as events,
        opened(Path(folder)) as home,
    ):
        port = free_port(LOOPBACK, 0)
        variables = benchmark_environment(home, port, settings)
        with Supervisor(events, home.logs, variables, lock=home.lock) as supervisor:
            try:
                yield _start_stack(supervisor, home, base_url(LOOPBACK, port), variables, most_chains)
            except Interrupted as interruption:
                sys.exit(interruption.exit_status)


def benchmark_environment(home: Home, port: int, settings: str) -> dict[str, str]:
    """Return the stack's environment with the benchmark's DAGs."""
    variables = environment(home, LOOPBACK, port)
    if settings == "default":
        for name in processes().defaults:
            if name.startswith(LATENCY_SETTINGS) and name not in os.environ:
                del variables[name]
    variables["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).with_name("dags"))
    variables["AIRFLOW__SVOPS__CHAIN"] = "noop_1,noop_2,noop_3"
    return variables


def _start_stack(
    supervisor: Supervisor, home: Home, url: str, variables: dict[str, str], most_chains: int
) -> Bench:
    package = Path(stack.__file__).parent
    postgres: list[str | Path] = [sys.executable, "-I", package / "postgres.py", home.database, home.sockets]
    supervisor.start("postgres", postgres, stop_signal=signal.SIGINT)
    password = secrets.token_urlsafe(12)
    samples = supervisor.begin("samples", [sys.executable, "-m", f"{stack.__name__}.samples", home.data])
    prepare = [sys.executable, "-m", f"{stack.__name__}.prepare"]
    supervisor.finish(supervisor.begin("prepare", prepare, {"SVOPS_ADMIN_PASSWORD": password}))
    airflow = processes()
    start_services(supervisor, airflow, {**airflow.first, **airflow.later})
    while not _is_healthy(url):
        supervisor.pause(POLL)
    login = httpx.post(
        f"{url}/svops/api/v1/auth/login",
        json={"username": "admin", "password": password},
        trust_env=False,
        timeout=120,
    )
    metadata = make_url(variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    databases = {
        "airflow": create_engine(metadata),
        "svops": create_engine(metadata.set(database="svops")),
    }
    access = Access(url, password, login.raise_for_status().json()["access_token"])
    bench = Bench(supervisor, access, databases, home.logs)
    bench.keep_tasks(most_chains, json.loads(supervisor.finish(samples))[0], home.output)
    return bench


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/svops/api/v1/health", trust_env=False, timeout=20).is_success
    except httpx.TransportError:
        return False


def rounds(bench: Bench, chains: Sequence[int], repeat: int, slow: Sequence[int]) -> Iterator[Measurement]:
    """Measure every way in turn, so that a load on the machine meets all of them alike.

    The synchronous operator is left out where its waiting tasks would hold every slot, and none would end.

    :param slow: with how many chains at once the operator is measured with a poke of 60 s
    """
    bench.measure(SVOPS, 1)  # the first run of anything loads it
    for count in chains:
        for number in range(repeat):
            for way in WAYS:
                if way == SLOW and (number > 0 or count not in slow):
                    continue
                if way not in {REFERENCE, SLOW} or count < SLOTS:
                    yield bench.measure(way, count)


def medians(measured: Sequence[Measurement]) -> list[Measurement]:
    """Return one measurement for each way and number of chains: the median time, all wrong ends."""
    grouped: dict[tuple[int, str], list[Measurement]] = {}
    for one in measured:
        grouped.setdefault((one.chains, one.way), []).append(one)
    return [
        Measurement(
            way,
            chains,
            round(statistics.median(one.seconds for one in group), 2),
            sum(one.wrong for one in group),
            round(statistics.median(one.load for one in group), 2),
        )
        for (chains, way), group in grouped.items()
    ]


def show(results: Sequence[Measurement], settings: str) -> bool:
    """Print a table and JSON; tell whether SVOps' chain keeps its promise."""
    table = Table(
        "chains at once", "way", "seconds", "x synchronous", "wrong", "load", title=f"{settings} settings"
    )
    reference = references(results)
    for one in results:
        ratio = f"{one.seconds / reference[one.chains]:.2f}" if one.chains in reference else "-"
        table.add_row(*map(str, (one.chains, WAYS[one.way], one.seconds, ratio, one.wrong, one.load)))
    Console(width=110).print(table)
    print(json.dumps({"settings": settings, "results": [asdict(one) for one in results]}))
    kept = all(figure.met is not False for figure in figures(results))
    print(
        f"SVOps' chain at most {HIGHEST_RATIO} x the synchronous one, none wrong: {'yes' if kept else 'NO'}"
    )
    return kept


def references(results: Sequence[Measurement]) -> dict[int, float]:
    """Return how long the synchronous operator took, by the number of chains."""
    return {one.chains: one.seconds for one in results if one.way == REFERENCE}


def figures(results: Sequence[Measurement]) -> Iterator[Figure]:
    """Return the report's figures."""
    reference = references(results)
    for one in results:
        what = f"{one.chains} at once, {WAYS[one.way]}"
        ours = one.way == SVOPS
        yield Figure(what, one.seconds, "s")
        yield Figure(f"{what}: wrong ends", one.wrong, at_most=0 if ours else None)
        if ours and one.chains in reference:
            ratio = math.ceil(100 * one.seconds / reference[one.chains]) / 100
            yield Figure(f"{what}, to the synchronous operator", ratio, "x", at_most=HIGHEST_RATIO)


@click.command()
@click.option("--chains", default="1,20", show_default=True, help="How many at once, separated by commas.")
@click.option("--settings", type=click.Choice(["default", "tuned"]), default="tuned", show_default=True)
@click.option("--repeat", default=3, show_default=True, type=click.IntRange(1))
@click.option(
    "--slow", default="1,20", show_default=True, help="Of those, with a poke of 60 s as well; or none."
)
@json_option
def main(chains: str, settings: str, repeat: int, slow: str, report: Path | None) -> None:
    """Measure; "tuned" is what `svops up` sets, "default" is Airflow as it comes."""
    counts = [int(one) for one in chains.split(",")]
    slowly = [int(one) for one in slow.split(",") if one]
    with running(settings, max(counts)) as bench:
        measured = medians(list(rounds(bench, counts, repeat, slowly)))
    met = show(measured, settings)
    keep(report, figures(measured))
    sys.exit(not met)


if __name__ == "__main__":
    main()
