"""The tables of notifications, and their mapping."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from svops_plugin.domain.notifications import (
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
    Signature,
)
from svops_plugin.infrastructure.database.columns import (
    UtcDateTime,
    created_column,
    enum_type,
    id_column,
    json_type,
)
from svops_plugin.infrastructure.database.tables import mapper, metadata

config = Table(
    "svops_notification_config",
    metadata,
    id_column(),
    Column("name", String(64), nullable=False, unique=True),
    Column("channel", String(32), nullable=False),
    Column("webhook_url", Text),
    Column("sealed_url", Text),
    Column("sealed_secret", Text),
    Column("enabled", Boolean, nullable=False),
    Column("notification_types", json_type(), nullable=False),
    Column("filters", json_type(), nullable=False),
    Column("signature", enum_type(Signature, "signature")),
    Column("on_receive", json_type()),
    Column("last_event_id", Integer, nullable=False),
    Column("created_by_id", ForeignKey("svops_user.id", ondelete="SET NULL")),
    Column("created_by_claims", json_type()),
    created_column(),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Index(None, "created_at", "id"),
)

delivery = Table(
    "svops_notification_delivery",
    metadata,
    id_column(),
    Column("config_id", ForeignKey("svops_notification_config.id", ondelete="CASCADE"), nullable=False),
    Column("event_id", Integer, nullable=False),
    Column("event_type", String(64), nullable=False),
    Column("message_id", String(64), nullable=False, unique=True),
    Column("status", enum_type(DeliveryStatus, "status"), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("last_error", Text),
    Column("delivered_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False, index=True),
    UniqueConstraint("config_id", "event_id"),
    Index(None, "config_id", "created_at"),
    Index(
        "ix_svops_notification_delivery_pending",
        "next_attempt_at",
        postgresql_where=text("status = 'pending'"),
        sqlite_where=text("status = 'pending'"),
    ),
)

mapper.map_imperatively(NotificationConfig, config)
mapper.map_imperatively(NotificationDelivery, delivery)
