"""Workflows with their runs, metrics and artifacts in the database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from svops_plugin.domain.entities import (
    Artifact,
    Execution,
    Metric,
    WorkflowRun,
)
from svops_plugin.domain.errors import Conflict
from svops_plugin.domain.states import RunStatus
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.integration.support import a_task, at_once

Transactions = Callable[[], SqlUnitOfWork]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class TestTracking:
    def ids(self, transactions: Transactions) -> dict[str, int]:
        with transactions() as uow:
            task = uow.tasks.add(a_task())
            execution = uow.executions.add(
                Execution(task_id=task.id, attempt=1, chain=["d"], task_snapshot={}, dataset_snapshot={})
            )
            workflow = uow.workflows.for_dags(["d"])["d"]
            run = uow.runs.add(
                WorkflowRun(workflow_id=workflow.id, execution_id=execution.id, dag_id="d", dag_run_id="r")
            )
        return {"execution_id": execution.id, "workflow_run_id": run.id}

    def test_a_repeated_name_and_step_overwrites(self, transactions: Transactions) -> None:
        ids = self.ids(transactions)
        for name, step, value in [
            ("a", None, 1.0),
            ("a", 0, 2.0),
            ("a", None, 3.0),
            ("b", 1, 4.0),
            ("a", 0, 5.0),
        ]:
            with transactions() as uow:
                uow.tracking.save_metric(Metric(**ids, name=name, step=step, value=value))
        with transactions() as uow:
            found = {(m.name, m.step): m.value for m in uow.tracking.metrics(ids["execution_id"])}
            assert found == {("a", None): 3.0, ("a", 0): 5.0, ("b", 1): 4.0}
            assert len(uow.tracking.metrics(ids["execution_id"])) == 3

    def test_a_repeated_artifact_overwrites(self, transactions: Transactions) -> None:
        ids = self.ids(transactions)
        for size in (1, 2**31 + 1):
            with transactions() as uow:
                uow.tracking.save_artifact(
                    Artifact(**ids, name="report", path=f"/{size}", media_type="text/html", size=size)
                )
        with transactions() as uow:
            (artifact,) = uow.tracking.artifacts(ids["execution_id"])
            assert (artifact.path, artifact.size) == (f"/{2**31 + 1}", 2**31 + 1)

    @pytest.mark.parametrize("alone", [False, True])
    @pytest.mark.parametrize("step", [None, 0])
    def test_a_first_report_of_several_at_once_counts_once(
        self, transactions: Transactions, alone: bool, step: int | None
    ) -> None:
        ids = {**self.ids(transactions), **({"execution_id": None} if alone else {})}

        def report(number: int) -> None:
            with transactions() as uow:
                uow.tracking.save_metric(Metric(**ids, name="m", step=step, value=number))
                uow.tracking.save_artifact(Artifact(**ids, name="a", path="/", media_type="", size=number))

        assert at_once(8, report) == [None] * 8
        with transactions() as uow:
            (metric,), (artifact,) = uow.tracking.of_run(ids["workflow_run_id"])
            assert metric.value == artifact.size
            uow.tracking.save_metric(Metric(**ids, name="m", step=1, value=9.0))
            uow.tracking.save_metric(Metric(**ids, name="other", step=step, value=9.0))
            assert len(uow.tracking.of_run(ids["workflow_run_id"])[0]) == 3


class TestWorkflows:
    def test_each_dag_is_registered_once(self, transactions: Transactions, engine: Engine) -> None:
        def register(number: int) -> dict[str, int]:
            wanted = ["a", "b", "c"] if number % 2 else ["c", "b", "a"]
            with transactions() as uow:
                return {dag: workflow.id for dag, workflow in uow.workflows.for_dags(wanted).items()}

        answers = at_once(10, register)
        assert all(answer == answers[0] for answer in answers), answers
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM svops_workflow")) == 3

    def test_runs_of_a_chain_come_in_its_order(self, transactions: Transactions) -> None:
        with transactions() as uow:
            task = uow.tasks.add(a_task())
            execution = uow.executions.add(
                Execution(task_id=task.id, attempt=1, chain=[], task_snapshot={}, dataset_snapshot={})
            )
            workflow = uow.workflows.for_dags(["d"])["d"]
            for position in (2, 3, 1):
                uow.runs.add(
                    WorkflowRun(
                        workflow_id=workflow.id,
                        execution_id=execution.id,
                        position=position,
                        dag_id="d",
                        dag_run_id=f"r{position}",
                    )
                )
            assert [run.position for run in uow.runs.of_execution(execution.id)] == [1, 2, 3]
            found = uow.runs.of_dag_run("d", "r2")
            assert found is not None
            assert found.position == 2
            assert uow.runs.of_dag_run("e", "r2") is None
            uow.runs.move(found, RunStatus.SUCCESS)
            assert {run.dag_run_id for run in uow.runs.active()} == {"r1", "r3"}

    def test_two_runs_of_a_dag_have_two_names(self, transactions: Transactions) -> None:
        with pytest.raises(Conflict), transactions() as uow:  # noqa: PT012
            workflow = uow.workflows.for_dags(["d"])["d"]
            for _ in range(2):
                uow.runs.add(WorkflowRun(workflow_id=workflow.id, dag_id="d", dag_run_id="r"))
