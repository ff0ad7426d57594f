"""The repository of what pipelines measured and left."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Table, func, select, text
from sqlalchemy.orm import Session

from svops_plugin.application.tracking_ports import Point
from svops_plugin.domain.entities import Artifact, Metric
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.statements import insert_into


class SqlTracking:
    """Metrics and artifacts; a repeated name (and step) overwrites."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def save_metric(self, metric: Metric) -> None:
        """Write a metric in place of an earlier one with its name and step."""
        key, where = _counts_once(metric)
        if metric.step is None:
            where.append("step IS NULL")
        else:
            key.append("step")
        self._save(tables.metric, metric, key, where)

    def save_artifact(self, artifact: Artifact) -> None:
        """Write an artifact in place of an earlier one with its name."""
        self._save(tables.artifact, artifact, *_counts_once(artifact))

    def _save(self, table: Table, tracked: Metric | Artifact, key: list[str], where: list[str]) -> None:
        """Insert or overwrite in one statement, so that of several first reports at once none is refused.

        :param key: the columns of the unique index that tells whether it is there already
        :param where: what that index is partial by, spelled as it is there
        """
        values = {column.name: getattr(tracked, column.name) for column in table.c if column.name != "id"}
        self.session.execute(
            insert_into(self.session, table)
            .values(values)
            .on_conflict_do_update(
                index_elements=key, index_where=text(" AND ".join(where)) if where else None, set_=values
            )
        )

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


def _counts_once(tracked: Metric | Artifact) -> tuple[list[str], list[str]]:
    """Return what a name counts once in: an execution, or a run alone."""
    if tracked.execution_id is None:
        return ["workflow_run_id", "name"], ["execution_id IS NULL"]
    return ["execution_id", "name"], []
