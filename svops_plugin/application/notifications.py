"""Keeping what is told to whom: configurations of notifications, and their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from svops_plugin.application.datasets import apply_changes, refuse_stale
from svops_plugin.application.events import notification_event, requested_event
from svops_plugin.application.notification_ports import Cipher, Signatures, Targets
from svops_plugin.application.ports import Page, Query, Transactions, UnitOfWork
from svops_plugin.domain.entities import Event, Json, utcnow
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound
from svops_plugin.domain.notifications import (
    INBOUND,
    WEBHOOK,
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
    Signature,
    message_scopes,
)
from svops_plugin.domain.permissions import Actor

SHOWN = ("channel", "webhook_url", "enabled", "notification_types", "filters", "signature", "on_receive")
SIGNED = frozenset({WEBHOOK, INBOUND})


@dataclass(frozen=True)
class WithSecret:
    """A configuration with its secret, which is shown this once; none where nothing is signed."""

    config: NotificationConfig
    secret: str | None = field(repr=False)


class NotificationService:
    """Use cases of notifications. Each refuses what the permission table does not allow."""

    def __init__(
        self, transactions: Transactions, targets: Targets, cipher: Cipher, signatures: Signatures
    ) -> None:
        self._transactions = transactions
        self._targets = targets
        self._cipher = cipher
        self._signatures = signatures

    def create(self, actor: Actor, values: Mapping[str, Any], claims: Json | None = None) -> WithSecret:
        """Keep a new configuration; it hears of what happens from now on.

        :param claims: what the auth manager knows the actor by
        :raises InvalidInput: naming the fields that are to blame
        :raises Conflict: if the name is taken
        """
        actor.require("notification", "create")
        config = NotificationConfig(**values, created_by_id=actor.user_id, created_by_claims=claims)
        if config.channel == INBOUND:
            config.signature = config.signature or Signature.STANDARD
        self._check(config)
        self._seal_url(config)
        secret = self._seal_secret(config) if config.channel in SIGNED else None
        with self._transactions() as uow:
            if uow.notification_configs.named(config.name) is not None:
                raise Conflict(f"The name {config.name!r} is taken; choose another.")
            _check_rule(uow, config)
            config.last_event_id = uow.events.newest()
            uow.notification_configs.add(config)
            uow.record(notification_event("created", config, actor, after=_shown(config)))
        return WithSecret(config, secret)

    def get(self, actor: Actor, name: str) -> NotificationConfig:
        """Return a configuration."""
        actor.require("notification", "read")
        with self._transactions() as uow:
            return _found(uow, name)

    def page(self, actor: Actor, query: Query) -> Page[NotificationConfig]:
        """Return a page of configurations; filters ``channel``, ``enabled``, ``q`` (in the name)."""
        actor.require("notification", "read")
        with self._transactions() as uow:
            return uow.notification_configs.page(query)

    def update(self, actor: Actor, name: str, values: Mapping[str, Any]) -> NotificationConfig:
        """Change the given fields; with ``version``, only if nobody else has edited since.

        What happened while it was disabled it is not told afterwards. What waits for another attempt is sent
        to a new address at once.

        :raises InvalidInput: naming the fields that are to blame
        :raises Conflict: if the version is not the present one
        """
        actor.require("notification", "edit")
        changes = dict(values)
        version = changes.pop("version", None)
        with self._transactions() as uow:
            config = _found(uow, name, lock=True)
            refuse_stale("notification", config, version)
            before, was_enabled = _shown(config), config.enabled
            changed = apply_changes(config, changes)
            if not changed:
                return config
            self._check(config)
            if "webhook_url" in changed:
                self._seal_url(config)
                uow.deliveries.hurry(config.id)
            _check_rule(uow, config)
            if config.enabled and not was_enabled:
                config.last_event_id = uow.events.newest()
            told = {
                "before": {name: value for name, value in before.items() if name in changed},
                "after": {name: value for name, value in _shown(config).items() if name in changed},
            }
            uow.record(notification_event("updated", config, actor, changed=sorted(changed), **told))
        return config

    def delete(self, actor: Actor, name: str) -> None:
        """Forget a configuration with its deliveries and the messages that it has had."""
        actor.require("notification", "delete")
        with self._transactions() as uow:
            config = _found(uow, name, lock=True)
            scopes = [scope for one in Signature for scope in message_scopes(config.id, one)]
            uow.idempotency.forget_scopes(scopes)
            uow.notification_configs.delete(config)
            uow.record(notification_event("deleted", config, actor))

    def rotate(self, actor: Actor, name: str) -> WithSecret:
        """Give a configuration a new secret; the old one is good for nothing from now on.

        :raises Conflict: if nothing is signed for its channel
        """
        actor.require("notification", "edit")
        with self._transactions() as uow:
            config = _found(uow, name, lock=True)
            if config.channel not in SIGNED:
                raise Conflict(f"Nothing is signed for channel {config.channel}, so {name!r} has no secret.")
            secret = self._seal_secret(config)
            config.version, config.updated_at = config.version + 1, utcnow()
            uow.record(notification_event("updated", config, actor, changed=["secret"]))
        return WithSecret(config, secret)

    def test(self, actor: Actor, name: str) -> None:
        """Send something harmless, in the way that everything goes; now, though its target wants a rest.

        :raises Conflict: if nothing can be sent there now
        """
        actor.require("notification", "edit")
        message = f"{actor.username} wants to see whether messages from SVOps arrive here. They do."
        title = "A test of SVOps' notifications"
        self._request(requested_event(name, title, message, actor.username, test=True))

    def request(self, name: str, title: str, message: str, actor: str, log_url: str | None = None) -> None:
        """Let a DAG's author tell something through a configuration, whatever types that has.

        :raises NotFound: if there is none of that name
        :raises Conflict: if nothing can be sent there now
        """
        self._request(requested_event(name, title, message, actor, log_url))

    def _request(self, event: Event) -> None:
        with self._transactions() as uow:
            config = _found(uow, event.data["name"])
            if config.channel == INBOUND:
                raise Conflict(f"Notification {config.name!r} only receives.")
            if not config.enabled:
                raise Conflict(f"Notification {config.name!r} is disabled; enable it first.")
            event.user_id = config.created_by_id
            uow.record(event)

    def deliveries(self, actor: Actor, name: str, query: Query) -> Page[NotificationDelivery]:
        """Return a page of a configuration's deliveries; filter ``status``."""
        actor.require("notification", "read")
        with self._transactions() as uow:
            filters = {**query.filters, "config_id": _found(uow, name).id}
            return uow.deliveries.page(Query(query.skip, query.limit, query.order_by, filters))

    def redeliver(self, actor: Actor, name: str, delivery_id: int) -> NotificationDelivery:
        """Send one again, under the id that it had, and as often as it takes.

        :raises Conflict: if it is on its way, or its event is not kept any more
        """
        actor.require("notification", "edit")
        with self._transactions() as uow:
            config = _found(uow, name)
            delivery = uow.deliveries.lock(delivery_id)
            if delivery is None or delivery.config_id != config.id:
                raise NotFound(f"Notification {name!r} has no delivery {delivery_id}.")
            if uow.events.get(delivery.event_id) is None:
                raise Conflict(f"Event {delivery.event_id} is not kept any more.")
            again = {"attempts": 0, "next_attempt_at": utcnow()}
            if not uow.deliveries.move(delivery, DeliveryStatus.PENDING, **again):
                raise Conflict(f"Delivery {delivery_id} is on its way.")
        return delivery

    def _check(self, config: NotificationConfig) -> None:
        sends, given = config.channel != INBOUND, config.webhook_url is not None
        if sends != given:
            raise InvalidInput.field(
                "webhook_url", "it is needed to send." if sends else "channel inbound sends nothing."
            )
        if config.signature is not None and sends:
            raise InvalidInput.field(
                "signature", "it is for channel inbound; others sign by Standard Webhooks."
            )
        if config.on_receive is not None and sends:
            raise InvalidInput.field("on_receive", "only channel inbound receives.")

    def _seal_url(self, config: NotificationConfig) -> None:
        """Keep the address for whoever sends, and show it masked."""
        if config.webhook_url is not None:
            masked = self._targets.check(config.channel, config.webhook_url)
            config.sealed_url = self._cipher.encrypt(config.webhook_url)
            config.webhook_url = masked

    def _seal_secret(self, config: NotificationConfig) -> str:
        secret = self._signatures.new_secret()
        config.sealed_secret = self._cipher.encrypt(secret)
        return secret


def _found(uow: UnitOfWork, name: str, *, lock: bool = False) -> NotificationConfig:
    config = uow.notification_configs.named(name, lock=lock)
    if config is None:
        raise NotFound(f"There is no notification {name!r}.")
    return config


def _check_rule(uow: UnitOfWork, config: NotificationConfig) -> None:
    task_id = (config.on_receive or {}).get("execute_task")
    if task_id is not None and uow.tasks.get(task_id) is None:
        raise InvalidInput.field("on_receive", f"there is no task {task_id}.")


def _shown(config: NotificationConfig) -> Json:
    """Return what an event tells of a configuration."""
    return {name: getattr(config, name) for name in SHOWN}
