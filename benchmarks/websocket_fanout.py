"""How many live sockets one API-server process serves, how fast, and where that ends.

Everything is real and its own: PostgreSQL, Airflow's API server with one worker (nothing else is needed to
tell events), in a temporary folder and on a free port. The load generator is this process: raw sockets that
count frames, so that it costs less than what it measures. A third process writes events, each in a
transaction of its own as the use cases do.

Latency is from before the transaction that writes the event to when the client's process has read the frame.
Clients do not offer compression: with it the server compresses each frame for each client.
Exit status 1 if an event was not delivered, or a bar in the issue was missed.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
from figures import Figure, json_option, keep
from listeners import Crowd

from svops_plugin.infrastructure.airflow.processes import processes
from svops_plugin.presentation.cli.stack import commands
from svops_plugin.presentation.cli.stack.environment import LOOPBACK, base_url, environment, opened
from svops_plugin.presentation.cli.stack.narrator import Narrator
from svops_plugin.presentation.cli.stack.supervisor import Supervisor, signals_as_events

BARE_UVICORN = 58_000  # frames per second on a full core of the reference machine
BAR_FANOUT_P99, BAR_ONE_P99, BAR_REPLAY, BAR_SLOWER = 0.250, 0.050, 1.0, 1.5
BROKEN_P99 = 1.0
REPLAYED = 10_000


def write(pipe: Any) -> None:
    """Write events as told over the pipe: ``(number, per second, events per transaction)``; 0 is at once."""
    from svops_plugin.bootstrap import services
    from svops_plugin.domain.entities import Event

    transactions = services(pooled=True).transactions
    while (order := pipe.recv()) is not None:
        number, rate, each = order
        began = time.monotonic()
        for sent in range(0, number, each):
            if rate:
                time.sleep(max(0.0, began + sent / rate - time.monotonic()))
            with transactions() as uow:
                for _ in range(each):
                    data = {"at": time.time(), "name": "Digits", "status": "running", "customer": "acme"}
                    event = Event(type="task.updated", task_id=1, user_id=1, actor="benchmark", data=data)
                    uow.record(event)
        pipe.send(event.id)


@dataclass
class Outcome:
    """What so many clients got of so many events a second; latencies in milliseconds.

    :param server_cpu: the server's share of a core
    :param load: of the machine, in the minute before the end: well above 2 means that others had their share
    """

    clients: int
    events_per_second: float
    seconds: float
    delivered: int
    missing: int
    out_of_order: int
    lost_connections: int
    p50: float
    p99: float
    highest: float
    frames_per_second: float
    share_of_bare_uvicorn: float
    server_cpu: float
    load: float


class Bench:
    """A running API server, its load generator and its writer."""

    def __init__(self, url: str, token: str, server: psutil.Process) -> None:
        self.url = url
        self.crowd = Crowd(url, token)
        self._server = server
        self._http = httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
        )
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._writer = context.Process(target=write, args=(theirs,), daemon=True)
        self._writer.start()

    def close(self) -> None:
        """End the writer."""
        self._pipe.send(None)
        self._writer.join()

    async def write(self, number: int, rate: float = 0, each: int = 1) -> int:
        """Let events be written and return the last id."""
        self._pipe.send((number, rate, each))
        return int(await asyncio.to_thread(self._pipe.recv))

    def memory(self) -> int:
        """Return the server's resident bytes."""
        return int(self._server.memory_info().rss)

    async def measure(self, rate: float, seconds: float) -> Outcome:
        """Write events at a rate and see what arrives."""
        crowd, number = self.crowd, int(rate * seconds)
        crowd.begin()
        lost, began, cpu = crowd.lost, time.monotonic(), sum(self._server.cpu_times()[:2])
        await self.write(number, rate)
        expected = number * len(crowd.clients)
        await crowd.wait_for(expected)
        took = time.monotonic() - began
        used = sum(self._server.cpu_times()[:2]) - cpu
        found = sorted(crowd.latencies) or [float("inf")]
        return Outcome(
            clients=len(crowd.clients),
            events_per_second=rate,
            seconds=round(took, 1),
            delivered=crowd.frames,
            missing=expected - crowd.frames,
            out_of_order=crowd.disorder,
            lost_connections=crowd.lost - lost,
            p50=round(found[len(found) // 2] * 1000, 1),
            p99=round(found[int(len(found) * 0.99)] * 1000, 1),
            highest=round(found[-1] * 1000, 1),
            frames_per_second=round(crowd.frames / took),
            share_of_bare_uvicorn=round(crowd.frames / took / BARE_UVICORN, 2),
            server_cpu=round(used / took, 2),
            load=round(os.getloadavg()[0], 1),
        )

    async def request_seconds(self, number: int = 1000) -> float:
        """Return the median of so many requests for a list, one after the other."""
        found = []
        for _ in range(number):
            began = time.perf_counter()
            (await self._http.get("/svops/api/v1/tasks")).raise_for_status()
            found.append(time.perf_counter() - began)
        return statistics.median(found)

    async def replay_seconds(self) -> float:
        """Return how long a client takes to get what it missed."""
        since = await self.write(1)
        last = await self.write(REPLAYED, each=500)
        self.crowd.begin()
        began = time.perf_counter()
        client = await self.crowd.open(f"?since={since}")
        while client.last_id < last:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.001)
        took = time.perf_counter() - began
        client.transport.abort()
        assert self.crowd.frames == REPLAYED
        return took


def show(name: str, value: Any) -> None:
    """Print a result as it comes."""
    print(json.dumps({name: asdict(value) if isinstance(value, Outcome) else value}), flush=True)


async def run(bench: Bench, clients: int, rate: float, seconds: float, *, limits: bool) -> list[Figure]:
    """Measure everything, and return the report's figures."""
    found = []

    def bar(what: str, value: float, unit: str, highest: float | None = None) -> None:
        found.append(Figure(what, round(value, 4), unit, at_most=highest))
        show(what, round(value, 4))

    crowd = bench.crowd
    await bench.request_seconds(50)
    before = await bench.request_seconds()
    bar(f"replay of {REPLAYED:,} events", await bench.replay_seconds(), "s", BAR_REPLAY)
    await crowd.grow(1)
    one = await bench.measure(20, 15)
    show("one_client", one)
    bar("one client, p99", one.p99, "ms", BAR_ONE_P99 * 1000)

    await crowd.grow(1000)
    slower = await bench.request_seconds() / before
    bar("a list of tasks with 1,000 sockets, to without", slower, "x", BAR_SLOWER)
    resident, opened_before = bench.memory(), len(crowd.clients)
    began = time.perf_counter()
    await crowd.grow(clients)
    show("opened_per_second", round((clients - opened_before) / (time.perf_counter() - began)))
    bar("memory of a socket", (bench.memory() - resident) / 1024 / (clients - opened_before), "KiB")
    main = await bench.measure(rate, seconds)
    show("fanout", main)
    what = f"{clients:,} clients, {rate:g} events/s"
    bar(f"{what}, p50", main.p50, "ms")
    bar(f"{what}, p99", main.p99, "ms", BAR_FANOUT_P99 * 1000)
    bar(f"{what}: the server's share of a core", main.server_cpu, "")
    wrong = main.missing + main.out_of_order + main.lost_connections
    bar(f"{what}: events missed or out of order, connections lost", wrong, "", 0)
    if limits:
        await find_limit("events", lambda step: (clients, rate * (1 + step / 2)), bench)
        await find_limit("clients", lambda step: (clients + 1000 * step, rate), bench)
    return found


async def find_limit(name: str, step: Callable[[int], tuple[int, float]], bench: Bench) -> None:
    """Step up until it breaks, and say where."""
    held = None
    for number in range(1, 20):
        clients, rate = step(number)
        await bench.crowd.grow(clients)
        outcome = await bench.measure(rate, 15)
        show(f"limit_{name}", outcome)
        if outcome.missing or outcome.lost_connections or outcome.p99 > BROKEN_P99 * 1000:
            break
        held = outcome
    show(f"most_{name}", held)


@contextmanager
def running() -> Iterator[Bench]:
    """Start PostgreSQL and the server that has the pages and APIs."""
    with (
        signals_as_events() as events,
        tempfile.TemporaryDirectory(prefix="svops-bench-") as folder,
        opened(Path(folder)) as home,
    ):
        port = commands.free_port(LOOPBACK, 0)
        variables = environment(home, LOOPBACK, port)
        with Supervisor(events, home.logs, variables, lock=home.lock) as supervisor:
            server = [sys.executable, "-I", commands.HERE / "postgres.py", home.database, home.sockets]
            supervisor.start("postgres", server, stop_signal=signal.SIGINT)
            password, _ = commands.prepare(supervisor, Narrator())
            airflow = processes()
            commands.start_services(supervisor, airflow, {airflow.server: airflow.first[airflow.server]})
            url = base_url(LOOPBACK, port)
            while not _answers(url):
                supervisor.pause(0.2)
            credentials = {"username": commands.USERNAME, "password": password}
            answer = httpx.post(f"{url}/svops/api/v1/auth/login", json=credentials, trust_env=False)
            os.environ.update(variables)
            bench = Bench(url, answer.json()["access_token"], _listening(port))
            try:
                yield bench
            finally:
                bench.close()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/svops/api/v1/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


def _listening(port: int) -> psutil.Process:
    """Return the process that serves a port."""
    found = (one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN)
    return psutil.Process(next(one.pid for one in found if one.laddr.port == port))


@click.command()
@click.option("--clients", default=2000, show_default=True, type=click.IntRange(1001))
@click.option("--rate", default=10.0, show_default=True, help="Events per second.")
@click.option("--seconds", default=60.0, show_default=True)
@click.option("--limits/--no-limits", default=True, help="Step up until it breaks.")
@json_option
def main(clients: int, rate: float, seconds: float, report: Path | None, *, limits: bool) -> None:
    """Measure, and say which bars were missed."""
    import uvloop  # Airflow 3 has it

    with running() as bench:
        found = uvloop.run(run(bench, clients, rate, seconds, limits=limits))
    keep(report, found)
    missed = [figure.what for figure in found if figure.met is False]
    show("missed", missed)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
