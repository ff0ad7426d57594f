"""Runs of DAGs alone, outside any chain: what SVOps' pipelines are told in them, and how they are stopped."""

from __future__ import annotations

from svops_plugin.application import chain
from svops_plugin.application.airflow_ports import Airflow
from svops_plugin.application.chain import inputs
from svops_plugin.application.ports import ActiveRun, Transactions, UnitOfWork
from svops_plugin.application.tasks import found_task
from svops_plugin.domain.entities import Dataset, Json, Task, WorkflowRun, output_folder
from svops_plugin.domain.errors import Conflict, InvalidInput
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import RunStatus

NEWEST = 100  # how many finished runs are looked through for one with the same inputs


def snapshot(uow: UnitOfWork, run: WorkflowRun, goes_on_from: str | None) -> Json:
    """Return the task and the dataset of a run as they are now, and where it finds earlier outputs.

    It is taken once, and counts for every task of the run and every repetition: what is edited or finished
    meanwhile counts for later runs.

    :param goes_on_from: the DAG whose outputs the run needs; none if it needs none
    :raises InvalidInput: if the run names no task, or there is no dataset
    :raises NotFound: if the task is gone
    :raises Conflict: if that DAG has not succeeded yet for the same task, configuration and dataset
    """
    task = _task(uow, run)
    told: Json = {"task": task.snapshot(), "dataset": _dataset(uow, run, task).snapshot()}
    earlier = None
    if goes_on_from is not None:
        earlier = _outputs(uow, goes_on_from, task.id, inputs(told["task"], told["dataset"]))
        if earlier is None:
            raise Conflict(
                f"{run.dag_id} goes on from what {goes_on_from} left, which has not succeeded yet for task "
                f"{task.id} as it is now and dataset {told['dataset']['id']}; run that first."
            )
    return {**told, "reused_from": earlier}


def output_path(run: WorkflowRun, taken: Json) -> str:
    """Return the folder that belongs to one run alone."""
    return output_folder(run.configuration["task_id"], taken["task"], f"alone/run_{run.id}")


def finish_stop(
    transactions: Transactions, airflow: Airflow, run: WorkflowRun | ActiveRun, by: Actor | None = None
) -> WorkflowRun | None:
    """Carry out a stop that was asked for. Safe to repeat; the monitor does where it was interrupted.

    A run that has succeeded before has succeeded; a failure is the stop's own doing.

    :returns: the run as it is then; none if it is gone
    :raises Unavailable: if Airflow's database does not answer
    """
    airflow.stop(run.dag_id, run.dag_run_id)
    state = airflow.states({(run.dag_id, run.dag_run_id)}).get((run.dag_id, run.dag_run_id))
    with transactions() as uow:
        held = uow.runs.lock(run.id)
        if held is not None:
            task = uow.tasks.get(held.configuration.get("task_id") or 0)
            if state is not None:
                chain.catch_up(uow, task, held, state)
            chain.end_run(uow, task, held, RunStatus.CANCELLED, by=by)
    return held


def _task(uow: UnitOfWork, run: WorkflowRun) -> Task:
    task_id = run.configuration.get("task_id")
    if task_id is None:
        raise InvalidInput.field(
            "task_id",
            f'{run.dag_id} works for a task of SVOps; run it with the id of one, as in {{"task_id": 1}}.',
        )
    return found_task(uow.tasks.get(task_id), task_id)


def _dataset(uow: UnitOfWork, run: WorkflowRun, task: Task) -> Dataset:
    dataset_id = run.configuration.get("dataset_id") or task.dataset_id
    if dataset_id is None:
        raise InvalidInput.field(
            "dataset_id", f"task {task.id} has no dataset; give it one, or run with a dataset_id."
        )
    dataset = uow.datasets.get(dataset_id)
    if dataset is None:
        raise InvalidInput.field("dataset_id", f"there is no dataset {dataset_id} any more.")
    return dataset


def _outputs(uow: UnitOfWork, dag_id: str, task_id: int, wanted: Json) -> str | None:
    """Return the folder of the newest run of a DAG that succeeded with the wanted inputs."""
    for run in uow.runs.succeeded(dag_id, task_id, NEWEST):
        execution = uow.executions.get(run.execution_id) if run.execution_id is not None else None
        if execution is not None:
            known, folder = (execution.task_snapshot, execution.dataset_snapshot), execution.output_path
        elif run.snapshot is not None:
            known, folder = (run.snapshot["task"], run.snapshot["dataset"]), output_path(run, run.snapshot)
        else:
            continue
        if inputs(*known) == wanted:
            return folder
    return None
