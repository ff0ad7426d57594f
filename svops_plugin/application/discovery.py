"""Looking through new runs of registered DAGs: those started outside SVOps are taken notice of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from svops_plugin.application.airflow_ports import ENDED, Airflow, SeenRun
from svops_plugin.application.ports import Query, Transactions
from svops_plugin.domain.entities import Json, TriggerType, Workflow, WorkflowRun
from svops_plugin.domain.states import ACTIVE_RUNS, RunStatus

MOST_WORKFLOWS, MOST_RUNS = 1000, 500


def unnoticed(transactions: Transactions, airflow: Airflow) -> Iterator[tuple[str, Callable[[], list[str]]]]:
    """Return, by DAG, what takes notice of its new runs; each says a sentence for each run."""
    with transactions() as uow:
        workflows = {w.dag_id: w for w in uow.workflows.page(Query(limit=MOST_WORKFLOWS)).items}
    new: dict[str, list[SeenRun]] = {}
    for run in airflow.new_runs({w.dag_id: w.last_seen for w in workflows.values()}, MOST_RUNS):
        new.setdefault(run.dag_id, []).append(run)
    for dag_id, runs in new.items():
        workflow_id = workflows[dag_id].id
        yield f"New runs of {dag_id}", partial(_look_through, transactions, airflow, workflow_id, runs)


def _look_through(
    transactions: Transactions, airflow: Airflow, workflow_id: int, runs: list[SeenRun]
) -> list[str]:
    return _stop_late(transactions, airflow, runs) + _take_notice(transactions, workflow_id, runs)


def _stop_late(transactions: Transactions, airflow: Airflow, runs: list[SeenRun]) -> list[str]:
    """Stop runs whose end was recorded, or asked for, before Airflow had made them: nobody follows them.

    Whoever triggered one does so, unless it was killed. It comes before the runs count as seen, so that they
    are looked at again if Airflow does not answer.
    """
    with transactions() as uow:
        known = [uow.runs.of_dag_run(seen.dag_id, seen.run_id) for seen in runs if seen.state not in ENDED]
    unwanted = [run for run in known if run is not None and _is_unwanted(run)]
    return [
        f"{run.dag_id} {run.dag_run_id}: stopped, it was made after its end."
        for run in unwanted
        if airflow.stop(run.dag_id, run.dag_run_id)
    ]


def _is_unwanted(run: WorkflowRun) -> bool:
    return run.status not in {*ACTIVE_RUNS, RunStatus.SUCCESS} or run.stop_requested_at is not None


def _take_notice(transactions: Transactions, workflow_id: int, runs: list[SeenRun]) -> list[str]:
    """Record new runs of one DAG.

    In a transaction of its own: a claim refers to the workflows of its chain in the chain's order; whoever
    holds several in another order may wait for it while it waits for them.
    """
    changes = []
    with transactions() as uow:
        workflow = uow.workflows.lock(workflow_id)
        for run in runs:
            if workflow is None or run.number <= workflow.last_seen:
                continue
            workflow.last_seen = run.number
            if uow.runs.of_dag_run(run.dag_id, run.run_id) is None:
                uow.runs.add(_discovered(workflow, run))
                changes.append(f"{run.dag_id} {run.run_id}: noticed.")
    return changes


def _discovered(workflow: Workflow, seen: SeenRun) -> WorkflowRun:
    """Return a run as it is recorded first: the monitor makes up for what it has done, with its events.

    What had ended when its DAG was registered is history, which nobody is told of.
    """
    run = WorkflowRun(
        workflow_id=workflow.id,
        dag_id=seen.dag_id,
        dag_run_id=seen.run_id,
        trigger_type=TriggerType.SCHEDULED if seen.run_type == "scheduled" else TriggerType.EXTERNAL,
        configuration={"parameters": seen.conf if _is_storable(seen.conf) else {}},
        triggered_by=seen.username,
    )
    if seen.end_date is not None and seen.end_date < workflow.created_at:
        run.status, run.start_date, run.end_date = RunStatus(seen.state), seen.start_date, seen.end_date
    return run


def _is_storable(conf: Json) -> bool:
    """Tell whether every database can hold a conf.

    Airflow 2.11 keeps it as a pickle, which holds anything; PostgreSQL's JSON holds no NUL, no lone surrogate
    and no number that is none. Such a run is kept without its conf: else it could never be noticed, nor could
    any after it.
    """
    try:
        written = json.dumps(conf, allow_nan=False, ensure_ascii=False)
        written.encode()
    except (TypeError, ValueError, RecursionError):
        return False
    # A NUL is written as an escape; so are backslashes, as pairs, one of which may stand before the letters.
    return "\\u0000" not in written.replace("\\\\", "")
