"""How far the holder of a lease has come, and what lists of a million tasks need.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

CHANGED = "ix_svops_task_updated_at_id"
TAGGED = ("svops_task", "svops_dataset")


def upgrade() -> None:
    """Let a lease remember that, and index what was last changed, and tags where the database can."""
    op.add_column("svops_lease", sa.Column("position", sa.Integer()))
    op.create_index(CHANGED, "svops_task", ["updated_at", "id"])
    if op.get_bind().dialect.name == "postgresql":
        for table in TAGGED:
            op.create_index(
                f"ix_{table}_tags",
                table,
                ["tags"],
                postgresql_using="gin",
                postgresql_ops={"tags": "jsonb_path_ops"},
            )


def downgrade() -> None:
    """Do without."""
    if op.get_bind().dialect.name == "postgresql":
        for table in TAGGED:
            op.drop_index(f"ix_{table}_tags", table)
    op.drop_index(CHANGED, "svops_task")
    op.drop_column("svops_lease", "position")
