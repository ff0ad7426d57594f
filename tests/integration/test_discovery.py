"""Runs of registered DAGs that were started outside SVOps: how they are noticed, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from svops_plugin.domain.entities import Workflow, WorkflowRun
from svops_plugin.infrastructure.database.engine import make_engine
from tests.conftest import PostgreSQL
from tests.integration.desk import Desk, cause


@pytest.fixture
def on_postgresql(postgresql: PostgreSQL, postgresql_database: str) -> Iterator[Desk]:
    """A desk where several write at the same time."""
    engine = make_engine(postgresql.url(postgresql_database), pooled=True)
    yield Desk(engine)
    engine.dispose()


def register(desk: Desk, *dag_ids: str) -> dict[str, Workflow]:
    with desk.transactions() as uow:
        return uow.workflows.for_dags(dag_ids)


def noticed(desk: Desk, dag_id: str, run_id: str) -> WorkflowRun:
    with desk.transactions() as uow:
        found = uow.runs.of_dag_run(dag_id, run_id)
        assert found is not None
        return found


def is_waited_for(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))


class TestTogether:
    def test_a_claim_at_the_same_time(self, on_postgresql: Desk) -> None:
        """It refers to the workflows of its chain, in that order; the runs were made in another."""
        desk = on_postgresql
        workflows = register(desk, "prepare", "train")
        for dag_id in ("train", "prepare"):
            desk.airflow.trigger(dag_id, "manual__1", {}, "ann")
        with ThreadPoolExecutor(1) as pool:
            with desk.transactions() as claim:
                for dag_id in ("prepare", "train"):
                    step = WorkflowRun(workflow_id=workflows[dag_id].id, dag_id=dag_id, dag_run_id="step")
                    claim.runs.add(step)
                    if dag_id == "prepare":
                        look = pool.submit(desk.monitor.discover)
                        while not is_waited_for(desk.engine):
                            assert not look.done()
            assert look.result() == ["train manual__1: noticed.", "prepare manual__1: noticed."]


class TestConf:
    @pytest.mark.parametrize(
        "conf",
        [
            {"x": "a\0b"},
            {"x": {"a\0b": 1}},
            {"x": ["\ud800"]},
            {"x": float("nan")},
            {"x": float("-inf")},
            {"x": {1, 2}},
            {("x", "y"): 1},
        ],
    )
    def test_one_that_no_database_can_hold_keeps_no_run_from_being_noticed(
        self, desk: Desk, conf: dict[str, Any]
    ) -> None:
        """Airflow 2.11 keeps it as a pickle, which holds anything."""
        register(desk, "prepare", "train")
        desk.airflow.trigger("train", "manual__1", conf, "ann")
        desk.airflow.trigger("train", "manual__2", {"x": 2}, "ann")
        desk.airflow.trigger("prepare", "manual__1", {"x": 1}, "ann")
        assert len(desk.monitor.discover()) == 3
        assert noticed(desk, "train", "manual__1").configuration == {"parameters": {}}
        assert noticed(desk, "train", "manual__2").configuration == {"parameters": {"x": 2}}
        assert desk.monitor.discover() == []

    @pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "\t\x1f\x7f", "\\ud800", "ü\U0001f600"])
    def test_what_only_looks_like_it_is_kept(self, desk: Desk, text: str) -> None:
        register(desk, "train")
        desk.airflow.trigger("train", "manual__1", {text: [text]}, "ann")
        desk.monitor.discover()
        assert noticed(desk, "train", "manual__1").configuration == {"parameters": {text: [text]}}


class TestHistory:
    @pytest.mark.parametrize("state", ["success", "failed"])
    def test_what_ended_before_its_dag_was_registered_tells_nobody(self, desk: Desk, state: str) -> None:
        desk.airflow.set("train", "manual__1", state)
        register(desk, "train")
        desk.monitor.discover()
        desk.monitor.tick()
        run = noticed(desk, "train", "manual__1")
        assert (run.status, run.end_date) == (state, desk.airflow.runs["train", "manual__1"].ended)
        assert desk.events() == []

    @pytest.mark.parametrize(("state", "told"), [("success", "completed"), ("failed", "failed")])
    def test_what_is_over_before_it_is_noticed_has_its_events(
        self, desk: Desk, state: str, told: str
    ) -> None:
        register(desk, "train")
        desk.airflow.set("train", "manual__1", state)
        desk.airflow.errors["train", "manual__1"] = cause("train")
        desk.monitor.discover()
        desk.monitor.tick()
        run, seen = noticed(desk, "train", "manual__1"), desk.airflow.runs["train", "manual__1"]
        assert (run.status, run.start_date, run.end_date) == (state, seen.started, seen.ended)
        assert run.error == (cause("train") if state == "failed" else None)
        assert [event.type for event in desk.events()] == ["workflow.started", f"workflow.{told}"]
