"""What pipelines that run alone were told, measured and left.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"

TRACKED = ("svops_metric", "svops_artifact")
ALONE = sa.text("execution_id IS NULL")


def upgrade() -> None:
    """Let metrics and artifacts belong to a run outside a chain, and keep what such a run was told."""
    for table in TRACKED:
        with op.batch_alter_table(table) as batch:
            batch.alter_column("execution_id", existing_type=sa.Integer(), nullable=True)
    op.create_index(
        "uq_svops_artifact_alone",
        "svops_artifact",
        ["workflow_run_id", "name"],
        unique=True,
        postgresql_where=ALONE,
        sqlite_where=ALONE,
    )
    snapshot = sa.Column("snapshot", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"))
    op.add_column("svops_workflow_run", snapshot)


def downgrade() -> None:
    """Forget what runs outside a chain were told, measured and left."""
    op.drop_column("svops_workflow_run", "snapshot")
    op.drop_index("uq_svops_artifact_alone", "svops_artifact")
    for table in TRACKED:
        op.execute(f"DELETE FROM {table} WHERE execution_id IS NULL")  # noqa: S608
        with op.batch_alter_table(table) as batch:
            batch.alter_column("execution_id", existing_type=sa.Integer(), nullable=False)
