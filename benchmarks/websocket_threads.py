"""How the webserver of Airflow 2.11 does with a crowd of live sockets, each of which holds a thread of it.

As ``websocket_fanout.py``, but with two gunicorn workers of 128 threads, and with looks at how long Airflow's
own ``/health`` takes meanwhile: by several askers, each time over a new connection, so that either worker has
to answer. A worker that is full sends clients away with 1013, and they come again, as documented: the two
need not get equal shares. What the opening of all sockets at once does to ``/health`` has no bar.
Exit status 1 if an event was not delivered, or a bar in the issue was missed; a look that is answered with an
error, or not within a minute, ends it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import click
import httpx
from figures import Figure, json_option, keep
from websocket_fanout import Bench, running, show

BAR_HEALTH = 0.5
OPENING = 16  # handshakes at once
ASKERS, LOOK_SECONDS = 4, 0.2
LONGEST_LOOK = 60.0
QUIET_SECONDS = 5.0  # of a phase in which nothing is told
AGAIN_SECONDS = 0.2


async def crowd_in(bench: Bench, clients: int) -> int:
    """Open so many sockets, and return how often one was sent away."""
    refused = 0

    gate = asyncio.Semaphore(OPENING)

    async def one() -> None:
        nonlocal refused
        while True:
            try:
                async with gate:
                    client = await bench.crowd.open()
            except ConnectionError as refusal:
                if not str(refusal).startswith("1013"):
                    raise
                refused += 1
                await asyncio.sleep(AGAIN_SECONDS)
            else:
                bench.crowd.clients.append(client)
                return

    await asyncio.gather(*(one() for _ in range(clients)))
    return refused


@asynccontextmanager
async def watched(url: str, when: str) -> AsyncIterator[list[float]]:
    """Ask for the health of Airflow again and again, and show how long that took.

    A look that is under way at the end of the block is waited for, and counts.

    :raises httpx.HTTPError: if one failed
    """
    took: list[float] = []
    over = asyncio.Event()

    async def ask(http: httpx.AsyncClient) -> None:
        while not over.is_set():
            began = time.perf_counter()
            (await http.get("/health")).raise_for_status()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(LOOK_SECONDS)

    nothing_kept = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=url, trust_env=False, timeout=LONGEST_LOOK, limits=nothing_kept
    ) as http:
        asking = [asyncio.create_task(ask(http)) for _ in range(ASKERS)]
        try:
            yield took
        finally:
            over.set()
            await asyncio.gather(*asking)
    show(f"health_{when}", {"asked": len(took), "p50": median(took), "highest": round(max(took), 3)})


async def run(bench: Bench, clients: int, rate: float, seconds: float) -> list[Figure]:
    """Measure, and return the figures."""
    async with watched(bench.url, "without_sockets") as alone:
        await asyncio.sleep(QUIET_SECONDS)
    began = time.monotonic()
    async with watched(bench.url, "while_they_open") as opening:
        show("sent_away", await crowd_in(bench, clients))
    show("opened_per_second", round(clients / (time.monotonic() - began)))
    async with watched(bench.url, "connected") as connected:
        await asyncio.sleep(QUIET_SECONDS)
    async with watched(bench.url, "with_events") as busy:
        outcome = await bench.measure(rate, seconds)
    show("fanout", outcome)
    what = f"{clients:,} sockets, {rate:g} events/s"
    wrong = outcome.missing + outcome.out_of_order + outcome.lost_connections
    return [
        Figure(f"{what}: events missed or out of order, connections lost", wrong, at_most=0),
        Figure(f"{what}, p99", outcome.p99, "ms"),
        slowest("no sockets", alone),
        slowest(f"{clients:,} sockets while they open", opening),
        slowest(f"{clients:,} sockets", connected, BAR_HEALTH),
        slowest(what, busy, BAR_HEALTH),
    ]


def slowest(when: str, took: list[float], bar: float | None = None) -> Figure:
    """Return the figure of the slowest look."""
    return Figure(f"{when}: slowest /health", round(max(took), 3), "s", at_most=bar)


def median(found: list[float]) -> float:
    """Return the middle one, rounded."""
    return round(sorted(found)[len(found) // 2], 4)


@click.command()
@click.option("--clients", default=200, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--rate", default=10.0, show_default=True, help="Events per second.")
@click.option("--seconds", default=30.0, show_default=True)
@json_option
def main(clients: int, workers: int, rate: float, seconds: float, report: Path | None) -> None:
    """Measure, and say which bars were missed."""
    os.environ["AIRFLOW__WEBSERVER__WORKERS"] = str(workers)
    with running() as bench:
        found = asyncio.run(run(bench, clients, rate, seconds))
    keep(report, found)
    missed = [figure.what for figure in found if figure.met is False]
    show("missed", missed)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
