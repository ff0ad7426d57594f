"""How the webserver of Airflow 2.11 does with a crowd of live sockets, each of which holds a thread of it.

As ``websocket_fanout.py``, but with two gunicorn workers of 128 threads, and with a look every tenth of a
second at how long Airflow's own ``/health`` takes meanwhile. A worker that is full sends clients away with
1013, and they come again, as documented: the two need not get equal shares.
Exit status 1 if an event was not delivered, or a bar in the issue was missed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click
import httpx
from websocket_fanout import Bench, running, show

BAR_HEALTH = 0.5
OPENING = 16  # handshakes at once
LOOK_SECONDS = 0.1
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
    """Ask for the health of Airflow again and again, and show how long that took."""
    took: list[float] = []

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
            while True:
                began = time.perf_counter()
                (await http.get("/health")).raise_for_status()
                took.append(time.perf_counter() - began)
                await asyncio.sleep(LOOK_SECONDS)

    asking = asyncio.create_task(ask())
    yield took
    asking.cancel()
    show(f"health_{when}", {"asked": len(took), "p50": median(took), "highest": round(max(took), 3)})


async def run(bench: Bench, clients: int, rate: float, seconds: float) -> list[str]:
    """Measure, and return which bars were missed."""
    async with watched(bench.url, "without_sockets"):
        await asyncio.sleep(5)
    began = time.monotonic()
    async with watched(bench.url, "while_they_open"):
        show("sent_away", await crowd_in(bench, clients))
    show("opened_per_second", round(clients / (time.monotonic() - began)))
    async with watched(bench.url, "with_events") as took:
        outcome = await bench.measure(rate, seconds)
    show("fanout", outcome)
    missed = []
    if max(took) > BAR_HEALTH:
        missed.append(f"/health took {max(took):.3f} s")
    if outcome.missing or outcome.out_of_order or outcome.lost_connections:
        missed.append("not every client got every event in order")
    return missed


def median(found: list[float]) -> float:
    """Return the middle one, rounded."""
    return round(sorted(found)[len(found) // 2], 4)


@click.command()
@click.option("--clients", default=200, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--rate", default=10.0, show_default=True, help="Events per second.")
@click.option("--seconds", default=30.0, show_default=True)
def main(clients: int, workers: int, rate: float, seconds: float) -> None:
    """Measure, and say which bars were missed."""
    os.environ["AIRFLOW__WEBSERVER__WORKERS"] = str(workers)
    with running() as bench:
        missed = asyncio.run(run(bench, clients, rate, seconds))
    show("missed", missed)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
