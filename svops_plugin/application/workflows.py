"""Workflows: DAGs known to SVOps, run alone or as steps of a chain."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from svops_plugin.application import alone, audit, chain
from svops_plugin.application.airflow_ports import (
    Airflow,
    Dag,
    DagParam,
    Hindrance,
    RunTaken,
    TaskInstanceState,
)
from svops_plugin.application.datasets import apply_changes
from svops_plugin.application.events import run_event, workflow_event
from svops_plugin.application.executions import CONTROLLER, ExecutionService
from svops_plugin.application.file_ports import Outputs
from svops_plugin.application.ports import (
    Page,
    Query,
    Transactions,
    UnitOfWork,
)
from svops_plugin.domain.entities import Artifact, Json, Metric, TriggerType, Workflow, WorkflowRun, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, SVOpsError, Unavailable
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import ACTIVE_RUNS, RunStatus

E = TypeVar("E")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunDetail:
    """A DAG run with its task instances, what it measured and left, and where to look at it in Airflow."""

    run: WorkflowRun
    task_instances: list[TaskInstanceState]
    metrics: list[Metric]
    artifacts: list[Artifact]
    log_url: str | None
    graph_url: str


class WorkflowService:
    """Use cases of workflows and their runs.

    :param outputs: finds the files that runs left
    """

    def __init__(
        self, transactions: Transactions, airflow: Airflow, executions: ExecutionService, outputs: Outputs
    ) -> None:
        self._transactions = transactions
        self._airflow = airflow
        self._executions = executions
        self._outputs = outputs

    def create(self, actor: Actor, values: Mapping[str, Any]) -> Workflow:
        """Register a DAG.

        :raises InvalidInput: if Airflow has no such DAG
        :raises Conflict: if it is registered already
        """
        actor.require("workflow", "create")
        dag_id = values["dag_id"]
        for problem in self._airflow.problems([dag_id]):
            if problem.hindrance is Hindrance.MISSING:  # one that is paused or broken can be registered
                raise InvalidInput.field("dag_id", str(problem))
        workflow = Workflow(**values, **audit.made_by(actor))
        with self._transactions() as uow:
            if known := uow.workflows.of_dag(dag_id):
                raise Conflict(
                    f"DAG {dag_id} is registered already, as workflow wf_{known.id} ({known.name})."
                )
            uow.workflows.add(workflow)
            after = audit.shown(audit.fields_of(workflow))
            uow.record(workflow_event("created", workflow, actor, after=after))
        return workflow

    def dags(self, actor: Actor, query: Query) -> Page[Dag]:
        """Return a page of the DAGs that can be registered, by their ids; filter ``q`` (in the id)."""
        actor.require("workflow", "create")
        with self._transactions() as uow:
            registered = uow.workflows.dag_ids()
        return self._airflow.dags(query, registered)

    def params(self, actor: Actor, workflow_id: int) -> list[DagParam]:
        """Return what a run of a workflow's DAG can be given.

        :raises NotFound: also if Airflow does not have the DAG any more
        """
        return self._airflow.params(self.get(actor, workflow_id).dag_id)

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
            before = audit.fields_of(workflow)
            if apply_changes(workflow, values):
                told = audit.changes(before, audit.fields_of(workflow))
                uow.record(workflow_event("updated", workflow, actor, **told))
        return workflow

    def run(self, actor: Actor, workflow_id: int, values: Mapping[str, Any]) -> WorkflowRun:
        """Run a workflow's DAG alone.

        :param values: ``task_id``, ``dataset_id``, ``parameters``, ``note``; the parameters become the
            DAG's params. SVOps' pipelines work for the task, on the dataset in place of the task's own
        :raises InvalidInput: if the DAG cannot run now, a parameter breaks its params' schema, or names the
            controller's task, which ``task_id`` does
        :raises Conflict: if the workflow is not active
        """
        workflow = self.get(actor, workflow_id)
        actor.require("workflow", "execute", workflow.created_by_id)
        if not workflow.is_active:
            raise Conflict(f"Workflow wf_{workflow_id} is not active.")
        if problems := [str(one) for one in self._airflow.problems([workflow.dag_id])]:
            raise InvalidInput(problems[0], {"workflow_id": problems})
        configuration: Json = {
            "task_id": values.get("task_id"),
            "dataset_id": values.get("dataset_id"),
            "parameters": values.get("parameters") or {},
            "note": values.get("note") or "",
        }
        if workflow.dag_id == CONTROLLER and "task_id" in configuration["parameters"]:
            raise InvalidInput.field("parameters.task_id", "name the task as task_id, beside the parameters.")
        conf = _conf(configuration, {param.name for param in self._airflow.params(workflow.dag_id)})
        self._airflow.check_conf(workflow.dag_id, conf)
        run = WorkflowRun(
            workflow_id=workflow.id,
            dataset_id=configuration["dataset_id"],
            dag_id=workflow.dag_id,
            dag_run_id=f"svops__wf_{workflow.id}__{uuid4().hex}",
            configuration=configuration,
            triggered_by=actor.username,
            note=configuration["note"],
        )
        with self._transactions() as uow:
            _check_references(uow, actor, configuration)
            uow.runs.add(run)
            owner_id = _owner_id(uow, run)
            uow.record(run_event("triggered", run, owner_id, actor.username, address=actor.address))
        return self._trigger(actor, run, conf)

    def runs(self, actor: Actor, workflow_id: int, query: Query) -> Page[WorkflowRun]:
        """Return a page of a workflow's runs; filters ``status``, ``since``, ``until`` (of the creation)."""
        self.get(actor, workflow_id)
        filters = {**query.filters, "workflow_id": workflow_id}
        with self._transactions() as uow:
            return uow.runs.page(Query(query.skip, query.limit, query.order_by, filters))

    def detail(self, actor: Actor, workflow_id: int, run_id: int) -> RunDetail:
        """Return a run with its task instances, and what it measured and left."""
        run = self._run(actor, workflow_id, run_id)
        with self._transactions() as uow:
            metrics, artifacts = uow.tracking.of_run(run.id)
        instances = self._airflow.task_instances(run.dag_id, run.dag_run_id)
        failed = next((one for one in instances if one.state == "failed"), None)
        return RunDetail(
            run,
            instances,
            metrics,
            artifacts,
            failed.log_url if failed else (run.error or {}).get("log_url"),
            self._airflow.run_url(run.dag_id, run.dag_run_id),
        )

    def artifact(self, actor: Actor, workflow_id: int, run_id: int, name: str) -> tuple[Artifact, Path]:
        """Return a file that a run left, and where it is.

        :raises NotFound: if there is no such artifact
        :raises Gone: if its file has been taken away
        :raises PermissionDenied: also if the file is outside of where outputs may be
        """
        run = self._run(actor, workflow_id, run_id)
        with self._transactions() as uow:
            _, artifacts = uow.tracking.of_run(run.id)
        known = next((one for one in artifacts if one.name == name), None)
        if known is None:
            raise NotFound(f"Run run_{run_id} has no artifact {name!r}.")
        return known, self._outputs.existing(known.path)

    def stop(self, actor: Actor, workflow_id: int, run_id: int, note: str | None = None) -> WorkflowRun:
        """End a run as cancelled; one that is a step of a chain ends with its chain. Again changes nothing.

        :param note: goes in place of the run's own
        :raises Conflict: if the run has ended otherwise
        """
        run = self._run(actor, workflow_id, run_id)
        if run.execution_id is not None:
            self._executions.stop(actor, _task_id(run), run.execution_id)
            with self._transactions() as uow:
                held = _found(uow.runs.lock(run_id), f"run run_{run_id}")
                held.note = held.note if note is None else note
            return held
        self._require_execute(actor, run)
        with self._transactions() as uow:
            held = _found(uow.runs.lock(run_id), f"run run_{run_id}")
            if held.status not in ACTIVE_RUNS and held.status is not RunStatus.CANCELLED:
                raise Conflict(f"Run run_{run_id} has ended already ({held.status}).")
            if held.status in ACTIVE_RUNS and held.stop_requested_at is None:
                held.stop_requested_at = utcnow()
                held.note = held.note if note is None else note
        try:
            stopped = alone.finish_stop(self._transactions, self._airflow, run, actor)
        except Unavailable:
            return held
        held = _found(stopped, f"run run_{run_id}")
        if held.status is not RunStatus.CANCELLED:
            raise Conflict(f"Run run_{run_id} has ended already ({held.status}).")
        return held

    def retry(self, actor: Actor, workflow_id: int, run_id: int, note: str | None = None) -> WorkflowRun:
        """Run again what failed or was stopped; a step of a chain is retried with its chain.

        :param note: of the new run; the old one's unless given
        :returns: the new run
        :raises Conflict: if the run has not ended, or ended well
        """
        run = self._run(actor, workflow_id, run_id)
        if run.execution_id is None:
            if run.status not in {RunStatus.FAILED, RunStatus.CANCELLED}:
                raise Conflict(
                    f"Run run_{run_id} is {run.status}; only a failed or stopped run can be retried."
                )
            kept = run.configuration if note is None else {**run.configuration, "note": note}
            return self.run(actor, workflow_id, kept)
        task_id = _task_id(run)
        self._executions.retry(
            actor,
            task_id,
            lambda started: {"execution_id": started.execution.id},
            note=note,
            execution_id=run.execution_id,
        )
        standing = self._executions.standing(actor, task_id)
        return next(one for one in standing.runs if one.position == run.position)

    def _trigger(self, actor: Actor, run: WorkflowRun, conf: Json) -> WorkflowRun:
        """Create the DAG run of a run, and return the run as it is then.

        If Airflow does not answer, the run stays queued: the monitor sees whether the DAG run is there. Where
        its end was recorded or asked for before that was there, nobody follows it: so it is stopped.
        """
        held = run
        try:
            named = {**conf, "workflow_run_id": run.id}
            self._airflow.trigger(run.dag_id, run.dag_run_id, named, actor.username)
            with self._transactions() as uow:
                held = _found(uow.runs.lock(run.id), f"run run_{run.id}")
            if held.status not in ACTIVE_RUNS or held.stop_requested_at is not None:
                self._airflow.stop(run.dag_id, run.dag_run_id)
        except Unavailable:
            log.warning("Airflow did not answer; the monitor sees what has become of run run_%s.", run.id)
        except (SVOpsError, RunTaken) as refusal:
            with self._transactions() as uow:
                held = _found(uow.runs.lock(run.id), f"run run_{run.id}")
                error = failure(run.dag_id, str(refusal))
                if uow.runs.move(held, RunStatus.FAILED, end_date=utcnow(), error=error):
                    uow.record(run_event("failed", held, _owner_id(uow, held)))
            raise
        return held

    def _run(self, actor: Actor, workflow_id: int, run_id: int) -> WorkflowRun:
        actor.require("workflow", "read")
        with self._transactions() as uow:
            run = uow.runs.get(run_id)
        if run is None or run.workflow_id != workflow_id:
            raise NotFound(f"Workflow wf_{workflow_id} has no run run_{run_id}.")
        return run

    def _require_execute(self, actor: Actor, run: WorkflowRun) -> None:
        # Of a run that SVOps has not triggered, the name is what Airflow tells, which may be nobody's.
        mine = run.trigger_type is TriggerType.API and run.triggered_by == actor.username
        actor.require("workflow", "execute", actor.user_id if mine else None)


def _task_id(run: WorkflowRun) -> int:
    """Return the task that a chain's step works for."""
    return int(run.configuration["task_id"])


def _conf(configuration: Mapping[str, Any], params: Collection[str]) -> Json:
    """Return what the DAG run is given: the parameters as params, and all of it under its own names.

    A DAG may have params of these names itself. Then the parameters go before, and what nobody has said
    leaves it its own default. One that has none can believe what stands there, for it was looked at.

    :param params: the names of the DAG's params
    """
    parameters = configuration["parameters"]
    said = {
        name: value
        for name, value in configuration.items()
        if name not in params or (value and name not in parameters)
    }
    return {**parameters, **said}


def _check_references(uow: UnitOfWork, actor: Actor, configuration: Mapping[str, Any]) -> None:
    """Refuse what is not there, and to work for a task that is not theirs to execute."""
    task_id, dataset_id = configuration["task_id"], configuration["dataset_id"]
    if task_id is not None:
        task = uow.tasks.get(task_id)
        if task is None:
            raise InvalidInput.field("task_id", f"there is no task {task_id}.")
        actor.require("task", "execute", task.created_by_id)
    if dataset_id is not None and uow.datasets.get(dataset_id) is None:
        raise InvalidInput.field("dataset_id", f"there is no dataset {dataset_id}.")


def _owner_id(uow: UnitOfWork, run: WorkflowRun) -> int | None:
    return chain.owner_id(uow, uow.tasks.get(run.configuration.get("task_id") or 0), run)


def _found(entity: E | None, name: str) -> E:
    if entity is None:
        raise NotFound(f"There is no {name}.")
    return entity
