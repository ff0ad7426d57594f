"""A hundred tasks at once: whether all complete, no waiting step holds a slot and the scheduler keeps right.

The pipelines take no time (``dags`` beside this file); everything else is real, with Airflow's default
parallelism. A step holds its slot from the creation of its DAG run to the creation of its trigger,
which is when it has handed over; only steps that are seen to wait while no slot is to spare count, because
others may look for some seconds whether they can do without. Exit status 1 if a task did not complete, if the
scheduler wrote "state mismatch", or if a step held a slot for longer than handing over takes under such load.
"""

from __future__ import annotations

import json
import sys
import threading
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
    SELECT ti.run_id || ti.task_id, extract(epoch FROM waits.created_date - child.queued_at)
    FROM task_instance ti
    JOIN trigger waits ON waits.id = ti.trigger_id
    JOIN dag_run child ON child.run_id = ti.run_id || '__' || ti.task_id
    WHERE ti.dag_id = 'svops_controller' AND ti.state = 'deferred'
""")


class Watch(threading.Thread):
    """Looks again and again at which steps wait, and for how long they held a slot before."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(daemon=True)
        self._bench = bench
        self._done = threading.Event()
        self.most_deferred = 0
        self.held: dict[str, float] = {}

    def run(self) -> None:
        """Sample until stopped."""
        while not self._done.wait(SAMPLE_SECONDS):
            with self._bench.metadata.connect() as metadata, self._bench.svops.connect() as own:
                deferred = {step: float(seconds) for step, seconds in metadata.execute(HELD)}
                scarce = (own.scalar(UNDER_WAY) or 0) >= SLOTS
            self.most_deferred = max(self.most_deferred, len(deferred))
            if scarce:
                self.held.update(deferred)

    def stop(self) -> None:
        """End the thread."""
        self._done.set()
        self.join()


@click.command()
@click.option("--tasks", default=100, show_default=True, type=click.IntRange(1))
@json_option
def main(tasks: int, report: Path | None) -> None:
    """Execute so many tasks at once and look at the outcome."""
    with running("tuned", tasks) as bench:
        watch = Watch(bench)
        watch.start()
        measured = bench.measure(SVOPS, tasks)
        watch.stop()
        mismatches = Path(bench.logs, "scheduler.log").read_text().count("state mismatch")
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
    longest = max(held, default=0.0)
    what = f"{tasks} tasks at once"
    keep(
        report,
        [
            Figure(f"{what}: completed", tasks - measured.wrong, at_least=tasks),
            Figure(f"{what}: until the last", measured.seconds, "s"),
            Figure(f'{what}: "state mismatch" in the scheduler\'s log', mismatches, at_most=0),
            Figure(f"{what}: longest that a waiting step held a slot", longest, "s", at_most=LONGEST_HOLD),
        ],
    )
    sys.exit(1 if measured.wrong or mismatches or longest > LONGEST_HOLD else 0)


if __name__ == "__main__":
    main()
