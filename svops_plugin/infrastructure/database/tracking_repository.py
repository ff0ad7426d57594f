"""The repository of what pipelines measured and left."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from svops_plugin.application.tracking_ports import Point
from svops_plugin.domain.entities import Artifact, Metric
from svops_plugin.infrastructure.database import tables


class SqlTracking:
    """Metrics and artifacts; a repeated name (and step) overwrites."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def save_metric(self, metric: Metric) -> None:
        """Write a metric in place of an earlier one with its name and step."""
        c = tables.metric.c
        step = c.step.is_(None) if metric.step is None else c.step == metric.step
        found = self.session.scalars(
            select(Metric).where(_together(c, metric), c.name == metric.name, step)
        ).first()
        if found is None:
            self.session.add(metric)
        else:
            found.value, found.created_at = metric.value, metric.created_at
            found.workflow_run_id = metric.workflow_run_id

    def save_artifact(self, artifact: Artifact) -> None:
        """Write an artifact in place of an earlier one with its name."""
        c = tables.artifact.c
        found = self.session.scalars(
            select(Artifact).where(_together(c, artifact), c.name == artifact.name)
        ).first()
        if found is None:
            self.session.add(artifact)
        else:
            found.path, found.media_type, found.size = artifact.path, artifact.media_type, artifact.size
            found.workflow_run_id, found.created_at = artifact.workflow_run_id, artifact.created_at

    def metrics(self, *execution_ids: int) -> list[Metric]:
        """Return the metrics of executions in the order of their names and steps."""
        c = tables.metric.c
        query = select(Metric).where(c.execution_id.in_(execution_ids)).order_by(c.name, c.step)
        return list(self.session.scalars(query))

    def artifacts(self, *execution_ids: int) -> list[Artifact]:
        """Return the artifacts of executions in the order of their names."""
        c = tables.artifact.c
        query = select(Artifact).where(c.execution_id.in_(execution_ids)).order_by(c.name)
        return list(self.session.scalars(query))

    def named(self, name: str, execution_ids: Collection[int]) -> list[Artifact]:
        """Return the artifacts of executions that have this name."""
        c = tables.artifact.c
        query = select(Artifact).where(c.execution_id.in_(execution_ids), c.name == name)
        return list(self.session.scalars(query))

    def of_run(self, run_id: int) -> tuple[list[Metric], list[Artifact]]:
        """Return what one run measured and left, in the order of the names and steps."""
        m, a = tables.metric.c, tables.artifact.c
        metrics = select(Metric).where(m.workflow_run_id == run_id).order_by(m.name, m.step)
        artifacts = select(Artifact).where(a.workflow_run_id == run_id).order_by(a.name)
        return list(self.session.scalars(metrics)), list(self.session.scalars(artifacts))

    def points(self, task_ids: Collection[int], attempts: int) -> list[Point]:
        """Return the metrics without a step of tasks' newest attempts, in the order of the attempts."""
        m, e, newer = tables.metric.c, tables.execution.c, tables.execution.alias()
        newest = select(func.max(newer.c.attempt)).where(newer.c.task_id == e.task_id).scalar_subquery()
        query = (
            select(e.task_id, e.id, e.attempt, m.name, m.value)
            .join_from(tables.execution, tables.metric, m.execution_id == e.id)
            .where(e.task_id.in_(task_ids), e.attempt > newest - attempts, m.step.is_(None))
            .order_by(e.task_id, e.attempt, m.name)
        )
        return [Point(*row) for row in self.session.execute(query)]


def _together(c: Any, tracked: Metric | Artifact) -> ColumnElement[bool]:
    """Return the condition for all among which a name counts once: an execution's, or a run's alone."""
    if tracked.execution_id is None:
        condition: ColumnElement[bool] = c.workflow_run_id == tracked.workflow_run_id
        return condition
    return c.execution_id == tracked.execution_id  # type: ignore[no-any-return]
