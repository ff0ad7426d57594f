"""What one look of the monitor costs when thousands of DAG runs are under way and none has changed.

Airflow's and SVOps' databases are real (PostgreSQL, migrated), and filled with executions of which one step
runs; no other process of Airflow is started. Printed are the milliseconds of a tick and its queries, which
are counted with a tenth of the runs first, and have to be as many then.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from figures import Figure, json_option, keep

from svops_plugin.presentation.cli import stack
from svops_plugin.presentation.cli.stack.commands import free_port
from svops_plugin.presentation.cli.stack.environment import LOOPBACK, Home, environment, opened
from svops_plugin.presentation.cli.stack.supervisor import Supervisor, signals_as_events

HIGHEST_MEDIAN = 250.0  # milliseconds, with 3,000 runs
STEPS = 3
TENTH = 10
TASKS_PER_RUN = 5


def prepare(supervisor: Supervisor, home: Home) -> None:
    """Start PostgreSQL and bring both databases to the present schemas."""
    package = Path(stack.__file__).parent
    postgres: list[str | Path] = [sys.executable, "-I", package / "postgres.py", home.database, home.sockets]
    supervisor.start("postgres", postgres, stop_signal=signal.SIGINT)
    command = [sys.executable, "-m", f"{stack.__name__}.prepare"]
    supervisor.finish(supervisor.begin("prepare", command, {"SVOPS_ADMIN_PASSWORD": "benchmark"}))


def fill(number: int) -> None:
    """Make so many executions whose first step runs, in both databases."""
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    from svops_plugin.application import chain
    from svops_plugin.application.executions import CONTROLLER
    from svops_plugin.bootstrap import services
    from svops_plugin.domain.entities import Dataset, DataType, Task, utcnow
    from svops_plugin.domain.states import RunStatus

    svops = services(pooled=True)
    dag_ids = svops.settings.chain
    states: list[tuple[str, str, str, int]] = []
    with svops.transactions() as uow:
        dataset = uow.datasets.add(Dataset(name=f"of {number}", path="/data", data_type=DataType.VECTOR))
        for index in range(number):
            fields = {"name": f"t{index}", "customer": "c", "log_out_path": "/out"}
            task = uow.tasks.add(Task(**fields, dataset_id=dataset.id, dataset=dataset))
            execution = chain.claim(uow, task, dag_ids, chain.Request(requested_by="benchmark"))
            execution.triggered_at = utcnow()
            states.append((CONTROLLER, execution.controller_run_id, "running", STEPS))
            for run in uow.runs.of_execution(execution.id):
                if run.position == 1:
                    uow.runs.move(run, RunStatus.RUNNING, start_date=utcnow())
                run.progress_total = TASKS_PER_RUN
                states.append((run.dag_id, run.dag_run_id, str(run.status), TASKS_PER_RUN))
    runs = [
        {"dag_id": dag_id, "run_id": run_id, "state": state, "run_type": "manual", "run_after": utcnow()}
        for dag_id, run_id, state, _ in states
    ]
    instances: list[dict[str, Any]] = [
        {"dag_id": dag_id, "run_id": run_id, "task_id": f"t{n}", "pool": "default_pool", "state": "queued"}
        for dag_id, run_id, _, tasks in states
        for n in range(tasks)
    ]
    with create_session() as session:
        session.execute(DagRun.__table__.insert(), runs)
        session.execute(TaskInstance.__table__.insert(), instances)


def measure(ticks: int) -> dict[str, Any]:
    """Return how long ticks take that find nothing to change, and how many queries each makes."""
    from airflow import settings
    from sqlalchemy.event import listen

    from svops_plugin.bootstrap import services

    svops = services(pooled=True)
    statements: list[str] = []
    for engine in (settings.engine, svops.engine):
        listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    svops.monitor.tick()
    statements.clear()
    times = []
    for _ in range(ticks):
        began = time.perf_counter()
        changes = svops.monitor.tick()
        times.append((time.perf_counter() - began) * 1000)
        assert changes == [], changes[:3]
    return {
        "milliseconds_median": round(statistics.median(times), 1),
        "milliseconds_worst": round(max(times), 1),
        "queries_per_tick": len(statements) / ticks,
        "load": round(os.getloadavg()[0], 2),
    }


@click.command()
@click.option(
    "--runs", default=3000, show_default=True, type=click.IntRange(STEPS * TENTH), help="Active DAG runs."
)
@click.option("--ticks", default=20, show_default=True, type=click.IntRange(1))
@json_option
def main(runs: int, ticks: int, report: Path | None) -> None:
    """Fill the databases, tick, and print what it took; exit status 1 above 250 ms, or if queries grow."""
    with ExitStack() as closing:
        folder = closing.enter_context(tempfile.TemporaryDirectory(prefix="svops-benchmark-"))
        events = closing.enter_context(signals_as_events())
        home = closing.enter_context(opened(Path(folder)))
        variables = environment(home, LOOPBACK, free_port(LOOPBACK, 0))
        supervisor = closing.enter_context(Supervisor(events, home.logs, variables, lock=home.lock))
        prepare(supervisor, home)
        os.environ.update(variables)
        executions, few = runs // STEPS, runs // STEPS // TENTH
        fill(few)
        before = measure(1)["queries_per_tick"]
        fill(executions - few)
        result = {"active_runs": executions * STEPS, **measure(ticks), "queries_with_a_tenth": before}
    print(json.dumps(result))
    other = abs(result["queries_per_tick"] - before)
    what = f"a look with {result['active_runs']:,} runs under way"
    median, worst = result["milliseconds_median"], result["milliseconds_worst"]
    keep(
        report,
        [
            Figure(f"{what}, median", median, "ms", at_most=HIGHEST_MEDIAN),
            Figure(f"{what}, worst", worst, "ms"),
            Figure(f"{what}: queries", result["queries_per_tick"]),
            Figure(f"{what}: queries more or less than with {few * STEPS:,}", other, at_most=0),
        ],
    )
    sys.exit(median > HIGHEST_MEDIAN or other > 0)


if __name__ == "__main__":
    main()
