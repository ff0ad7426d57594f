"""The monitor: repairs whatever a callback missed.

Callbacks in tasks are hints that come at once when all goes well. The monitor compares what SVOps has
recorded of every active run with what Airflow knows, and makes up the difference through the same functions;
compare-and-set lets the first reporter win.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from functools import partial

from svops_plugin.application import alone, chain
from svops_plugin.application.airflow_ports import ENDED, Airflow, DagRunState
from svops_plugin.application.discovery import unnoticed
from svops_plugin.application.events import run_event
from svops_plugin.application.executions import CONTROLLER, ExecutionService
from svops_plugin.application.leases import new_holder
from svops_plugin.application.ports import (
    ActiveRun,
    Transactions,
    UnitOfWork,
)
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Execution, Json, Task, WorkflowRun, utcnow
from svops_plugin.domain.errors import SVOpsError, Unavailable
from svops_plugin.domain.failures import failure, took_too_long
from svops_plugin.domain.metrics import Tell, untold
from svops_plugin.domain.states import ACTIVE_RUNS, ExecutionStatus, RunStatus

log = logging.getLogger(__name__)

LEASE = "monitor"
LEASE_SECONDS = 10.0
PERIOD = 2.0
DISCOVERY = 5  # ticks from one look for foreign runs to the next
STRAY_WINDOW = timedelta(seconds=60)  # how long it is looked for what an execution has left behind
MINUTE = 60  # seconds; a lease's position counts minutes, for it is too small for seconds after 2038
LEFT_BEHIND = frozenset({RunStatus.CANCELLED, RunStatus.SKIPPED, RunStatus.FAILED})
WAITING = "waiting: "
TRIGGER_GRACE = timedelta(seconds=10)  # how long the process that claimed may take to trigger
STOP_GRACE = timedelta(seconds=15)  # and the one that was asked for a stop to carry it out, and say who asked

Known = Mapping[tuple[str, str], DagRunState]
Totals = Mapping[str, int]


class Monitor:
    """Brings executions to the states that their DAG runs have.

    :param executions: triggers and stops what was claimed or asked for and then interrupted
    :param timeout: after which Airflow ends the controller's run as failed
    :param tell: takes metrics
    """

    def __init__(
        self,
        transactions: Transactions,
        airflow: Airflow,
        executions: ExecutionService,
        timeout: timedelta = timedelta.max,
        tell: Tell = untold,
    ) -> None:
        self._transactions = transactions
        self._airflow = airflow
        self._executions = executions
        self._timeout = timeout
        self._tell = tell
        self._holder = new_holder()
        self._asked: set[int] = set()  # the failed executions whose causes Airflow was asked for

    def run(self, stop: threading.Event) -> None:
        """Tick until stopped, while this process holds the lease; failures are logged and outlived."""
        ticks = itertools.count()
        while not stop.wait(PERIOD):
            try:
                if self._holds_lease():
                    self._look(discover=next(ticks) % DISCOVERY == 0)
            except SVOpsError as refusal:
                log.warning("The monitor waits: %s", refusal)
            except Exception:
                log.exception("The monitor's tick failed; the next one follows in %s s.", PERIOD)

    def _look(self, *, discover: bool) -> None:
        began, looked_at = time.monotonic(), utcnow()
        changes = self.tick()
        with self._transactions() as uow:
            uow.leases.advance(LEASE, int(looked_at.timestamp()) // MINUTE)
        self._tell("svops.monitor.tick", time.monotonic() - began)
        self._tell("svops.monitor.repairs", len(changes))
        for change in changes + (self.discover() if discover else []):
            log.info(change)

    def tick(self) -> list[str]:
        """Compare once, and return a sentence for each change made.

        Six queries find the differences, however many runs are active (and one for each DAG of the chain,
        while there are runs whose tasks nobody has counted); each execution that differs is then
        brought up to date in a transaction of its own.
        """
        with self._transactions() as uow:
            executions = uow.executions.active()
            ended = uow.executions.failed_or_cancelled_since(_last_look(uow) - STRAY_WINDOW)
            runs = uow.runs.active()
            left = [run for run in uow.runs.of_executions([e.id for e in ended]) if run.status in LEFT_BEHIND]
        if not executions and not runs and not ended:
            return []
        keys = {(CONTROLLER, execution.controller_run_id) for execution in executions}
        keys |= {(run.dag_id, run.dag_run_id) for run in runs}
        keys |= {(run.dag_id, run.dag_run_id) for run in left}
        known = self._airflow.states(keys)
        uncounted = {run.dag_id for run in runs if run.execution_id and not run.progress_total}
        totals = self._airflow.task_counts(uncounted.union(self._executions.chain)) if uncounted else {}
        changes = []
        for what, repair in self._repairs(executions, runs, known, totals):
            changes += _attempt(what, repair)
        changes += _attempt("Strays", lambda: self._stop_strays(left, known))
        self._asked &= {execution.id for execution in ended}
        for execution in ended:
            if execution.status is ExecutionStatus.FAILED:
                changes += _attempt(f"Execution {execution.id}", partial(self._add_cause, execution))
        return changes

    def _repairs(
        self, executions: list[Execution], runs: list[ActiveRun], known: Known, totals: Totals
    ) -> Iterator[tuple[str, Callable[[], list[str]]]]:
        """Return what has to be brought up to date, by name."""
        by_execution: dict[int | None, list[ActiveRun]] = {}
        for run in runs:
            by_execution.setdefault(run.execution_id, []).append(run)
        for execution in executions:
            own = by_execution.get(execution.id, [])
            if _differs(execution, own, known, totals):
                yield f"Execution {execution.id}", partial(self._repair, execution, own, known, totals)
        for run in by_execution.get(None, []):
            state = known.get((run.dag_id, run.dag_run_id))
            if run.stop_requested_at is not None:
                if utcnow() - run.stop_requested_at > STOP_GRACE:
                    yield f"{run.dag_id} {run.dag_run_id}", partial(self._stop_alone, run)
            elif _run_differs(run, state) or (state is None and utcnow() - run.created_at > TRIGGER_GRACE):
                yield f"{run.dag_id} {run.dag_run_id}", partial(self._repair_alone, run, state)

    def _add_cause(self, execution: Execution) -> list[str]:
        """Look up what went wrong where whoever reported the failure did not know, and the end of the log.

        Once for each execution: of a run that was deleted Airflow will not know it later, either.
        """
        error = execution.error or {}
        dag_id = error.get("dag_id")
        if dag_id not in execution.chain or "log_tail" in error or execution.id in self._asked:
            return []
        cause = self._airflow.cause(dag_id, execution.step_run_id(execution.chain.index(dag_id) + 1))
        if cause is not None:
            with self._transactions() as uow:
                task = found_task(uow.tasks.lock(execution.task_id), execution.task_id)
                held = uow.executions.lock(execution.id)
                for run in uow.runs.of_execution(execution.id):
                    if run.dag_id == dag_id and run.status is RunStatus.FAILED:
                        chain.add_cause(uow, task, held, run, cause)
        self._asked.add(execution.id)
        return [f"Execution {execution.id}: {chain.describe(cause)}"] if cause else []

    def discover(self) -> list[str]:
        """Take notice of runs of registered DAGs that were started outside SVOps."""
        changes = []
        for what, take_notice in unnoticed(self._transactions, self._airflow):
            changes += _attempt(what, take_notice)
        return changes

    def _stop_alone(self, seen: ActiveRun) -> list[str]:
        try:
            run = alone.finish_stop(self._transactions, self._airflow, seen)
        except Unavailable as busy:  # perhaps with this run alone; it answered just now
            return [f"{seen.dag_id} {seen.dag_run_id}: {busy}"]
        return [f"{seen.dag_id} {seen.dag_run_id}: {run.status}."] if run else []

    def _repair_alone(self, seen: ActiveRun, state: DagRunState | None) -> list[str]:
        """Bring a run outside any chain up to date."""
        failed = state is not None and state.state == RunStatus.FAILED.value
        cause = self._airflow.cause(seen.dag_id, seen.dag_run_id) if failed else None
        with self._transactions() as uow:
            run = uow.runs.lock(seen.id)
            if run is None or run.status not in ACTIVE_RUNS:
                return []
            task = uow.tasks.get(run.configuration.get("task_id") or 0)
            changes = _follow(uow, task, run, state)
            error = _failure(run, state, began=seen.status is RunStatus.RUNNING)
            if error is None and state is None:
                error = failure(run.dag_id, "It never began.")
            if error is None or run.status not in ACTIVE_RUNS:
                return changes
            stopped = run.stop_requested_at is not None
            status = RunStatus.CANCELLED if stopped else RunStatus.FAILED
            end = state.end_date if state else None
            values: Json = {} if stopped else {"error": run.error or cause or error}
            chain.end_run(uow, task, run, status, end=end, **values)
            return [*changes, f"{run.dag_id} {run.dag_run_id}: {status}."]

    def _stop_strays(self, runs: list[WorkflowRun], known: Known) -> list[str]:
        """Stop runs that outlive their execution: the step was just triggering one when the chain ended."""
        changes = []
        for run in runs:
            state = known.get((run.dag_id, run.dag_run_id))
            if (
                state is not None
                and state.state in {"queued", "running"}
                and self._airflow.stop(run.dag_id, run.dag_run_id)
            ):
                changes.append(f"{run.dag_id} {run.dag_run_id}: stopped, its execution has ended.")
        return changes

    def _holds_lease(self) -> bool:
        with self._transactions() as uow:
            return uow.leases.acquire(LEASE, self._holder, LEASE_SECONDS)

    def _repair(self, seen: Execution, seen_runs: list[ActiveRun], known: Known, totals: Totals) -> list[str]:
        began = {run.id for run in seen_runs if run.status is RunStatus.RUNNING}
        controller = known.get((CONTROLLER, seen.controller_run_id))
        if seen.triggered_at is None and controller is None and seen.stop_requested_at is None:
            triggered = self._executions.trigger(seen)
            return [f"Execution {seen.id}: triggered again."] if triggered else []
        if seen.stop_requested_at is not None:
            stopped = self._executions.finish_stop(seen)
            return [f"Execution {seen.id}: {stopped.status}."] if stopped else []
        with self._transactions() as uow:
            task = found_task(uow.tasks.lock(seen.task_id), seen.task_id)
            execution = uow.executions.lock(seen.id)
            if execution is None or execution.status is not ExecutionStatus.RUNNING:
                return []
            if execution.triggered_at is None:
                execution.triggered_at = utcnow()
            changes = []
            for run in uow.runs.of_execution(execution.id):
                _count(uow, task, run, totals)
                state = known.get((run.dag_id, run.dag_run_id))
                changes += _follow(uow, task, run, state, controller)
                if error := _failure(run, state, began=run.id in began):
                    chain.fail(uow, task, execution, error)
                    return [*changes, f"Execution {execution.id}: failed in {run.dag_id}."]
            return changes + _follow_controller(uow, task, execution, controller, self._timeout)


def _last_look(uow: UnitOfWork) -> datetime:
    """Return when the monitor last looked, to the minute: executions may have ended while no server ran."""
    position, now = uow.leases.position(LEASE), utcnow()
    return now if position is None else min(now, datetime.fromtimestamp(position * MINUTE, timezone.utc))


def _attempt(what: str, repair: Callable[[], list[str]]) -> list[str]:
    """Repair one thing; what is wrong with it keeps no other waiting.

    :raises Unavailable: if a database does not answer, for then no other can be repaired either
    """
    try:
        return repair()
    except Unavailable:
        raise
    except SVOpsError as refusal:
        return [f"{what}: {refusal}"]
    except Exception:
        log.exception("%s could not be repaired; the next look follows in %s s.", what, PERIOD)
        return []


def _differs(execution: Execution, runs: list[ActiveRun], known: Known, totals: Totals) -> bool:
    """Tell whether Airflow knows something of an execution that SVOps has not recorded."""
    controller = known.get((CONTROLLER, execution.controller_run_id))
    if execution.stop_requested_at is not None:
        return True
    if controller is None:
        return execution.triggered_at is not None or utcnow() - execution.created_at > TRIGGER_GRACE
    if execution.triggered_at is None or controller.state in ENDED:
        return True
    if any(not run.progress_total and totals.get(run.dag_id) for run in runs):
        return True
    return any(_run_differs(run, known.get((run.dag_id, run.dag_run_id)), controller) for run in runs)


def _run_differs(run: ActiveRun, state: DagRunState | None, controller: DagRunState | None = None) -> bool:
    if _message(run, state, controller) != run.message:
        return True
    if state is None:
        return run.status is RunStatus.RUNNING
    return state.state != run.status.value or _tally(run, state) != (run.progress_done, run.progress_total)


def _tally(run: WorkflowRun | ActiveRun, state: DagRunState | None) -> tuple[int, int]:
    """Return how many tasks of a run have ended, of how many; Airflow makes them some time after the run."""
    if state is None or not state.total:
        return run.progress_done, run.progress_total
    return state.done, state.total


def _message(run: WorkflowRun | ActiveRun, state: DagRunState | None, controller: DagRunState | None) -> str:
    """Return what a run says: that somebody has paused what it waits for, or else its pipeline's words."""
    dag_id, waits_for = (run.dag_id, state) if state is not None else (CONTROLLER, controller)
    if waits_for is not None and waits_for.paused and waits_for.state not in ENDED:
        return f"{WAITING}{dag_id} is paused; unpause it in Airflow"
    return "" if run.message.startswith(WAITING) else run.message


def _count(uow: UnitOfWork, task: Task, run: WorkflowRun, totals: Totals) -> None:
    """Record how many tasks a run has or had, where nobody has seen them."""
    if run.progress_total or run.dag_id not in totals:
        return
    run.progress_total = totals[run.dag_id]
    if run.status not in ACTIVE_RUNS:
        run.progress_done = run.progress_total
    uow.record(run_event("progress", run, task.created_by_id))


def _follow(
    uow: UnitOfWork,
    task: Task | None,
    run: WorkflowRun,
    state: DagRunState | None,
    controller: DagRunState | None = None,
) -> list[str]:
    """Record a run's beginning, its progress, what it waits for, and its success."""
    if run.status not in ACTIVE_RUNS:
        return []
    changes = []
    seen = state or DagRunState(RunStatus.QUEUED.value)
    if seen.state != RunStatus.QUEUED.value and chain.start_run(uow, task, run, seen.start_date):
        changes.append(f"{run.dag_id} {run.dag_run_id}: started.")
    progress = (*_tally(run, state), _message(run, state, controller))
    if progress != (run.progress_done, run.progress_total, run.message):
        run.progress_done, run.progress_total, run.message = progress
        uow.record(run_event("progress", run, chain.owner_id(uow, task, run)))
    if seen.state == RunStatus.SUCCESS.value and chain.end_run(
        uow, task, run, RunStatus.SUCCESS, end=seen.end_date
    ):
        changes.append(f"{run.dag_id} {run.dag_run_id}: success.")
    return changes


def _failure(run: WorkflowRun, state: DagRunState | None, *, began: bool) -> Json | None:
    """Return the error of a run that has failed or that was deleted while it ran.

    :param began: whether it was known to run before Airflow was asked; one that began since is not missing
    """
    if run.status not in ACTIVE_RUNS:
        return None
    if state is None:
        if not began:
            return None
        message = f"DAG run {run.dag_run_id} was deleted while it ran."
    elif state.state == RunStatus.FAILED.value:
        message = f"DAG run {run.dag_run_id} failed."
    else:
        return None
    return failure(run.dag_id, message)


def _follow_controller(
    uow: UnitOfWork,
    task: Task,
    execution: Execution,
    controller: DagRunState | None,
    timeout: timedelta,
) -> list[str]:
    """Record the end of an execution whose controller run has ended or is gone."""
    if controller is not None and controller.state not in ENDED:
        return []
    runs = uow.runs.of_execution(execution.id)
    unfinished = [run for run in runs if run.status not in chain.FINISHED]
    if controller is not None and controller.state == "success" and not unfinished:
        chain.complete(uow, task, execution)
        return [f"Execution {execution.id}: completed."]
    if controller is None:
        message = f"The controller's run {execution.controller_run_id} was deleted."
    elif controller.state == "success":
        message = f"The controller's run was set to success before {unfinished[0].dag_id} had succeeded."
    elif controller.took(timeout):
        message = took_too_long(timeout)
    else:
        message = f"The controller's run {execution.controller_run_id} failed."
    error = failure(CONTROLLER, message)
    chain.fail(uow, task, execution, error)
    return [f"Execution {execution.id}: failed. {message}"]
