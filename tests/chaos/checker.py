"""Finds what SVOps says of its chains and is not so.

Both databases are read by SQL, in the two transactions that the caller opened, and compared with each other
and with the notes of the processes that ran. It is for a moment at which every chain should have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection, Row

from tests.chaos.gates import FOREIGN, Start
from tests.hosts import hosting

CONTROLLER = "svops_controller"
ENDED = {"completed", "failed", "cancelled"}
SAME_IN_AIRFLOW = {
    "success": "success",
    "failed": "failed",
    "cancelled": "failed",
    "skipped": None,
    "reused": None,
}
EVENT_OF_END = {
    "success": "workflow.completed",
    "failed": "workflow.failed",
    "cancelled": "workflow.stopped",
    "skipped": "workflow.skipped",
    "reused": "workflow.skipped",
}
BEGUN = """
    SELECT run_id, try_number, start_date, pid FROM task_instance WHERE start_date IS NOT NULL UNION
    SELECT run_id, try_number, start_date, pid FROM task_instance_history WHERE start_date IS NOT NULL"""
BOOT = 1.0  # seconds by which the birth of a process may be off: Linux tells its own in whole ones


@dataclass(frozen=True)
class Facts:
    """All that is known.

    :param dag_runs: Airflow's, by DAG and run id
    :param begun: every try of a task that Airflow let begin; without a pid if it never had a process
    :param events: how many there are, by type, execution and workflow run (none for those of the task)
    """

    tasks: Sequence[Row[Any]]
    executions: Sequence[Row[Any]]
    runs: Sequence[Row[Any]]
    dag_runs: dict[tuple[str, str], Row[Any]]
    events: Counter[tuple[str, int, int | None]]
    begun: Sequence[Row[Any]]
    starts: Sequence[Start]

    def runs_of(self, execution: Row[Any]) -> list[Row[Any]]:
        return [run for run in self.runs if run.execution_id == execution.id]

    def dag_run_of(self, run: Row[Any]) -> Row[Any] | None:
        return self.dag_runs.get((run.dag_id, run.dag_run_id))


def facts(svops: Connection, metadata: Connection, starts: Sequence[Start]) -> Facts:
    """Read both databases."""
    events = svops.execute(
        text("SELECT type, execution_id, run_id FROM svops_event WHERE execution_id IS NOT NULL")
    )
    every_run = text("SELECT dag_id, run_id, state, conf, queued_at, end_date FROM dag_run")
    dag_runs = metadata.execute(every_run.columns(**hosting().DAG_RUN_TYPES))
    return Facts(
        tasks=svops.execute(text("SELECT id, status, last_execution_id FROM svops_task ORDER BY id")).all(),
        executions=svops.execute(text("SELECT * FROM svops_execution ORDER BY id")).all(),
        runs=svops.execute(
            text("SELECT * FROM svops_workflow_run WHERE execution_id IS NOT NULL ORDER BY id")
        ).all(),
        dag_runs={(run.dag_id, run.run_id): run for run in dag_runs},
        events=Counter(tuple(event) for event in events),
        begun=metadata.execute(text(BEGUN)).all(),
        starts=starts,
    )


def violations(svops: Connection, metadata: Connection, starts: Sequence[Start]) -> list[str]:
    """Return a sentence for each thing that is not as it should be."""
    known = facts(svops, metadata, starts)
    return [violation for rule in RULES for violation in rule(known)]


def nothing_runs(known: Facts) -> Iterator[str]:
    for task in known.tasks:
        asked = any((run.conf or {}).get("task_id") == task.id for run in known.dag_runs.values())
        if task.status == "running" or (task.status == "pending" and asked):
            yield f"Task {task.id} is {task.status}."
    for execution in known.executions:
        if execution.status not in ENDED or execution.ended_at is None:
            yield f"Execution {execution.id} is {execution.status}."
    for run in known.runs:
        if run.status not in SAME_IN_AIRFLOW:
            yield f"Run {run.dag_run_id} is {run.status}."
    for dag_run in known.dag_runs.values():
        if dag_run.state not in {"success", "failed"}:
            yield f"Airflow's run {dag_run.run_id} is {dag_run.state}."


def tasks_say_what_their_last_executions_say(known: Facts) -> Iterator[str]:
    newest = {execution.task_id: execution for execution in known.executions}
    for task in known.tasks:
        last = newest.get(task.id)
        if task.last_execution_id != (last.id if last else None):
            yield f"Task {task.id} takes {task.last_execution_id} for its last execution."
        elif last and task.status != last.status:
            yield f"Task {task.id} is {task.status}, its execution {last.id} is {last.status}."


def executions_say_what_their_dag_runs_say(known: Facts) -> Iterator[str]:
    for execution in known.executions:
        runs = known.runs_of(execution)
        done = [run.status == "reused" or _state(known.dag_run_of(run)) == "success" for run in runs]
        controller = _state(known.dag_runs.get((CONTROLLER, execution.controller_run_id)))
        whole = all(done) and controller == "success"
        where = f"Execution {execution.id} is {execution.status}"
        if (execution.status == "completed") != whole:
            states = ", ".join(f"{run.dag_id} {_state(known.dag_run_of(run))}" for run in runs)
            yield f"{where}, but Airflow says: controller {controller}, {states}."
        if execution.status == "failed" and all(done):
            yield f"{where}, but every DAG of it succeeded."
        if (execution.status == "cancelled") != (
            execution.stop_requested_at is not None and execution.status != "completed"
        ):
            yield f"{where}; a stop was asked for at {execution.stop_requested_at}."
        if (execution.status == "failed") != (execution.error is not None):
            yield f"{where}; its error is {execution.error}."


def runs_say_what_airflow_says(known: Facts) -> Iterator[str]:
    """A run that is stopped before the scheduler comes to it is skipped here, and failed in Airflow."""
    begun = {one.run_id for one in known.begun if one.pid is not None}
    for run in known.runs:
        stopped = run.status == "skipped" and _state(known.dag_run_of(run)) == "failed"
        if stopped and run.dag_run_id not in begun:
            continue
        if run.status in SAME_IN_AIRFLOW and _state(known.dag_run_of(run)) != SAME_IN_AIRFLOW[run.status]:
            yield f"Run {run.dag_run_id} is {run.status}, in Airflow {_state(known.dag_run_of(run))}."


def nothing_runs_twice(known: Facts) -> Iterator[str]:
    carried = Counter((run.conf or {}).get("workflow_run_id") for run in known.dag_runs.values())
    for run in known.runs:
        if carried[run.id] > 1:
            yield f"{carried[run.id]} DAG runs are for run {run.id} ({run.dag_run_id})."
    controllers = Counter(
        run.conf["execution_id"]
        for run in known.dag_runs.values()
        if run.dag_id == CONTROLLER and (run.conf or {}).get("execution_id")
    )
    for execution_id, count in controllers.items():
        if count > 1:
            yield f"{count} controller runs are for execution {execution_id}."
    for (run_id, number), count in Counter(
        (start.run_id, start.try_number) for start in known.starts
    ).items():
        if count > 1:
            yield f"Try {number} of {run_id} was begun {count} times."


def no_step_starts_after_a_failed_or_stopped_one(known: Facts) -> Iterator[str]:
    for execution in known.executions:
        asked, unfinished = execution.stop_requested_at, ""
        ends = [execution.created_at]
        for run in known.runs_of(execution):
            dag_run = known.dag_run_of(run)
            if dag_run is not None:
                if unfinished or dag_run.queued_at < max(ends):
                    yield f"{run.dag_run_id} was triggered, {unfinished or 'one before'} had not succeeded."
                if asked is not None and dag_run.queued_at > asked:
                    yield f"{run.dag_run_id} was triggered after a stop had been asked for."
                ends += [dag_run.end_date] if dag_run.end_date else []
            if run.status != "reused" and _state(dag_run) != "success":
                unfinished = run.dag_run_id


def nothing_begins_after_the_end(known: Facts) -> Iterator[str]:
    """What SVOps let begin asked before the end.

    A DAG that asks nobody is judged by the birth of its process: what Airflow let begin before the end is
    killed at its next heartbeat only, and may note its start until then.
    """
    executions = {execution.id: execution for execution in known.executions}
    ends = {run.dag_run_id: executions[run.execution_id].ended_at for run in known.runs}
    for one in known.begun:
        if (end := ends.get(one.run_id)) is not None and one.start_date > end:
            yield f"Try {one.try_number} of {one.run_id} began after the end of its execution ({end})."
    for start in known.starts:
        if start.run_id not in ends:
            yield f"{start.run_id} began and is no run of SVOps'."
        elif (end := ends[start.run_id]) is not None and _beginning(start) > end.timestamp():
            yield f"Process {start.pid} of {start.run_id} began after the end of its execution ({end})."


def _beginning(start: Start) -> float:
    """Return the latest moment at which a process may be taken to have begun, in seconds since the epoch."""
    return start.born - BOOT if start.dag_id == FOREIGN else start.asked


def each_transition_has_one_event(known: Facts) -> Iterator[str]:
    for execution in known.executions:
        wanted = {
            "task.started": 1,
            **{f"task.{status}": int(execution.status == status) for status in ENDED},
        }
        for kind, count in wanted.items():
            if (found := known.events[kind, execution.id, None]) != count:
                yield f"Execution {execution.id} is {execution.status} and has {found} events {kind}."
    for run in known.runs:
        begins = [
            known.events[f"workflow.{verb}", run.execution_id, run.id] for verb in ("triggered", "retried")
        ]
        if sum(begins) != (0 if run.status == "reused" else 1):
            yield f"Run {run.dag_run_id} is {run.status} and has {sum(begins)} events of its beginning."
        started = known.events["workflow.started", run.execution_id, run.id]
        if started > 1 or (run.status in {"success", "cancelled"} and started == 0):
            yield f"Run {run.dag_run_id} is {run.status} and has {started} events workflow.started."
        for kind in sorted(set(EVENT_OF_END.values())):
            found = known.events[kind, run.execution_id, run.id]
            if found != (EVENT_OF_END.get(run.status) == kind):
                yield f"Run {run.dag_run_id} is {run.status} and has {found} events {kind}."


def no_process_survives(known: Facts) -> Iterator[str]:
    for start in known.starts:
        if start.is_alive:
            yield f"Process {start.pid} of {start.run_id} is alive."


def _state(dag_run: Row[Any] | None) -> str | None:
    return dag_run.state if dag_run is not None else None


RULES: tuple[Callable[[Facts], Iterator[str]], ...] = (
    nothing_runs,
    tasks_say_what_their_last_executions_say,
    executions_say_what_their_dag_runs_say,
    runs_say_what_airflow_says,
    nothing_runs_twice,
    no_step_starts_after_a_failed_or_stopped_one,
    nothing_begins_after_the_end,
    each_transition_has_one_event,
    no_process_survives,
)
