"""The repositories of notifications."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import ClassVar

from sqlalchemy import and_, func, or_, select, text, update

from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.notifications import (
    DELIVERY_TRANSITIONS,
    INBOUND,
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
)
from svops_plugin.infrastructure.database import notification_tables as tables
from svops_plugin.infrastructure.database.repositories import SqlRepository
from svops_plugin.infrastructure.database.statements import insert_into


class SqlNotificationConfigs(SqlRepository[NotificationConfig]):
    """Where notifications go and come from."""

    kind, table = NotificationConfig, tables.config
    equal: ClassVar[Mapping[str, str]] = {"channel": "channel", "enabled": "enabled"}

    def named(self, name: str, *, lock: bool = False) -> NotificationConfig | None:
        """Return the one with this name, with ``lock`` held against every other writer."""
        with self.session.no_autoflush:
            return self._first(self.table.c.name == name, lock=lock)

    def sending(self) -> Sequence[NotificationConfig]:
        """Return those that are enabled and send."""
        c = self.table.c
        return self._all(c.enabled, c.channel != INBOUND, order=[c.id])

    def read_up_to(self, event_id: int, config_ids: Collection[int]) -> None:
        """Remember that all events up to this one have their deliveries in these."""
        c = self.table.c
        self.session.execute(
            update(self.table)
            .where(c.id.in_(config_ids), c.last_event_id < event_id)
            .values(last_event_id=event_id)
            .execution_options(synchronize_session=False)
        )


class SqlDeliveries(SqlRepository[NotificationDelivery]):
    """Notifications on their way."""

    kind, table, transitions = NotificationDelivery, tables.delivery, DELIVERY_TRANSITIONS
    equal: ClassVar[Mapping[str, str]] = {"config_id": "config_id", "status": "status"}

    def add_missing(self, deliveries: Sequence[NotificationDelivery]) -> None:
        """Write those whose event has none for its configuration yet, in one statement."""
        if not deliveries:
            return
        names = [c.name for c in self.table.c if c.name != "id"]
        rows = [{name: getattr(one, name) for name in names} for one in deliveries]
        self.session.execute(insert_into(self.session, self.table).on_conflict_do_nothing(), rows)

    def hurry(self, config_id: int) -> None:
        """Let all of a configuration's that are on their way be due now."""
        c = self.table.c
        self.session.execute(
            update(self.table)
            .where(c.config_id == config_id, c.status == DeliveryStatus.PENDING)
            .values(next_attempt_at=utcnow())
            .execution_options(synchronize_session=False)
        )

    def due(
        self,
        now: datetime,
        limit: int,
        *,
        without: Collection[int],
        without_configs: Collection[int],
        resting: Collection[int],
    ) -> Sequence[NotificationDelivery]:
        """Return the first of those that are to be sent now, to configurations that are enabled.

        :param resting: configurations of which only those are sent that somebody asked for once more
        """
        c = self.table.c
        asked_for = and_(c.attempts == 0, or_(c.last_error.is_not(None), c.delivered_at.is_not(None)))
        query = (
            select(NotificationDelivery)
            .join(tables.config, tables.config.c.id == c.config_id)
            .where(
                text("status = 'pending'"),  # spelled as the partial index is
                c.next_attempt_at <= now,
                tables.config.c.enabled,
                c.id.not_in(without),
                c.config_id.not_in(without_configs),
                or_(c.config_id.not_in(resting), asked_for),
            )
            .order_by(c.next_attempt_at, c.id)
            .limit(limit)
        )
        return list(self.session.scalars(query))

    def pending(self) -> int:
        """Return how many have not ended."""
        waiting = text("status = 'pending'")  # spelled as the partial index is
        return int(self.session.scalar(select(func.count()).select_from(self.table).where(waiting)) or 0)
