"""What only Airflow 2.11 has: a date that is unique among a DAG's runs, and steps that trigger inline."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from svops_plugin.bootstrap import host
from svops_plugin.domain.errors import Conflict

pytestmark = [pytest.mark.only_on("airflow2", "DAG runs"), pytest.mark.usefixtures("airflow_metadata")]
DAG_ID = "data_processing_pipeline"


@pytest.fixture
def run_id() -> str:
    return f"test__{uuid4().hex}"


class Clock:
    """Airflow's clock, which tells the same time twice before it goes on."""

    def __init__(self, original: Any) -> None:
        self._original = original
        now = datetime.now(timezone.utc)
        self._times = iter([now, now, *(now + timedelta(seconds=number) for number in range(1, 10))])

    def utcnow(self) -> datetime:
        return next(self._times)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)


@pytest.fixture
def same_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two DAG runs that are triggered one after the other have the same date, down to the microsecond."""
    from airflow.api.common import trigger_dag
    from airflow.providers.standard.operators import trigger_dagrun

    for module in (trigger_dag, trigger_dagrun):
        monkeypatch.setattr(module, "timezone", Clock(module.timezone))


class Step:
    """A step's task, with a context that keeps what it pushes."""

    def __init__(self, run_id: str, execution_id: int) -> None:
        from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

        self.run_id, self.execution_id = run_id, execution_id
        self.operator = TriggerDagRunOperator(
            task_id="step",
            trigger_dag_id=DAG_ID,
            trigger_run_id=run_id,
            conf={"execution_id": execution_id},
            wait_for_completion=True,
            deferrable=True,
        )
        self.pushed: list[str] = []
        instance = SimpleNamespace(xcom_push=lambda key, value: self.pushed.append(f"{key}={value}"))
        self.context = {"ti": instance, "task_instance": instance}

    def start(self) -> bool:
        def ours(conf: Mapping[str, Any]) -> bool:
            return conf.get("execution_id") == self.execution_id

        started: bool = host().start_child(self.operator.execute, self.context, DAG_ID, self.run_id, ours)
        return started


class TestStep:
    def test_it_triggers_its_run_and_does_not_wait(self, run_id: str) -> None:
        step = Step(run_id, 7)
        assert step.start()
        assert host().DagRuns().run_conf(DAG_ID, run_id) == {"execution_id": 7}
        assert step.pushed == [f"trigger_run_id={run_id}"]

    def test_a_repeated_one_adopts_it(self, run_id: str) -> None:
        assert Step(run_id, 7).start()
        again = Step(run_id, 7)
        assert again.start()
        assert again.pushed == [f"trigger_run_id={run_id}"]

    def test_a_foreign_run_is_not_adopted(self, run_id: str) -> None:
        assert Step(run_id, 7).start()
        with pytest.raises(Conflict, match="run id taken"):
            Step(run_id, 8).start()

    @pytest.mark.usefixtures("same_moment")
    def test_another_run_of_the_same_moment(self, run_id: str) -> None:
        assert Step(run_id, 7).start()
        assert Step(f"{run_id}_other", 8).start()
        assert host().DagRuns().run_conf(DAG_ID, f"{run_id}_other") == {"execution_id": 8}


@pytest.mark.usefixtures("same_moment")
def test_two_runs_with_the_same_date(run_id: str) -> None:
    airflow = host().DagRuns()
    for number in (1, 2):
        airflow.trigger(DAG_ID, f"{run_id}{number}", {"number": number}, "ann")
    assert [airflow.run_conf(DAG_ID, f"{run_id}{number}") for number in (1, 2)] == [
        {"number": 1},
        {"number": 2},
    ]


class TestStates:
    @pytest.fixture
    def run(self, run_id: str) -> Iterator[str]:
        host().DagRuns().trigger(DAG_ID, run_id, {}, "ann")
        yield run_id
        host().DagRuns().stop(DAG_ID, run_id)

    def test_from_a_task_and_from_a_trigger(self, run: str) -> None:
        assert host().child_state_in_task({}, DAG_ID, run) == "queued"
        assert asyncio.run(host().child_state(DAG_ID, run)) == "queued"
        host().DagRuns().stop(DAG_ID, run)
        assert host().child_state_in_task({}, DAG_ID, run) == "failed"
        assert asyncio.run(host().child_state(DAG_ID, run)) == "failed"

    def test_of_a_run_that_is_not_there(self) -> None:
        assert host().child_state_in_task({}, DAG_ID, "nothing") == "deleted"
        assert asyncio.run(host().child_state(DAG_ID, "nothing")) is None

    def test_the_grid_shows_a_run_however_old(self, run: str) -> None:
        """It shows the last ones up to its base date, which is now unless one is named."""
        assert f"dag_run_id={run}&base_date=" in host().DagRuns().run_url(DAG_ID, run)
        assert "base_date" not in host().DagRuns().run_url(DAG_ID, "nothing")
