"""What pipelines measured and left."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple, Protocol

from svops_plugin.domain.entities import Artifact, Metric


class Point(NamedTuple):
    """What one attempt at a task measured under a name."""

    task_id: int
    execution_id: int
    attempt: int
    name: str
    value: float


class Tracking(Protocol):
    """What pipelines measured and left.

    A repeated name (and step) overwrites within an execution, and within a run outside a chain.
    """

    def save_metric(self, metric: Metric) -> None:
        """Write a metric."""

    def save_artifact(self, artifact: Artifact) -> None:
        """Write an artifact."""

    def metrics(self, *execution_ids: int) -> list[Metric]:
        """Return the metrics of executions in the order of their names and steps."""

    def artifacts(self, *execution_ids: int) -> list[Artifact]:
        """Return the artifacts of executions in the order of their names."""

    def named(self, name: str, execution_ids: Collection[int]) -> list[Artifact]:
        """Return the artifacts of executions that have this name."""

    def of_run(self, run_id: int) -> tuple[list[Metric], list[Artifact]]:
        """Return what one run measured and left, in the order of the names and steps."""

    def points(self, task_ids: Collection[int], attempts: int) -> list[Point]:
        """Return the metrics without a step of tasks' newest attempts, in the order of the attempts.

        :param attempts: of how many attempts at each task
        """
