"""Which dataset a run worked on, and how long the newest runs took.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

DATASET = {
    "postgresql": "(configuration ->> 'dataset_id')::integer",
    "sqlite": "json_extract(configuration, '$.dataset_id')",
}
SUCCEEDED = sa.text("status = 'success'")
INDEXED = (["dag_id", "dataset_id", "end_date"], ["dag_id", "end_date"])


def upgrade() -> None:
    """Let a run say which dataset it works on, as far as that was written down."""
    op.add_column("svops_workflow_run", sa.Column("dataset_id", sa.Integer()))
    dataset = DATASET[op.get_bind().dialect.name]
    op.execute(f"UPDATE svops_workflow_run SET dataset_id = {dataset}")  # noqa: S608
    for columns in INDEXED:
        op.create_index(
            f"ix_svops_workflow_run_{'_'.join(columns)}",
            "svops_workflow_run",
            columns,
            postgresql_where=SUCCEEDED,
            sqlite_where=SUCCEEDED,
        )


def downgrade() -> None:
    """Forget it."""
    for columns in INDEXED:
        op.drop_index(f"ix_svops_workflow_run_{'_'.join(columns)}", "svops_workflow_run")
    op.drop_column("svops_workflow_run", "dataset_id")
