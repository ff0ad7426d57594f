"""The controller DAG's own callback, by which a failed run is told: whom it blames, and what comes late."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from svops_plugin.application.controller import ControllerRun
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import Services, host
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.orchestration import controller
from tests.hosts import hosting
from tests.integration.inside import FIRST, new_task, states


class TestDagsOwnCallback:
    """It is called in the DAG processor, some time after the scheduler has failed the run."""

    @pytest.fixture
    def run(self, svops: Services, dataset_folder: Path) -> ControllerRun:
        """A run of the controller by hand whose first step has begun."""
        conf = {"task_id": new_task(svops, dataset_folder)}
        run = ControllerRun(f"manual__{uuid4().hex}", conf)
        host().DagRuns().trigger(CONTROLLER, run.run_id, conf, "ann")
        svops.controller.begin_step(run, 1, FIRST, lambda _: None)
        return run

    def reason(self, svops: Services, run: ControllerRun) -> str:
        return svops.tasks.get(OPERATOR, run.conf["task_id"]).status_reason or ""

    def test_it_blames_the_controller_and_no_step(self, svops: Services, run: ControllerRun) -> None:
        """The context is that of one of its tasks, which need not be at fault."""
        hosting().fail_run(CONTROLLER, run.run_id, "task_failure")()
        assert states(svops, run.conf["task_id"]) == ("failed", ["skipped"] * 3)
        assert self.reason(svops, run) == f"{CONTROLLER}: task_failure"

    def test_a_chain_that_takes_too_long(
        self, svops: Services, run: ControllerRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Airflow ends the run after its timeout, and calls with this reason."""
        monkeypatch.setenv("AIRFLOW__SVOPS__EXECUTION_TIMEOUT", "5400")
        assert controller.controller_dag().dagrun_timeout == timedelta(hours=1.5)
        hosting().fail_run(CONTROLLER, run.run_id, "timed_out")()
        assert "did not end within 1:30:00 ([svops] execution_timeout)" in self.reason(svops, run)

    def test_one_that_comes_after_the_run_was_cleared(self, svops: Services, run: ControllerRun) -> None:
        task_id = run.conf["task_id"]
        tell = hosting().fail_run(CONTROLLER, run.run_id, "task_failure")
        svops.controller.fail(run.run_id, failure(FIRST, "no such file"), position=1)
        begin_anew(run.run_id)
        svops.controller.begin_step(replace(run, cleared_at=utcnow()), 1, FIRST, lambda _: None)
        tell()
        assert states(svops, task_id) == ("running", ["queued"] * 3)
        hosting().fail_run(CONTROLLER, run.run_id, "task_failure")()
        assert states(svops, task_id) == ("failed", ["skipped"] * 3)


def begin_anew(run_id: str) -> None:
    """Let a DAG run begin anew, as one that was cleared."""
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from sqlalchemy import select

    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        for state in (DagRunState.QUEUED, DagRunState.RUNNING):
            run.set_state(state)
