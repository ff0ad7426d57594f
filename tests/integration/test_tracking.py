"""What running pipelines report, and how it survives what happens around them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from svops_plugin.application import tracking
from svops_plugin.application.tracking import RunTracker
from svops_plugin.domain.errors import Conflict, NotFound
from tests.integration.desk import Desk, cause

RUNNING = ("running", "running", ["queued", "queued", "queued"])


class TestTracking:
    def test_a_run_that_svops_did_not_start(self, desk: Desk) -> None:
        tracker = RunTracker(desk.transactions, "prepare", "manual__1")
        with pytest.raises(NotFound, match="execute a task, or run the DAG's workflow with a task_id"):
            tracker.begin()

    def test_beginning_is_told_once(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        run = desk.begin(execution, 1)
        before = desk.last_event()
        assert desk.tracker(run).begin()["execution_id"] == execution.id
        assert desk.events(before) == []

    def test_a_run_that_ended_does_not_begin_again(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        run = desk.begin(execution, 1)
        desk.controller.fail(execution.run_name, cause("prepare"))
        with pytest.raises(Conflict, match=f"Execution {execution.id} has ended"):
            desk.tracker(run).begin()
        desk.tracker(run).progress(1, 2, "late")
        assert desk.states(execution) == ["failed", "skipped", "skipped"]

    def test_progress_is_kept_and_told_last_word_included(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        execution = desk.execute(desk.new_task())
        tracker = desk.tracker(desk.begin(execution, 1))
        before = desk.last_event()
        for done in range(51):
            now = 1000 + done * tracking.PROGRESS_INTERVAL / 4
            monkeypatch.setattr(tracking, "time", SimpleNamespace(monotonic=lambda now=now: now))
            tracker.progress(done, 50, "fold")
        assert desk.runs(execution)[0].message == "fold (50/50)"
        told = [event.data["progress"]["message"] for event in desk.events(before)]
        assert told == [f"fold ({done}/50)" for done in (*range(0, 50, 4), 50)]

    def test_a_repeated_metric_overwrites(self, desk: Desk) -> None:
        execution = desk.execute(desk.new_task())
        tracker = desk.tracker(desk.begin(execution, 1))
        tracker.log_metric("accuracy", 0.5, None)
        tracker.log_metric("accuracy", 0.9, None)
        result = desk.controller.complete(execution.run_name).result
        assert result is not None
        assert result["metrics"] == {"accuracy": 0.9}

    def test_the_profile_goes_to_the_dataset_and_the_execution(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        desk.tracker(desk.begin(execution, 1)).dataset_profile({"samples": 4}, "f" * 64)
        dataset = desk.dataset(task.dataset_id)
        assert (dataset.profile, dataset.fingerprint) == ({"samples": 4}, "f" * 64)
        assert desk.execution(execution.id).dataset_snapshot["fingerprint"] == "f" * 64

    def test_the_profile_of_other_files_is_not_the_datasets(self, desk: Desk) -> None:
        task = desk.new_task()
        execution = desk.execute(task)
        run = desk.begin(execution, 1)
        with desk.transactions() as uow:
            dataset = uow.datasets.lock(task.dataset_id or 0)
            assert dataset is not None
            dataset.path = "/data/moved"
        desk.tracker(run).dataset_profile({"samples": 4}, "f" * 64)
        assert desk.dataset(task.dataset_id).profile is None
        assert desk.execution(execution.id).dataset_snapshot["fingerprint"] == "f" * 64


def test_deleting_a_task_in_the_middle_is_survived_by_its_callbacks(desk: Desk) -> None:
    """REST refuses to delete a running task; its row may go all the same, from a database console."""
    task = desk.new_task()
    execution = desk.execute(task)
    run = desk.begin(execution, 1)
    with desk.transactions() as uow:
        held = uow.tasks.lock(task.id)
        assert held is not None
        uow.tasks.delete(held)
    desk.controller.fail(execution.run_name, cause("prepare"))
    with pytest.raises(NotFound):
        desk.tracker(run).begin()
    assert desk.monitor.tick() == []
