"""Notifications: where they go and come from, and those on their way.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TIME = sa.DateTime(timezone=True)
CONFIG, DELIVERY = "svops_notification_config", "svops_notification_delivery"
PENDING = sa.text("status = 'pending'")


def states(*values: str, name: str) -> sa.Enum:
    """Return a string column with a CHECK on its values."""
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=16)


def upgrade() -> None:
    """Make the tables."""
    _create_config()
    _create_delivery()


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table(DELIVERY)
    op.drop_table(CONFIG)


def _create_config() -> None:
    op.create_table(
        CONFIG,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("webhook_url", sa.Text()),
        sa.Column("sealed_url", sa.Text()),
        sa.Column("sealed_secret", sa.Text()),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("notification_types", JSON, nullable=False),
        sa.Column("filters", JSON, nullable=False),
        sa.Column("signature", states("standard", "github", name="signature")),
        sa.Column("on_receive", JSON),
        sa.Column("last_event_id", sa.Integer(), nullable=False),
        sa.Column("created_by_id", sa.Integer()),
        sa.Column("created_by_claims", JSON),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["created_by_id"], ["svops_user.id"], name=f"fk_{CONFIG}_created_by_id", ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=f"pk_{CONFIG}"),
        sa.UniqueConstraint("name", name=f"uq_{CONFIG}_name"),
    )
    op.create_index(f"ix_{CONFIG}_created_at_id", CONFIG, ["created_at", "id"])


def _create_delivery() -> None:
    op.create_table(
        DELIVERY,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("config_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("event_type", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=64), nullable=False),
        sa.Column("status", states("pending", "delivered", "failed", name="status"), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", TIME, nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("delivered_at", TIME),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["config_id"], [f"{CONFIG}.id"], name=f"fk_{DELIVERY}_config_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=f"pk_{DELIVERY}"),
        sa.UniqueConstraint("config_id", "event_id", name=f"uq_{DELIVERY}_config_id_event_id"),
        sa.UniqueConstraint("message_id", name=f"uq_{DELIVERY}_message_id"),
    )
    op.create_index(f"ix_{DELIVERY}_created_at", DELIVERY, ["created_at"])
    op.create_index(f"ix_{DELIVERY}_config_id_created_at", DELIVERY, ["config_id", "created_at"])
    op.create_index(
        f"ix_{DELIVERY}_pending",
        DELIVERY,
        ["next_attempt_at"],
        postgresql_where=PENDING,
        sqlite_where=PENDING,
    )
