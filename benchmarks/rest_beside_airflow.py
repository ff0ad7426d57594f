"""How many requests the REST API answers beside Airflow's own API in the same process.

Everything is real and its own: PostgreSQL and one API server with the plugin, in a temporary folder and on a
free port. No scheduler runs, so that runs that are asked for stay queued and take nothing from the server.
Both APIs have as many rows to list (DAGs and tasks) and answer the same number of them on a page.

Sixteen connections that are kept alive each send a request when the last one is answered. The pairs are
measured in turn, round by round, so that a load on the machine meets both alike; ratios are medians over
rounds, percentiles over all requests. An error of SVOps ends it, those of Airflow are counted. The client
is this process: raw sockets that only look for the end of an answer. On two cores it shares them with the
server and PostgreSQL; how much of a core it took is printed.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import httpx
from board_paint import COPIES
from chain_overhead import benchmark_environment
from connections import CONNECTIONS, Crowd, Request
from figures import Figure, json_option, keep
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import Engine

from svops_plugin.infrastructure.airflow.processes import processes
from svops_plugin.presentation.cli.stack import commands
from svops_plugin.presentation.cli.stack.environment import LOOPBACK, Home, base_url, opened
from svops_plugin.presentation.cli.stack.narrator import Narrator
from svops_plugin.presentation.cli.stack.supervisor import Supervisor, signals_as_events

ROWS = 50  # a page of Airflow's
WRITES = 160  # requests of a round that make a run; each takes a task of its own
FEWEST_TIMES = 3.0  # as many requests a second, lists and gets, as Airflow answers for a list
OURS, AIRFLOWS = "SVOps", "Airflow"
LIST, GET, EXECUTE = f"list of {ROWS}", "get", "execute"
DAG_FILE = """from airflow.providers.common.compat.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

for number in range({dags}):
    with DAG(f"listed_{{number}}", schedule=None, max_active_runs=10_000) as dag:
        EmptyOperator(task_id="nothing")
"""


class Pair(NamedTuple):
    """A request to each API that does the same kind of thing, by whose it is."""

    name: str
    requests: dict[str, Request]
    writes: bool = False


@dataclass
class Side:
    """What one API did with one kind of request: a rate for each round, and all latencies in seconds.

    :param errors: how many requests were answered with an error, which count in neither
    """

    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    client: list[float] = field(default_factory=list)
    errors: int = 0

    @property
    def rate(self) -> float:
        """Requests per second."""
        return statistics.median(self.rates)

    def milliseconds(self, share: float) -> float:
        """Return what this share of the requests was not slower than."""
        found = sorted(self.latencies)
        return found[min(int(len(found) * share), len(found) - 1)] * 1000

    def shown(self) -> dict[str, float]:
        """Return the figures, rounded."""
        return {
            "requests": len(self.latencies),
            "errors": self.errors,
            "requests_per_second": round(self.rate, 1),
            "p50_ms": round(self.milliseconds(0.5), 1),
            "p99_ms": round(self.milliseconds(0.99), 1),
            "client_cpu": round(statistics.median(self.client), 2),
        }


Sides = dict[str, Side]


@dataclass(frozen=True)
class Server:
    """A running API server.

    :param tasks: the ids of tasks to be executed, each once
    """

    url: str
    token: str
    tasks: Sequence[int]

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def request(self, method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
        """Return the bytes of a request."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: {}:{}".format(*self.address),
            f"Authorization: Bearer {self.token}",
            "Accept: application/json",
        ]
        if body is not None:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        return "\r\n".join([*lines, "", ""]).encode() + content

    def pairs(self) -> list[Pair]:
        """Return what is to be measured."""
        task, wanted = self.tasks[0], iter(self.tasks)

        def always(path: str) -> Request:
            request = self.request("GET", path)
            return lambda: request

        def execute() -> bytes:
            return self.request("POST", f"/svops/api/v1/tasks/{next(wanted)}/execute", {})

        run = self.request("POST", "/api/v2/dags/noop_1/dagRuns", {"logical_date": None})
        return [
            Pair(
                LIST,
                {
                    OURS: always(f"/svops/api/v1/tasks?limit={ROWS}"),
                    AIRFLOWS: always(f"/api/v2/dags?limit={ROWS}"),
                },
            ),
            Pair(GET, {OURS: always(f"/svops/api/v1/tasks/{task}"), AIRFLOWS: always("/api/v2/dags/noop_1")}),
            Pair(EXECUTE, {OURS: execute, AIRFLOWS: lambda: run}, writes=True),
        ]


async def measure(server: Server, rounds: int, seconds: float) -> dict[str, Sides]:
    """Ask both APIs in turn, and return what came of it for each pair."""
    found: dict[str, Sides] = {}
    pairs = server.pairs()
    for number in count():
        for pair in pairs:
            for whose, request in pair.requests.items():
                if pair.writes:
                    crowd = Crowd(number=WRITES if number else CONNECTIONS)
                else:
                    crowd = Crowd(seconds=seconds if number else 1)  # the first round loads and fills caches
                began, cpu = time.perf_counter(), time.process_time()
                await crowd.ask(server.address, request)
                took, spent = time.perf_counter() - began, time.process_time() - cpu
                if crowd.errors and (whose == OURS or not crowd.latencies):
                    raise click.ClickException(f"{pair.name} of {whose}: {crowd.errors[-1].decode()[:2000]}")
                if number:
                    side = found.setdefault(pair.name, {}).setdefault(whose, Side())
                    side.rates.append(len(crowd.latencies) / took)
                    side.latencies += crowd.latencies
                    side.client.append(spent / took)
                    side.errors += len(crowd.errors)
        if number == rounds:
            return found
    raise AssertionError


def figures(found: dict[str, Sides]) -> Iterator[Figure]:
    """Return the report's figures; lists and gets have a bar, writes are for information."""
    for name, sides in found.items():
        for whose, side in sides.items():
            yield Figure(f"{whose}: {name}", round(side.rate, 1), "requests/s")
            yield Figure(f"{whose}: {name}, p50", round(side.milliseconds(0.5), 1), "ms")
            highest = None
            if whose == OURS and name != EXECUTE:
                highest = round(found[LIST][AIRFLOWS].milliseconds(0.99), 1)
            yield Figure(f"{whose}: {name}, p99", round(side.milliseconds(0.99), 1), "ms", at_most=highest)
            client = round(statistics.median(side.client), 2)
            yield Figure(f"{whose}: {name}, the client's share of a core", client)
            yield Figure(
                f"{whose}: {name}, answered with an error", side.errors, at_most=0 if whose == OURS else None
            )
        bar = FEWEST_TIMES if name == LIST else None
        yield Figure(f"{name}: SVOps to Airflow", times(sides[OURS], sides[AIRFLOWS]), "x", at_least=bar)
    ratio = times(found[GET][OURS], found[LIST][AIRFLOWS])
    yield Figure("get: SVOps to Airflow's list", ratio, "x", at_least=FEWEST_TIMES)


def times(ours: Side, theirs: Side) -> float:
    """Return how many times as many requests a second one side answered, the median of the rounds."""
    pairs = zip(ours.rates, theirs.rates, strict=True)
    return round(statistics.median(own / other for own, other in pairs), 2)


@contextmanager
def running(tasks: int) -> Iterator[Server]:
    """Start PostgreSQL and the server that has both APIs, with so many tasks to be executed."""
    with (
        signals_as_events() as events,
        tempfile.TemporaryDirectory(prefix="svops-bench-") as folder,
        opened(Path(folder)) as home,
    ):
        port = commands.free_port(LOOPBACK, 0)
        variables = benchmark_environment(home, port, "tuned")
        variables["AIRFLOW__CORE__DAGS_FOLDER"] = str(dags_folder(home))
        with Supervisor(events, home.logs, variables, lock=home.lock) as supervisor:
            postgres = [sys.executable, "-I", commands.HERE / "postgres.py", home.database, home.sockets]
            supervisor.start("postgres", postgres, stop_signal=signal.SIGINT)
            samples = supervisor.begin(
                "samples", [sys.executable, "-m", f"{commands.__package__}.samples", home.data]
            )
            password, _ = commands.prepare(supervisor, Narrator())
            airflow = processes()
            commands.start_services(supervisor, airflow, {airflow.server: airflow.first[airflow.server]})
            url = base_url(LOOPBACK, port)
            while not _answers(url):
                supervisor.pause(0.2)
            dataset = json.loads(supervisor.finish(samples))[0]
            metadata = make_url(variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
            database = create_engine(metadata.set(database="svops"))
            token = _sign_in(url, str(password))
            _keep_a_task(url, token, dataset, home)
            yield Server(url, token, _copy_it(database, tasks))


def dags_folder(home: Home) -> Path:
    """Make a folder with the benchmark's DAGs and as many more as fill a page."""
    folder = home.path / "listed"
    folder.mkdir()
    for path in Path(__file__).with_name("dags").glob("*.py"):
        (folder / path.name).symlink_to(path)
    (folder / "listed.py").write_text(DAG_FILE.format(dags=ROWS))
    return folder


def _sign_in(url: str, password: str) -> str:
    credentials = {"username": commands.USERNAME, "password": password}
    answer = httpx.post(f"{url}/svops/api/v1/auth/login", json=credentials, trust_env=False, timeout=60)
    token: str = answer.raise_for_status().json()["access_token"]
    return token


def _keep_a_task(url: str, token: str, dataset: dict[str, Any], home: Home) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{url}/svops/api/v1/", headers=headers, trust_env=False, timeout=60) as http:
        dataset_id = http.post("datasets", json=dataset).raise_for_status().json()["id"]
        body = {
            "name": "Digits",
            "customer": "benchmark",
            "dataset_id": dataset_id,
            "log_out_path": str(home.output),
        }
        http.post("tasks", json=body).raise_for_status()


def _copy_it(database: Engine, number: int) -> list[int]:
    """Make so many tasks of the one that is there, and return their ids."""
    with database.begin() as connection:
        connection.execute(COPIES, {"many": number - 1})
        ids = list(connection.scalars(text("SELECT id FROM svops_task ORDER BY id")))
    database.dispose()
    return ids


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/svops/api/v1/health", trust_env=False, timeout=20).is_success
    except httpx.TransportError:
        return False


@click.command()
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--seconds", default=6.0, show_default=True, help="Of each API, list and get, in a round.")
@json_option
def main(rounds: int, seconds: float, report: Path | None) -> None:
    """Measure, and print a line of JSON for each pair; exit status 1 if a bar was missed."""
    import uvloop  # Airflow 3 has it

    with running(max(ROWS, WRITES * rounds + CONNECTIONS)) as server:
        found = uvloop.run(measure(server, rounds, seconds))
    for name, sides in found.items():
        shown = {whose: side.shown() for whose, side in sides.items()}
        print(json.dumps({"pair": name, **shown, "load": round(os.getloadavg()[0], 2)}), flush=True)
    results = list(figures(found))
    keep(report, results)
    missed = [one.what for one in results if one.met is False]
    print(json.dumps({"missed": missed}))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
