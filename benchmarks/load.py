"""A hundred tasks at once: whether all complete, no waiting step holds a slot and the scheduler keeps right.

The pipelines take no time (``dags`` beside this file); everything else is real, with Airflow's default
parallelism. Exit status 1 if a task did not complete, if the scheduler wrote "state mismatch", or if a step's
task was seen running for more than 30 s while its DAG run was under way; it may look for three itself.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

import click
from chain_overhead import SVOPS, Bench, running
from sqlalchemy import text

SAMPLE_SECONDS = 0.5
WAITING = text("""
    SELECT count(*) FILTER (WHERE ti.state = 'deferred'),
           count(*) FILTER (WHERE ti.state = 'running' AND child.run_id IS NOT NULL
                                  AND ti.start_date < now() - interval '30 seconds')
    FROM task_instance ti
    LEFT JOIN dag_run child ON child.state IN ('queued', 'running') AND child.run_id LIKE ti.run_id || '__%'
    WHERE ti.dag_id = 'svops_controller' AND ti.operator = 'ChainStepOperator'
""")


class Watch(threading.Thread):
    """Looks again and again at how many steps wait, and how many of them hold a slot for it."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(daemon=True)
        self._bench = bench
        self._done = threading.Event()
        self.most_deferred = 0
        self.most_holding = 0

    def run(self) -> None:
        """Sample until stopped."""
        while not self._done.wait(SAMPLE_SECONDS):
            with self._bench.metadata.connect() as connection:
                deferred, holding = connection.execute(WAITING).one()
            self.most_deferred = max(self.most_deferred, deferred)
            self.most_holding = max(self.most_holding, holding)

    def stop(self) -> None:
        """End the thread."""
        self._done.set()
        self.join()


@click.command()
@click.option("--tasks", default=100, show_default=True, type=click.IntRange(1))
def main(tasks: int) -> None:
    """Execute so many tasks at once and look at the outcome."""
    with running("tuned", tasks) as bench:
        watch = Watch(bench)
        watch.start()
        measured = bench.measure(SVOPS, tasks)
        watch.stop()
        mismatches = Path(bench.logs, "scheduler.log").read_text().count("state mismatch")
    outcome = {
        "tasks": tasks,
        "completed": tasks - measured.wrong,
        "seconds": measured.seconds,
        "most_steps_waiting": watch.most_deferred,
        "most_steps_holding_a_slot_while_waiting": watch.most_holding,
        "state_mismatches": mismatches,
        "load": measured.load,
    }
    print(json.dumps(outcome))
    sys.exit(1 if measured.wrong or mismatches or watch.most_holding else 0)


if __name__ == "__main__":
    main()
