"""What executions came to, on each kind of database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from svops_plugin.application.results import CONFUSION_MATRIX, Comparison
from svops_plugin.domain.entities import Execution, Task
from svops_plugin.domain.errors import Gone, NotFound, PermissionDenied
from svops_plugin.domain.permissions import OPERATOR
from tests.conftest import OUTPUT
from tests.integration.desk import Desk, cause
from tests.integration.support import counted

MATRIX = {"labels": ["a", "b"], "matrix": [[3, 1], [0, 4]]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder where outputs may be."""
    made = OUTPUT / tmp_path.name
    made.mkdir()
    return made


def attempt(
    desk: Desk,
    task: Task,
    measured: Mapping[str, float | list[float]],
    parameters: Mapping[str, Any] | None = None,
) -> Execution:
    """Make an attempt that measures something in its first step and then fails."""
    execution = desk.execute(task, parameters=dict(parameters or {}))
    tracker = desk.tracker(desk.begin(execution, 1))
    for name, value in measured.items():
        for step, one in enumerate(value) if isinstance(value, list) else [(None, value)]:
            tracker.log_metric(name, one, step)
    desk.controller.fail(execution.controller_run_id, cause("prepare"))
    return desk.execution(execution.id)


def leave(desk: Desk, execution: Execution, path: Path, name: str = CONFUSION_MATRIX) -> None:
    run = desk.runs(execution)[0]
    desk.tracker(run).log_artifact(path, name, "application/json")


def compare(desk: Desk, *executions: Execution) -> Comparison:
    return desk.results.compare(OPERATOR, [execution.id for execution in executions])


def rows(found: list[Any]) -> dict[str, list[Any]]:
    return {row.name: row.values for row in found}


class TestOutcome:
    def test_what_was_measured_and_left(self, desk: Desk, folder: Path) -> None:
        task = desk.new_task()
        execution = attempt(desk, task, {"accuracy": 0.9, "loss": [2.0, 1.0]})
        (folder / "m.json").write_text("{}")
        leave(desk, execution, folder / "m.json", "m.json")
        found = desk.results.outcome(OPERATOR, execution.id)
        assert found.execution is not None
        assert (found.task.id, found.execution.id) == (task.id, execution.id)
        assert [run.dag_id for run in found.runs] == ["prepare", "train", "report"]
        measured = [(one.what.name, one.what.step, one.what.value, one.dag_id) for one in found.metrics]
        assert measured == [
            ("accuracy", None, 0.9, "prepare"),
            ("loss", 0, 2.0, "prepare"),
            ("loss", 1, 1.0, "prepare"),
        ]
        assert [(one.what.name, one.what.size, one.dag_id) for one in found.artifacts] == [
            ("m.json", 2, "prepare")
        ]
        assert found.last_event_id == desk.last_event()

    def test_one_that_is_not_there(self, desk: Desk) -> None:
        for number in (0, 1, 2**40):
            with pytest.raises(NotFound, match=f"no execution {number}"):
                desk.results.outcome(OPERATOR, number)


class TestArtifact:
    def test_where_it_is(self, desk: Desk, folder: Path) -> None:
        execution = attempt(desk, desk.new_task(), {})
        (folder / "real.json").write_text("{}")
        (folder / "link.json").symlink_to(folder / "real.json")
        leave(desk, execution, folder / "link.json")
        artifact, path = desk.results.artifact(OPERATOR, execution.id, CONFUSION_MATRIX)
        assert (artifact.path, path) == (str(folder / "link.json"), folder / "real.json")

    def test_what_is_not_there(self, desk: Desk, folder: Path) -> None:
        execution = attempt(desk, desk.new_task(), {})
        with pytest.raises(NotFound, match=r"no artifact 'm\.json'"):
            desk.results.artifact(OPERATOR, execution.id, "m.json")
        (folder / "m.json").write_text("{}")
        leave(desk, execution, folder / "m.json", "m.json")
        (folder / "m.json").unlink()
        with pytest.raises(Gone, match="not there any more"):
            desk.results.artifact(OPERATOR, execution.id, "m.json")
        (folder / "m.json").mkdir()
        with pytest.raises(Gone):
            desk.results.artifact(OPERATOR, execution.id, "m.json")

    def test_what_is_outside(self, desk: Desk, folder: Path, tmp_path: Path) -> None:
        execution = attempt(desk, desk.new_task(), {})
        secret = tmp_path / "secret"
        secret.write_text("x")
        (folder / "link").symlink_to(secret)
        for number, path in enumerate([secret, folder / "link"]):
            leave(desk, execution, path, f"{number}")
            with pytest.raises(PermissionDenied, match="output_roots"):
                desk.results.artifact(OPERATOR, execution.id, f"{number}")


class TestCompare:
    def test_what_they_were_given(self, desk: Desk) -> None:
        task = desk.new_task(
            build_config="debug",
            build_config_customized=True,
            build_config_custom_conf={"params": {"C": 1}, "seed": 7},
        )
        other = desk.new_task("other", build_config_custom_conf={"seed": 8})
        first = attempt(desk, task, {}, {"x": {"y": 1, "z": 2}, "same": [1]})
        second = attempt(desk, other, {}, {"x": {"y": True, "z": 2}, "same": [1]})
        found = rows(compare(desk, first, second).differences)
        assert found.pop("dataset.id") == [task.dataset_id, other.dataset_id]
        assert found == {
            "parameters.x.y": [1, True],
            "configuration.build_config": ["debug", None],
            "configuration.build_config_customized": [True, False],
            "configuration.build_config_custom_conf.params.C": [1, None],
            "configuration.build_config_custom_conf.seed": [7, None],
            "configuration.build_config_custom_ini": [{}, None],
            "dataset.name": ["of train", "of other"],
            "task.name": ["train", "other"],
        }

    def test_what_they_measured(self, desk: Desk) -> None:
        task = desk.new_task()
        first = attempt(desk, task, {"accuracy": 0.5, "loss": [2.0, 1.0]})
        second = attempt(desk, task, {"accuracy": 0.75, "f1": 0.25, "loss": [3.0]})
        third = attempt(desk, task, {})
        found = compare(desk, third, second, first)
        assert [one.id for one in found.executions] == [third.id, second.id, first.id]
        assert rows(found.metrics) == {"accuracy": [None, 0.75, 0.5], "f1": [None, 0.25, None]}
        assert rows(found.curves) == {"loss": [None, [(0, 3.0)], [(0, 2.0), (1, 1.0)]]}
        assert found.differences == []

    def test_metrics_over_the_attempts_at_each_task(self, desk: Desk) -> None:
        task, other = desk.new_task(), desk.new_task("other")
        first, second, _ = (attempt(desk, task, {"accuracy": value}) for value in (0.1, 0.2, 0.3))
        third = attempt(desk, other, {"accuracy": 0.4, "f1": 0.5})
        found = compare(desk, second, third).series
        seen = [(one.name, one.task_id, [(p.attempt, p.value) for p in one.points]) for one in found]
        assert seen == [
            ("accuracy", task.id, [(1, 0.1), (2, 0.2), (3, 0.3)]),
            ("accuracy", other.id, [(1, 0.4)]),
            ("f1", other.id, [(1, 0.5)]),
        ]
        assert found[0].points[0].execution_id == first.id

    def test_only_the_newest_attempts_are_points(self, desk: Desk) -> None:
        task = desk.new_task()
        for value in (0.1, 0.2, 0.3):
            attempt(desk, task, {"accuracy": value})
        with desk.transactions() as uow:
            assert [point.attempt for point in uow.tracking.points([task.id], 2)] == [2, 3]

    def test_confusion_matrices(self, desk: Desk, folder: Path) -> None:
        task = desk.new_task()
        first, second, third = (attempt(desk, task, {}) for _ in range(3))
        path = folder / CONFUSION_MATRIX
        path.write_text(json.dumps(MATRIX))
        leave(desk, first, path)
        (folder / "gone").write_text("")
        leave(desk, second, folder / "gone")
        (folder / "gone").unlink()
        assert compare(desk, first, second, third).confusion_matrices == [MATRIX, None, None]

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "[" * 100_000,
            "null",
            "[]",
            '{"labels": ["a"], "matrix": [[1], [2]]}',
            '{"labels": ["a"], "matrix": [[1, 2]]}',
            '{"labels": ["a"], "matrix": [["1"]]}',
            '{"labels": [1], "matrix": [[1]]}',
            '{"labels": "a", "matrix": [[1]]}',
            '{"labels": ["a"], "matrix": [1]}',
            '{"labels": ["a"], "matrix": [[1]], "more": 1}',
            '{"labels": ["a"], "matrix": [[1]]}' + " " * 1024**2,
        ],
    )
    def test_what_is_no_confusion_matrix(self, desk: Desk, folder: Path, content: str) -> None:
        execution = attempt(desk, desk.new_task(), {})
        (folder / "m").write_text(content)
        leave(desk, execution, folder / "m")
        assert compare(desk, execution, execution).confusion_matrices == [None, None]

    def test_it_takes_as_many_statements_whatever_is_compared(self, desk: Desk) -> None:
        task = desk.new_task()
        executions = [attempt(desk, task, {"accuracy": 0.5, "loss": [1.0, 2.0]}) for _ in range(6)]
        with counted(desk.engine) as two:
            compare(desk, *executions[:2])
        with counted(desk.engine) as six:
            compare(desk, *executions)
        assert len(six) == len(two)
        assert sum(one.startswith("SELECT") for one in six) == 4

    def test_one_that_is_not_there(self, desk: Desk) -> None:
        execution = attempt(desk, desk.new_task(), {})
        with pytest.raises(NotFound, match=f"no execution {execution.id + 1}"):
            desk.results.compare(OPERATOR, [execution.id, execution.id + 1])
