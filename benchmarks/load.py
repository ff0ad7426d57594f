"""A hundred tasks at once: whether all complete, no waiting step holds a slot and the scheduler keeps right.

The pipelines take no time (``dags`` beside this file); everything else is real, with Airflow's default
parallelism. A step holds its slot from the creation of its DAG run to the creation of its trigger, which is
when it has handed over, or for as long as it runs. Only steps that are seen while no slot is to spare count;
others may look for some seconds whether they can do without. Exit status 1 if a task did not complete, if
Airflow's audit log has a "state mismatch" (which is where the scheduler tells of a task that ended otherwise
than it was told), if a step held a slot for longer than handing over takes under such load, or if too few
steps were seen for that to mean anything.
"""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import click
from chain_overhead import SLOTS, SVOPS, Bench, running
from figures import Figure, json_option, keep
from sqlalchemy import text

SAMPLE_SECONDS = 0.5
LONGEST_HOLD = 2.0  # seconds; a step that looks first holds its slot for six
UNDER_WAY = text("SELECT count(*) FROM svops_execution WHERE status = 'running'")
HELD = text("""
    SELECT ti.run_id || ti.task_id, ti.state,
        extract(epoch FROM coalesce(waits.created_date, clock_timestamp()) - child.queued_at)
    FROM task_instance ti
    LEFT JOIN trigger waits ON waits.id = ti.trigger_id
    JOIN dag_run child ON child.run_id = ti.run_id || '__' || ti.task_id
    WHERE ti.dag_id = 'svops_controller' AND ti.state IN ('deferred', 'running')
        AND child.state IN ('queued', 'running')
""")
MISMATCHES = text("SELECT count(*) FROM log WHERE event = 'state mismatch'")


class Watch:
    """Looks again and again at which steps wait, and for how long they hold a slot or held one before."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.most_deferred = 0
        self.held: dict[str, float] = {}

    def until(self, done: threading.Event) -> None:
        """Sample until it is over."""
        while not done.wait(SAMPLE_SECONDS):
            with self._bench.metadata.connect() as metadata, self._bench.svops.connect() as own:
                waiting = metadata.execute(HELD).all()
                scarce = (own.scalar(UNDER_WAY) or 0) >= SLOTS
            self.most_deferred = max(self.most_deferred, sum(state == "deferred" for _, state, _ in waiting))
            if scarce:
                self.held.update({step: float(seconds) for step, _, seconds in waiting})


@click.command()
@click.option("--tasks", default=100, show_default=True, type=click.IntRange(1))
@json_option
def main(tasks: int, report: Path | None) -> None:
    """Execute so many tasks at once and look at the outcome."""
    with running("tuned", tasks) as bench:
        watch, over = Watch(bench), threading.Event()
        with ThreadPoolExecutor(1) as pool:
            watching = pool.submit(watch.until, over)
            try:
                measured = bench.measure(SVOPS, tasks)
            finally:
                over.set()
            watching.result()
        with bench.metadata.connect() as metadata:
            mismatches = int(metadata.scalar(MISMATCHES) or 0)
    held = [round(seconds, 2) for seconds in watch.held.values()]
    outcome = {
        "tasks": tasks,
        "completed": tasks - measured.wrong,
        "seconds": measured.seconds,
        "most_steps_waiting": watch.most_deferred,
        "steps_seen_while_slots_were_scarce": len(watch.held),
        "seconds_that_they_held_a_slot": {"median": median(held or [0.0]), "worst": max(held, default=0.0)},
        "state_mismatches": mismatches,
        "load": measured.load,
    }
    print(json.dumps(outcome))
    what = f"{tasks} tasks at once"
    figures = [
        Figure(f"{what}: completed", tasks - measured.wrong, at_least=tasks),
        Figure(f"{what}: until the last", measured.seconds, "s"),
        Figure(f'{what}: "state mismatch" in Airflow\'s audit log', mismatches, at_most=0),
        Figure(f"{what}: steps seen while no slot was to spare", len(held), at_least=max(0, tasks - SLOTS)),
        Figure(
            f"{what}: longest that a waiting step held a slot",
            max(held, default=0.0),
            "s",
            at_most=LONGEST_HOLD,
        ),
    ]
    keep(report, figures)
    sys.exit(any(figure.met is False for figure in figures))


if __name__ == "__main__":
    main()
