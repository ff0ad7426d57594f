"""Workflows: DAGs known to SVOps, run alone or as steps of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from svops_plugin.application.airflow_ports import Airflow, RunTaken, TaskInstanceState
from svops_plugin.application.datasets import apply_changes
from svops_plugin.application.events import run_event
from svops_plugin.application.executions import ExecutionService
from svops_plugin.application.ports import (
    Page,
    Query,
    Transactions,
    UnitOfWork,
)
from svops_plugin.domain.entities import Json, Workflow, WorkflowRun, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, SVOpsError, Unavailable
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ACTIVE_RUNS, RunStatus

E = TypeVar("E")


@dataclass(frozen=True)
class RunDetail:
    """A DAG run with its task instances and where to look at it in Airflow."""

    run: WorkflowRun
    task_instances: list[TaskInstanceState]
    log_url: str | None
    graph_url: str


class WorkflowService:
    """Use cases of workflows and their runs."""

    def __init__(self, transactions: Transactions, airflow: Airflow, executions: ExecutionService) -> None:
        self._transactions = transactions
        self._airflow = airflow
        self._executions = executions

    def create(self, actor: Actor, values: Mapping[str, Any]) -> Workflow:
        """Register a DAG.

        :raises InvalidInput: if Airflow has no such DAG
        :raises Conflict: if it is registered already
        """
        actor.require("workflow", "create")
        dag_id = values["dag_id"]
        if problems := [p for p in self._airflow.problems([dag_id]) if "missing" in p]:
            raise InvalidInput.field("dag_id", problems[0])
        workflow = Workflow(**values, created_by_id=actor.user_id)
        with self._transactions() as uow:
            if known := uow.workflows.of_dag(dag_id):
                raise Conflict(
                    f"DAG {dag_id} is registered already, as workflow wf_{known.id} ({known.name})."
                )
            uow.workflows.add(workflow)
        return workflow

    def get(self, actor: Actor, workflow_id: int) -> Workflow:
        """Return a workflow."""
        actor.require("workflow", "read")
        with self._transactions() as uow:
            return _found(uow.workflows.get(workflow_id), f"workflow wf_{workflow_id}")

    def page(self, actor: Actor, query: Query) -> Page[Workflow]:
        """Return a page of workflows; filters ``dag_id``, ``is_active``, ``q`` (in the name)."""
        actor.require("workflow", "read")
        with self._transactions() as uow:
            return uow.workflows.page(query)

    def update(self, actor: Actor, workflow_id: int, values: Mapping[str, Any]) -> Workflow:
        """Change a workflow's name, description or whether it may be run."""
        with self._transactions() as uow:
            workflow = _found(uow.workflows.lock(workflow_id), f"workflow wf_{workflow_id}")
            actor.require("workflow", "edit", workflow.created_by_id)
            apply_changes(workflow, values)
        return workflow

    def run(self, actor: Actor, workflow_id: int, values: Mapping[str, Any]) -> WorkflowRun:
        """Run a workflow's DAG alone.

        :param values: ``task_id``, ``dataset_id``, ``parameters``, ``note``; the parameters become the
            DAG's params
        :raises InvalidInput: if the DAG cannot run now, or a parameter breaks its params' schema
        :raises Conflict: if the workflow is not active
        """
        workflow = self.get(actor, workflow_id)
        actor.require("workflow", "execute", workflow.created_by_id)
        if not workflow.is_active:
            raise Conflict(f"Workflow wf_{workflow_id} is not active.")
        if problems := self._airflow.problems([workflow.dag_id]):
            raise InvalidInput(problems[0], {"workflow_id": problems})
        configuration: Json = {
            "task_id": values.get("task_id"),
            "dataset_id": values.get("dataset_id"),
            "parameters": values.get("parameters") or {},
            "note": values.get("note") or "",
        }
        self._airflow.check_conf(workflow.dag_id, _conf(configuration))
        run = WorkflowRun(
            workflow_id=workflow.id,
            dag_id=workflow.dag_id,
            dag_run_id=f"svops__wf_{workflow.id}__{uuid4().hex}",
            configuration=configuration,
            triggered_by=actor.username,
            note=configuration["note"],
        )
        with self._transactions() as uow:
            _check_references(uow, configuration)
            uow.runs.add(run)
            uow.record(run_event("triggered", run, actor.user_id, actor.username))
        self._trigger(actor, run)
        return run

    def runs(self, actor: Actor, workflow_id: int, query: Query) -> Page[WorkflowRun]:
        """Return a page of a workflow's runs; filters ``status``, ``since``, ``until`` (of the creation)."""
        self.get(actor, workflow_id)
        filters = {**query.filters, "workflow_id": workflow_id}
        with self._transactions() as uow:
            return uow.runs.page(Query(query.skip, query.limit, query.order_by, filters))

    def detail(self, actor: Actor, workflow_id: int, run_id: int) -> RunDetail:
        """Return a run with its task instances."""
        run = self._run(actor, workflow_id, run_id)
        instances = self._airflow.task_instances(run.dag_id, run.dag_run_id)
        failed = next((one for one in instances if one.state == "failed"), None)
        return RunDetail(
            run,
            instances,
            failed.log_url if failed else (run.error or {}).get("log_url"),
            self._airflow.run_url(run.dag_id, run.dag_run_id),
        )

    def stop(self, actor: Actor, workflow_id: int, run_id: int) -> WorkflowRun:
        """End a run as cancelled; one that is a step of a chain ends with its chain. Again changes nothing.

        :raises Conflict: if the run has ended otherwise
        """
        run = self._run(actor, workflow_id, run_id)
        if run.execution_id is not None:
            self._executions.stop(actor, self._current_task(run))
            return self._run(actor, workflow_id, run_id)
        self._require_execute(actor, run)
        with self._transactions() as uow:
            held = _found(uow.runs.lock(run_id), f"run run_{run_id}")
            if held.status not in ACTIVE_RUNS and held.status is not RunStatus.CANCELLED:
                raise Conflict(f"Run run_{run_id} has ended already ({held.status}).")
            if held.status in ACTIVE_RUNS and held.stop_requested_at is None:
                held.stop_requested_at = utcnow()
        try:
            self._airflow.stop(run.dag_id, run.dag_run_id)
        except Unavailable:
            return held
        with self._transactions() as uow:
            held = _found(uow.runs.lock(run_id), f"run run_{run_id}")
            if uow.runs.move(held, RunStatus.CANCELLED, end_date=utcnow()):
                uow.record(run_event("stopped", held, actor.user_id, actor.username))
        return held

    def retry(self, actor: Actor, workflow_id: int, run_id: int) -> WorkflowRun:
        """Run again what failed or was stopped; a step of a chain is retried with its chain.

        :returns: the new run
        :raises Conflict: if the run has not ended, or ended well
        """
        run = self._run(actor, workflow_id, run_id)
        if run.execution_id is None:
            if run.status not in {RunStatus.FAILED, RunStatus.CANCELLED}:
                raise Conflict(
                    f"Run run_{run_id} is {run.status}; only a failed or stopped run can be retried."
                )
            return self.run(actor, workflow_id, run.configuration)
        task_id = self._current_task(run)
        self._executions.retry(actor, task_id, lambda started: {"execution_id": started.execution.id})
        standing = self._executions.standing(actor, task_id)
        return next(one for one in standing.runs if one.position == run.position)

    def _trigger(self, actor: Actor, run: WorkflowRun) -> None:
        conf = {**_conf(run.configuration), "workflow_run_id": run.id}
        try:
            self._airflow.trigger(run.dag_id, run.dag_run_id, conf, actor.username)
        except (SVOpsError, RunTaken) as refusal:
            with self._transactions() as uow:
                held = _found(uow.runs.lock(run.id), f"run run_{run.id}")
                error = failure(run.dag_id, str(refusal))
                if uow.runs.move(held, RunStatus.FAILED, end_date=utcnow(), error=error):
                    uow.record(run_event("failed", held, actor.user_id))
            raise

    def _run(self, actor: Actor, workflow_id: int, run_id: int) -> WorkflowRun:
        actor.require("workflow", "read")
        with self._transactions() as uow:
            run = uow.runs.get(run_id)
        if run is None or run.workflow_id != workflow_id:
            raise NotFound(f"Workflow wf_{workflow_id} has no run run_{run_id}.")
        return run

    def _require_execute(self, actor: Actor, run: WorkflowRun) -> None:
        mine = actor.user_id if run.triggered_by == actor.username else None
        actor.require("workflow", "execute", mine)

    def _current_task(self, run: WorkflowRun) -> int:
        """Return the task of a chain's step, if that is still the task's newest execution."""
        task_id = int(run.configuration["task_id"])
        with self._transactions() as uow:
            task = _found(uow.tasks.get(task_id), f"task {task_id}")
        if task.last_execution_id != run.execution_id:
            raise Conflict(f"Task {task_id} has been executed again since; control its newest execution.")
        return task_id


def _conf(configuration: Mapping[str, Any]) -> Json:
    """Return what the DAG run is given: the parameters as params, and all of it under its own names."""
    return {**configuration["parameters"], **configuration}


def _check_references(uow: UnitOfWork, configuration: Mapping[str, Any]) -> None:
    task_id, dataset_id = configuration["task_id"], configuration["dataset_id"]
    if task_id is not None and uow.tasks.get(task_id) is None:
        raise InvalidInput.field("task_id", f"there is no task {task_id}.")
    if dataset_id is not None and uow.datasets.get(dataset_id) is None:
        raise InvalidInput.field("dataset_id", f"there is no dataset {dataset_id}.")


def _found(entity: E | None, name: str) -> E:
    if entity is None:
        raise NotFound(f"There is no {name}.")
    return entity
