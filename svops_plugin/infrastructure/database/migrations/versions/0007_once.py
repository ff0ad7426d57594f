"""Ids that are given out once.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"

# What events, outputs and runs' configurations go on naming when it is deleted.
NAMED = ("svops_dataset", "svops_task", "svops_execution", "svops_workflow", "svops_workflow_run")


def upgrade() -> None:
    """Let SQLite remember which ids it has given out, as PostgreSQL does."""
    _rebuild(sqlite_autoincrement=True)


def downgrade() -> None:
    """Let SQLite give out the highest one again when its row is deleted."""
    _rebuild()


def _rebuild(**options: bool) -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in NAMED:
            with op.batch_alter_table(table, recreate="always", table_kwargs=options):
                pass
