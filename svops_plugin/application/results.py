"""What executions came to: their metrics and files, and several of them side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from svops_plugin.application.executions import Standing
from svops_plugin.application.file_ports import Outputs
from svops_plugin.application.ports import Transactions
from svops_plugin.application.tasks import found_task
from svops_plugin.application.tracking_ports import Point
from svops_plugin.domain.entities import Artifact, Execution, Json, Metric
from svops_plugin.domain.errors import Gone, NotFound, PermissionDenied
from svops_plugin.domain.permissions import Actor
from svops_plugin.domain.states import RunStatus

CONFUSION_MATRIX = "confusion_matrix.json"
LARGEST_MATRIX = 1024**2  # bytes
SHOWN_ATTEMPTS = 100

T = TypeVar("T")


@dataclass(frozen=True)
class Tracked(Generic[T]):
    """A metric or an artifact, and the DAG that it comes from."""

    what: T
    dag_id: str


@dataclass(frozen=True)
class Outcome(Standing):
    """An execution with what it measured and left.

    :param last_event_id: what happened up to here is in it
    """

    metrics: Sequence[Tracked[Metric]] = ()
    artifacts: Sequence[Tracked[Artifact]] = ()
    last_event_id: int = 0


@dataclass(frozen=True)
class Row:
    """One name, and what each of the compared executions has under it; none where it has nothing."""

    name: str
    values: list[Any]


@dataclass(frozen=True)
class Series:
    """How one metric went over the attempts at one task, the oldest first."""

    name: str
    task_id: int
    points: list[Point]


@dataclass(frozen=True)
class Comparison:
    """Several executions side by side; whatever has a value for each has them in their order.

    :param differences: of the parameters, the configuration and the dataset, what is not the same for all
    :param metrics: the numbers
    :param curves: the metrics with steps, as ``[[step, value], …]``
    :param confusion_matrices: ``{"labels", "matrix"}``, rows being what is true; none where there is none
    """

    executions: list[Execution]
    differences: list[Row]
    metrics: list[Row]
    curves: list[Row]
    confusion_matrices: list[Json | None]
    series: list[Series]


class ResultService:
    """Use cases of looking at what executions came to.

    :param outputs: finds the files that pipelines left
    """

    def __init__(self, transactions: Transactions, outputs: Outputs) -> None:
        self._transactions = transactions
        self._outputs = outputs

    def outcome(self, actor: Actor, execution_id: int) -> Outcome:
        """Return an execution with its runs, metrics and artifacts.

        :raises NotFound: if there is none
        """
        actor.require("task", "read")
        with self._transactions().snapshot() as uow:
            newest = uow.events.newest()
            execution = _found(uow.executions.get(execution_id), execution_id)
            task = found_task(uow.tasks.get(execution.task_id), execution.task_id)
            runs = uow.runs.of_execution(execution_id)
            metrics = uow.tracking.metrics(execution_id)
            artifacts = uow.tracking.artifacts(execution_id)
        dags = {run.id: run.dag_id for run in runs}
        return Outcome(
            task,
            execution.chain,
            execution,
            runs,
            metrics=[Tracked(metric, dags[metric.workflow_run_id]) for metric in metrics],
            artifacts=[Tracked(artifact, dags[artifact.workflow_run_id]) for artifact in artifacts],
            last_event_id=newest,
        )

    def artifact(self, actor: Actor, execution_id: int, name: str) -> tuple[Artifact, Path]:
        """Return an artifact of an execution, and where its file is.

        What a reused step left is with the attempt before until this one's controller has copied it.

        :raises NotFound: if there is no such artifact
        :raises Gone: if its file has been taken away
        :raises PermissionDenied: also if the file is outside of where outputs may be
        """
        actor.require("task", "read")
        with self._transactions() as uow:
            execution = _found(uow.executions.get(execution_id), execution_id)
            known = uow.tracking.named(name, [execution_id])
            run = uow.runs.get(known[0].workflow_run_id) if known else None
        if not known:
            raise NotFound(f"Execution {execution_id} has no artifact {name!r}.")
        try:
            return known[0], self._outputs.existing(known[0].path)
        except Gone:
            if run is None or run.status is not RunStatus.REUSED or execution.resumed_from_id is None:
                raise
            return self.artifact(actor, execution.resumed_from_id, name)

    def compare(self, actor: Actor, execution_ids: Sequence[int]) -> Comparison:
        """Return executions side by side, in the order of the ids.

        :raises NotFound: if there is no such execution
        """
        actor.require("task", "read")
        with self._transactions() as uow:
            found = {execution.id: execution for execution in uow.executions.several(execution_ids)}
            executions = [_found(found.get(number), number) for number in execution_ids]
            metrics = uow.tracking.metrics(*execution_ids)
            matrices = uow.tracking.named(CONFUSION_MATRIX, execution_ids)
            points = uow.tracking.points({one.task_id for one in executions}, SHOWN_ATTEMPTS)
        left = {artifact.execution_id: artifact for artifact in matrices}
        shown = {metric.name for metric in metrics if metric.step is None}
        return Comparison(
            executions,
            _differences([_settings(execution) for execution in executions]),
            _side_by_side(metrics, execution_ids, _number),
            _side_by_side(metrics, execution_ids, _curve),
            [self._matrix(left.get(number)) for number in execution_ids],
            _series(point for point in points if point.name in shown),
        )

    def _matrix(self, artifact: Artifact | None) -> Json | None:
        """Return the content of a file that a pipeline says is a confusion matrix, if it is one."""
        if artifact is None:
            return None
        try:
            with self._outputs.existing(artifact.path).open("rb") as stream:
                content = stream.read(LARGEST_MATRIX + 1)
            loaded = json.loads(content) if len(content) <= LARGEST_MATRIX else None
        except (OSError, ValueError, RecursionError, Gone, PermissionDenied):
            return None
        return loaded if _is_matrix(loaded) else None


def _found(execution: Execution | None, execution_id: int) -> Execution:
    if execution is None:
        raise NotFound(f"There is no execution {execution_id}.")
    return execution


def _is_matrix(loaded: object) -> bool:
    """Tell whether it is labels and as many rows of as many numbers."""
    if not isinstance(loaded, dict) or loaded.keys() != {"labels", "matrix"}:
        return False
    labels, rows = loaded["labels"], loaded["matrix"]
    return (
        isinstance(labels, list)
        and isinstance(rows, list)
        and all(isinstance(label, str) for label in labels)
        and len(rows) == len(labels)
        and all(isinstance(row, list) and len(row) == len(labels) for row in rows)
        and all(isinstance(count, int) for row in rows for count in row)
    )


def _settings(execution: Execution) -> dict[str, Any]:
    """Return all that an execution was given, by dotted names; what a task keeps but does not use is not."""
    task = dict(execution.task_snapshot)
    if not task["build_config_customized"]:
        del task["build_config_custom_conf"], task["build_config_custom_ini"]
    general = {key: task.pop(key) for key in ("name", "customer", "log_out_path", "video_out_path")}
    given = {
        "parameters": execution.parameters,
        "configuration": task,
        "dataset": execution.dataset_snapshot,
        "task": general,
        "chain": execution.chain,
    }
    return dict(_flattened(given))


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _differences(settings: Sequence[Mapping[str, Any]]) -> list[Row]:
    names = dict.fromkeys(name for one in settings for name in one)
    rows = [Row(name, [one.get(name) for one in settings]) for name in names]
    return [row for row in rows if len({json.dumps(value, sort_keys=True) for value in row.values}) > 1]


def _number(metrics: Collection[Metric]) -> float | None:
    return next((metric.value for metric in metrics if metric.step is None), None)


def _curve(metrics: Collection[Metric]) -> list[tuple[int, float]] | None:
    return [(metric.step, metric.value) for metric in metrics if metric.step is not None] or None


def _side_by_side(
    metrics: Collection[Metric], execution_ids: Sequence[int], value: Callable[[Collection[Metric]], Any]
) -> list[Row]:
    """Return a row for each name under which at least one execution has a value."""
    grouped: dict[str, dict[int | None, list[Metric]]] = {}
    for metric in metrics:
        grouped.setdefault(metric.name, {}).setdefault(metric.execution_id, []).append(metric)
    rows = [
        Row(name, [value(of.get(number, [])) for number in execution_ids]) for name, of in grouped.items()
    ]
    return [row for row in rows if any(one is not None for one in row.values)]


def _series(points: Iterable[Point]) -> list[Series]:
    found: dict[tuple[str, int], Series] = {}
    for point in points:
        key = point.name, point.task_id
        found.setdefault(key, Series(*key, [])).points.append(point)
    return [found[key] for key in sorted(found)]
