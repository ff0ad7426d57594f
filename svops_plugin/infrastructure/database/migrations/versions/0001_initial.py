"""The first schema.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)


def states(*values: str, name: str) -> sa.Enum:
    """Return a string column with a CHECK on its values."""
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=16)


def upgrade() -> None:
    """Make the tables."""
    _create_svops_event()
    _create_svops_idempotency_key()
    _create_svops_lease()
    _create_svops_user()
    _create_svops_dataset()
    _create_svops_refresh_token()
    _create_svops_workflow()
    _create_svops_task()
    _create_svops_execution()
    _create_svops_workflow_run()
    _create_svops_artifact()
    _create_svops_metric()


def downgrade() -> None:
    """Drop the tables; those that refer to others go first."""
    for table in (
        "svops_metric",
        "svops_artifact",
        "svops_workflow_run",
        "svops_execution",
        "svops_task",
        "svops_workflow",
        "svops_refresh_token",
        "svops_dataset",
        "svops_user",
        "svops_lease",
        "svops_idempotency_key",
        "svops_event",
    ):
        op.drop_table(table)


def _create_svops_event() -> None:
    op.create_table(
        "svops_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.Integer()),
        sa.Column("execution_id", sa.Integer()),
        sa.Column("workflow_id", sa.Integer()),
        sa.Column("run_id", sa.Integer()),
        sa.Column("user_id", sa.Integer()),
        sa.Column("actor", sa.String(length=250), nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_svops_event"),
    )
    op.create_index("ix_svops_event_task_id_id", "svops_event", ["task_id", "id"])


def _create_svops_idempotency_key() -> None:
    op.create_table(
        "svops_idempotency_key",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scope", sa.String(length=250), nullable=False),
        sa.Column("key", sa.String(length=250), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_svops_idempotency_key"),
        sa.UniqueConstraint("scope", "key", name="uq_svops_idempotency_key_scope_key"),
    )
    op.create_index("ix_svops_idempotency_key_created_at", "svops_idempotency_key", ["created_at"])


def _create_svops_lease() -> None:
    op.create_table(
        "svops_lease",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_svops_lease"),
    )


def _create_svops_user() -> None:
    op.create_table(
        "svops_user",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.String(length=250), nullable=False),
        sa.Column("username", sa.String(length=250), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_svops_user"),
        sa.UniqueConstraint("subject", name="uq_svops_user_subject"),
    )
    op.create_index("ix_svops_user_username", "svops_user", ["username"])


def _create_svops_dataset() -> None:
    op.create_table(
        "svops_dataset",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("data_type", states("Vector", "Surf", "Jetson", name="data_type"), nullable=False),
        sa.Column("gt_path", sa.Text()),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("profile", JSON),
        sa.Column("fingerprint", sa.String(length=64)),
        sa.Column("created_by_id", sa.Integer()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["svops_user.id"], name="fk_svops_dataset_created_by_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_dataset"),
        sa.UniqueConstraint("name", name="uq_svops_dataset_name"),
    )
    op.create_index("ix_svops_dataset_created_at_id", "svops_dataset", ["created_at", "id"])
    op.create_index(
        "ix_svops_dataset_created_by_id_created_at", "svops_dataset", ["created_by_id", "created_at"]
    )
    op.create_index("ix_svops_dataset_data_type_created_at", "svops_dataset", ["data_type", "created_at"])


def _create_svops_refresh_token() -> None:
    op.create_table(
        "svops_refresh_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("claims", JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("spent_at", TIME),
        sa.Column("revoked_at", TIME),
        sa.ForeignKeyConstraint(
            ["user_id"], ["svops_user.id"], name="fk_svops_refresh_token_user_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_refresh_token"),
        sa.UniqueConstraint("digest", name="uq_svops_refresh_token_digest"),
    )
    op.create_index("ix_svops_refresh_token_expires_at", "svops_refresh_token", ["expires_at"])
    op.create_index("ix_svops_refresh_token_family", "svops_refresh_token", ["family"])


def _create_svops_workflow() -> None:
    op.create_table(
        "svops_workflow",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False),
        sa.Column("last_seen", sa.Integer(), nullable=False),
        sa.Column("created_by_id", sa.Integer()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["svops_user.id"], name="fk_svops_workflow_created_by_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_workflow"),
        sa.UniqueConstraint("dag_id", name="uq_svops_workflow_dag_id"),
    )


def _create_svops_task() -> None:
    op.create_table(
        "svops_task",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("customer", sa.String(length=32), nullable=False),
        sa.Column("log_out_path", sa.Text(), nullable=False),
        sa.Column("branch_name", sa.String(length=255)),
        sa.Column("commit_id", sa.String(length=255)),
        sa.Column("build_config", sa.String(length=255)),
        sa.Column("build_config_customized", sa.Boolean(), nullable=False),
        sa.Column("build_config_custom_conf", JSON, nullable=False),
        sa.Column("build_config_custom_ini", JSON, nullable=False),
        sa.Column("dataset_id", sa.Integer()),
        sa.Column("video_out_enabled", sa.Boolean(), nullable=False),
        sa.Column("video_out_path", sa.Text(), nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column(
            "status",
            states("pending", "running", "completed", "failed", "cancelled", name="status"),
            nullable=False,
        ),
        sa.Column("status_reason", sa.Text()),
        sa.Column("last_execution_id", sa.Integer()),
        sa.Column("result", JSON),
        sa.Column("created_by_id", sa.Integer()),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["svops_user.id"], name="fk_svops_task_created_by_id", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["dataset_id"], ["svops_dataset.id"], name="fk_svops_task_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_svops_task"),
    )
    op.create_index("ix_svops_task_created_at_id", "svops_task", ["created_at", "id"])
    op.create_index("ix_svops_task_created_by_id_created_at", "svops_task", ["created_by_id", "created_at"])
    op.create_index("ix_svops_task_customer_created_at", "svops_task", ["customer", "created_at"])
    op.create_index("ix_svops_task_dataset_id_created_at", "svops_task", ["dataset_id", "created_at"])
    op.create_index("ix_svops_task_status_created_at", "svops_task", ["status", "created_at"])


def _create_svops_execution() -> None:
    op.create_table(
        "svops_execution",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("uuid", sa.String(length=32), nullable=False),
        sa.Column("chain", JSON, nullable=False),
        sa.Column("task_snapshot", JSON, nullable=False),
        sa.Column("dataset_snapshot", JSON, nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("requested_by_id", sa.Integer()),
        sa.Column("requested_by", sa.String(length=250), nullable=False),
        sa.Column(
            "status", states("running", "completed", "failed", "cancelled", name="status"), nullable=False
        ),
        sa.Column("controller_run_id", sa.String(length=250), nullable=False),
        sa.Column("triggered_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("ended_at", TIME),
        sa.Column("stop_requested_at", TIME),
        sa.Column("stop_requested_by", sa.String(length=250)),
        sa.Column("resumed_from_id", sa.Integer()),
        sa.Column("error", JSON),
        sa.Column("result", JSON),
        sa.ForeignKeyConstraint(
            ["requested_by_id"],
            ["svops_user.id"],
            name="fk_svops_execution_requested_by_id",
            ondelete="SET NULL",
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["svops_task.id"], name="fk_svops_execution_task_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_execution"),
        sa.UniqueConstraint("task_id", "attempt", name="uq_svops_execution_task_id_attempt"),
        sa.UniqueConstraint("uuid", name="uq_svops_execution_uuid"),
    )
    op.create_index("ix_svops_execution_controller_run_id", "svops_execution", ["controller_run_id"])
    op.create_index("ix_svops_execution_ended_at", "svops_execution", ["ended_at"])
    op.create_index(
        "uq_svops_execution_running",
        "svops_execution",
        ["task_id"],
        unique=True,
        postgresql_where=sa.text("status = 'running'"),
        sqlite_where=sa.text("status = 'running'"),
    )


def _create_svops_workflow_run() -> None:
    op.create_table(
        "svops_workflow_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("workflow_id", sa.Integer(), nullable=False),
        sa.Column("execution_id", sa.Integer()),
        sa.Column("position", sa.Integer()),
        sa.Column("dag_id", sa.String(length=250), nullable=False),
        sa.Column("dag_run_id", sa.String(length=250), nullable=False),
        sa.Column(
            "status",
            states("queued", "running", "success", "failed", "cancelled", "skipped", "reused", name="status"),
            nullable=False,
        ),
        sa.Column(
            "trigger_type",
            states("manual", "scheduled", "api", "external", name="trigger_type"),
            nullable=False,
        ),
        sa.Column("configuration", JSON, nullable=False),
        sa.Column("triggered_by", sa.String(length=250), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("progress_done", sa.Integer(), nullable=False),
        sa.Column("progress_total", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("start_date", TIME),
        sa.Column("end_date", TIME),
        sa.Column("error", JSON),
        sa.Column("stop_requested_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["svops_execution.id"],
            name="fk_svops_workflow_run_execution_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_id"],
            ["svops_workflow.id"],
            name="fk_svops_workflow_run_workflow_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_workflow_run"),
        sa.UniqueConstraint("dag_id", "dag_run_id", name="uq_svops_workflow_run_dag_id_dag_run_id"),
    )
    _index_svops_workflow_run()


def _index_svops_workflow_run() -> None:
    op.create_index(
        "ix_svops_workflow_run_active",
        "svops_workflow_run",
        ["id"],
        postgresql_where=sa.text("status IN ('queued', 'running')"),
        sqlite_where=sa.text("status IN ('queued', 'running')"),
    )
    op.create_index("ix_svops_workflow_run_execution_id", "svops_workflow_run", ["execution_id"])
    op.create_index(
        "ix_svops_workflow_run_workflow_id_created_at", "svops_workflow_run", ["workflow_id", "created_at"]
    )


def _create_svops_artifact() -> None:
    op.create_table(
        "svops_artifact",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("workflow_run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("media_type", sa.String(length=250), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"],
            ["svops_execution.id"],
            name="fk_svops_artifact_execution_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["workflow_run_id"],
            ["svops_workflow_run.id"],
            name="fk_svops_artifact_workflow_run_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_artifact"),
        sa.UniqueConstraint("execution_id", "name", name="uq_svops_artifact_execution_id_name"),
    )
    op.create_index("ix_svops_artifact_workflow_run_id", "svops_artifact", ["workflow_run_id"])


def _create_svops_metric() -> None:
    op.create_table(
        "svops_metric",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("execution_id", sa.Integer(), nullable=False),
        sa.Column("workflow_run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.Column("step", sa.Integer()),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["execution_id"], ["svops_execution.id"], name="fk_svops_metric_execution_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["workflow_run_id"],
            ["svops_workflow_run.id"],
            name="fk_svops_metric_workflow_run_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_svops_metric"),
    )
    op.create_index(
        "ix_svops_metric_execution_id_name_step", "svops_metric", ["execution_id", "name", "step"]
    )
    op.create_index("ix_svops_metric_workflow_run_id", "svops_metric", ["workflow_run_id"])
