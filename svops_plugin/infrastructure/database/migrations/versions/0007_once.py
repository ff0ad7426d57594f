"""Ids that are given out once, and metrics that are kept once.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

# What events, outputs and runs' configurations go on naming when it is deleted.
NAMED = ("svops_dataset", "svops_task", "svops_execution", "svops_workflow", "svops_workflow_run")
METRIC = "svops_metric"
POINTS = ["execution_id", "name", "step"]
ONCE = (
    ("point", POINTS, None),
    ("whole", ["execution_id", "name"], sa.text("step IS NULL")),
    ("alone_point", ["workflow_run_id", "name", "step"], sa.text("execution_id IS NULL")),
    ("alone", ["workflow_run_id", "name"], sa.text("execution_id IS NULL AND step IS NULL")),
)
# Two parallel tasks could both find that they were the first to report; the later report counts.
TWICE = """
    DELETE FROM svops_metric WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (
                PARTITION BY
                    execution_id, CASE WHEN execution_id IS NULL THEN workflow_run_id END, name, step
                ORDER BY created_at DESC, id DESC
            ) AS place
            FROM svops_metric
        ) AS ranked
        WHERE place > 1
    )
"""


def upgrade() -> None:
    """Let SQLite remember which ids it has given out, as PostgreSQL does; keep a metric once."""
    _rebuild(sqlite_autoincrement=True)
    op.execute(TWICE)
    op.drop_index("ix_svops_metric_execution_id_name_step", METRIC)
    for name, columns, where in ONCE:
        op.create_index(
            f"uq_svops_metric_{name}",
            METRIC,
            columns,
            unique=True,
            postgresql_where=where,
            sqlite_where=where,
        )


def downgrade() -> None:
    """Let SQLite give out the highest id again when its row is deleted, and take any metric."""
    for name, *_ in ONCE:
        op.drop_index(f"uq_svops_metric_{name}", METRIC)
    op.create_index("ix_svops_metric_execution_id_name_step", METRIC, POINTS)
    _rebuild()


def _rebuild(**options: bool) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in NAMED:
            with op.batch_alter_table(table, recreate="always", table_kwargs=options):
                pass
