"""The tables, and the imperative mapping that makes the domain's dataclasses their rows.

Events, outputs and runs' configurations go on naming what was deleted; so ids of what they name are given out
once, which SQLite does only where ``sqlite_autoincrement`` is set.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    select,
    text,
)
from sqlalchemy.orm import column_property, registry, relationship

from svops_plugin.domain import entities
from svops_plugin.domain.entities import DataType, TriggerType
from svops_plugin.domain.states import ExecutionStatus, RunStatus, TaskStatus
from svops_plugin.infrastructure.database.columns import (
    UtcDateTime,
    created_column,
    enum_type,
    id_column,
    json_type,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

SUCCEEDED = text("status = 'success'")

user = Table(
    "svops_user",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("subject", String(250), nullable=False, unique=True),
    Column("username", String(250), nullable=False, index=True),
)

refresh_token = Table(
    "svops_refresh_token",
    metadata,
    id_column(),
    Column("digest", String(64), nullable=False, unique=True),
    Column("family", String(32), nullable=False, index=True),
    Column("user_id", ForeignKey("svops_user.id", ondelete="CASCADE"), nullable=False),
    Column("claims", json_type(), nullable=False),
    created_column(),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("spent_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
)

dataset = Table(
    "svops_dataset",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text),
    Column("path", Text, nullable=False),
    Column("data_type", enum_type(DataType, "data_type"), nullable=False),
    Column("gt_path", Text),
    Column("tags", json_type(), nullable=False),
    Column("profile", json_type()),
    Column("fingerprint", String(64)),
    Column("created_by_id", ForeignKey("svops_user.id", ondelete="SET NULL")),
    created_column(),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Index(None, "created_at", "id"),
    Index(None, "data_type", "created_at"),
    Index(None, "created_by_id", "created_at"),
    sqlite_autoincrement=True,
)

task = Table(
    "svops_task",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("customer", String(32), nullable=False),
    Column("log_out_path", Text, nullable=False),
    Column("branch_name", String(255)),
    Column("commit_id", String(255)),
    Column("build_config", String(255)),
    Column("build_config_customized", Boolean, nullable=False),
    Column("build_config_custom_conf", json_type(), nullable=False),
    Column("build_config_custom_ini", json_type(), nullable=False),
    Column("dataset_id", ForeignKey("svops_dataset.id")),
    Column("video_out_enabled", Boolean, nullable=False),
    Column("video_out_path", Text, nullable=False),
    Column("tags", json_type(), nullable=False),
    Column("status", enum_type(TaskStatus, "status"), nullable=False),
    Column("status_reason", Text),
    Column("last_execution_id", Integer),
    Column("result", json_type()),
    Column("created_by_id", ForeignKey("svops_user.id", ondelete="SET NULL")),
    created_column(),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Index(None, "created_at", "id"),
    Index(None, "updated_at", "id"),
    Index(None, "status", "created_at"),
    Index(None, "customer", "created_at"),
    Index(None, "created_by_id", "created_at"),
    Index(None, "dataset_id", "created_at"),
    sqlite_autoincrement=True,
)

execution = Table(
    "svops_execution",
    metadata,
    id_column(),
    Column("task_id", ForeignKey("svops_task.id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("uuid", String(32), nullable=False, unique=True),
    Column("chain", json_type(), nullable=False),
    Column("task_snapshot", json_type(), nullable=False),
    Column("dataset_snapshot", json_type(), nullable=False),
    Column("parameters", json_type(), nullable=False),
    Column("note", Text, nullable=False),
    Column("requested_by_id", ForeignKey("svops_user.id", ondelete="SET NULL")),
    Column("requested_by", String(250), nullable=False),
    Column("status", enum_type(ExecutionStatus, "status"), nullable=False),
    Column("controller_run_id", String(250), nullable=False, index=True),
    Column("triggered_at", UtcDateTime),
    created_column(),
    Column("ended_at", UtcDateTime),
    Column("stop_requested_at", UtcDateTime),
    Column("stop_requested_by", String(250)),
    Column("resumed_from_id", Integer),
    Column("error", json_type()),
    Column("result", json_type()),
    UniqueConstraint("task_id", "attempt"),
    Index(None, "ended_at"),
    Index(
        "uq_svops_execution_running",
        "task_id",
        unique=True,
        postgresql_where=text("status = 'running'"),
        sqlite_where=text("status = 'running'"),
    ),
    sqlite_autoincrement=True,
)

workflow = Table(
    "svops_workflow",
    metadata,
    id_column(),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("dag_id", String(250), nullable=False, unique=True),
    Column("is_active", Boolean, nullable=False),
    Column("last_seen", Integer, nullable=False),
    Column("created_by_id", ForeignKey("svops_user.id", ondelete="SET NULL")),
    created_column(),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    sqlite_autoincrement=True,
)

workflow_run = Table(
    "svops_workflow_run",
    metadata,
    id_column(),
    Column("workflow_id", ForeignKey("svops_workflow.id", ondelete="CASCADE"), nullable=False),
    Column("execution_id", ForeignKey("svops_execution.id", ondelete="CASCADE"), index=True),
    Column("position", Integer),
    Column("dataset_id", Integer),
    Column("dag_id", String(250), nullable=False),
    Column("dag_run_id", String(250), nullable=False),
    Column("status", enum_type(RunStatus, "status"), nullable=False),
    Column("trigger_type", enum_type(TriggerType, "trigger_type"), nullable=False),
    Column("configuration", json_type(), nullable=False),
    Column("triggered_by", String(250), nullable=False),
    Column("note", Text, nullable=False),
    Column("progress_done", Integer, nullable=False),
    Column("progress_total", Integer, nullable=False),
    Column("message", Text, nullable=False),
    Column("start_date", UtcDateTime),
    Column("end_date", UtcDateTime),
    Column("error", json_type()),
    Column("stop_requested_at", UtcDateTime),
    Column("snapshot", json_type()),
    created_column(),
    UniqueConstraint("dag_id", "dag_run_id"),
    Index(None, "workflow_id", "created_at"),
    *(
        Index(None, *columns, postgresql_where=SUCCEEDED, sqlite_where=SUCCEEDED)
        for columns in (("dag_id", "dataset_id", "end_date"), ("dag_id", "end_date"))
    ),
    Index(
        "ix_svops_workflow_run_active",
        "id",
        postgresql_where=text("status IN ('queued', 'running')"),
        sqlite_where=text("status IN ('queued', 'running')"),
    ),
    sqlite_autoincrement=True,
)

metric = Table(
    "svops_metric",
    metadata,
    id_column(),
    Column("execution_id", ForeignKey("svops_execution.id", ondelete="CASCADE")),
    Column(
        "workflow_run_id", ForeignKey("svops_workflow_run.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("name", String(250), nullable=False),
    Column("value", Float, nullable=False),
    Column("step", Integer),
    created_column(),
    *(
        Index(
            f"uq_svops_metric_{name}",
            *columns,
            unique=True,
            postgresql_where=where,
            sqlite_where=where,
        )
        for name, columns, where in (  # two empty ones differ, whether steps or executions
            ("point", ("execution_id", "name", "step"), None),
            ("whole", ("execution_id", "name"), text("step IS NULL")),
            ("alone_point", ("workflow_run_id", "name", "step"), text("execution_id IS NULL")),
            ("alone", ("workflow_run_id", "name"), text("execution_id IS NULL AND step IS NULL")),
        )
    ),
)

artifact = Table(
    "svops_artifact",
    metadata,
    id_column(),
    Column("execution_id", ForeignKey("svops_execution.id", ondelete="CASCADE")),
    Column(
        "workflow_run_id", ForeignKey("svops_workflow_run.id", ondelete="CASCADE"), nullable=False, index=True
    ),
    Column("name", String(250), nullable=False),
    Column("path", Text, nullable=False),
    Column("media_type", String(250), nullable=False),
    Column("size", BigInteger, nullable=False),
    created_column(),
    UniqueConstraint("execution_id", "name"),
    Index(
        "uq_svops_artifact_alone",
        "workflow_run_id",
        "name",
        unique=True,
        postgresql_where=text("execution_id IS NULL"),
        sqlite_where=text("execution_id IS NULL"),
    ),
)

event = Table(
    "svops_event",
    metadata,
    id_column(),
    Column("type", String(64), nullable=False),
    Column("task_id", Integer),
    Column("execution_id", Integer),
    Column("workflow_id", Integer),
    Column("run_id", Integer),
    Column("user_id", Integer),
    Column("actor", String(250), nullable=False),
    Column("data", json_type(), nullable=False),
    created_column(),
    Index(None, "task_id", "id"),
)

idempotency_key = Table(
    "svops_idempotency_key",
    metadata,
    id_column(),
    Column("scope", String(250), nullable=False),
    Column("key", String(250), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("answer", json_type(), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    UniqueConstraint("scope", "key"),
)

lease = Table(
    "svops_lease",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("position", Integer),
)

hub = Table(
    "svops_hub",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("host", String(250), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("heartbeat_at", UtcDateTime, nullable=False),
    Column("last_event_id", Integer, nullable=False),
    Column("connections", Integer, nullable=False),
    Column("subscribers", json_type(), nullable=False),
    Column("sent", BigInteger, nullable=False),
    Column("dropped", BigInteger, nullable=False),
    Column("lag", Float, nullable=False),
)


def _made_by(made: Table) -> dict[str, Any]:
    """Return the property that has the username of who made something, loaded along with it."""
    username = select(user.c.username).where(user.c.id == made.c.created_by_id).correlate_except(user)
    return {"created_by": column_property(username.scalar_subquery(), expire_on_flush=False)}


mapper = registry(metadata=metadata)
mapper.map_imperatively(entities.User, user)
mapper.map_imperatively(entities.RefreshToken, refresh_token)
mapper.map_imperatively(entities.Dataset, dataset, properties=_made_by(dataset))
mapper.map_imperatively(
    entities.Task,
    task,
    properties={
        "dataset": relationship(entities.Dataset, lazy="joined", viewonly=True),
        **_made_by(task),
    },
)
mapper.map_imperatively(entities.Execution, execution)
mapper.map_imperatively(entities.Workflow, workflow, properties=_made_by(workflow))
mapper.map_imperatively(entities.WorkflowRun, workflow_run)
mapper.map_imperatively(entities.Metric, metric)
mapper.map_imperatively(entities.Artifact, artifact)
mapper.map_imperatively(entities.IdempotencyKey, idempotency_key)
mapper.map_imperatively(entities.Event, event)
