"""Telling others what happened, and hearing from them: configurations, deliveries, and who wants what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from uuid import uuid4

from svops_plugin.domain.entities import Json, Task, utcnow
from svops_plugin.domain.states import State

# The types of notifications, by the type of the event that makes one.
NOTIFICATION_TYPES: Mapping[str, str] = {
    "workflow.started": "workflow_started",
    "workflow.completed": "workflow_completed",
    "workflow.failed": "workflow_failed",
    "workflow.stopped": "workflow_stopped",
    "task.completed": "task_completed",
    "task.failed": "task_failed",
    "task.cancelled": "task_cancelled",
    "system.error": "system_error",
}
REQUESTED = "notification.requested"  # goes to the configuration that it names, whatever types that has

WEBHOOK, SLACK, EMAIL, INBOUND = "webhook", "slack", "email", "inbound"
# The schemes that the address of a channel may have; ``https`` as the service itself hands it out.
CHANNELS: Mapping[str, frozenset[str]] = {
    SLACK: frozenset({"https", "http", "slack"}),
    WEBHOOK: frozenset({"https", "http"}),
    EMAIL: frozenset({"mailto", "mailtos"}),
    "discord": frozenset({"https", "discord"}),
    "gotify": frozenset({"gotify", "gotifys"}),
    "matrix": frozenset({"matrix", "matrixs"}),
    "mattermost": frozenset({"mmost", "mmosts"}),
    "ntfy": frozenset({"ntfy", "ntfys"}),
    "opsgenie": frozenset({"opsgenie"}),
    "pagerduty": frozenset({"pagerduty"}),
    "pushover": frozenset({"pover"}),
    "rocketchat": frozenset({"rocket", "rockets"}),
    "teams": frozenset({"https", "workflow", "workflows"}),
    "telegram": frozenset({"tgram"}),
    "webex": frozenset({"https", "wxteams", "webex"}),
    "zulip": frozenset({"zulip"}),
    INBOUND: frozenset(),
}


class DeliveryStatus(State):
    """Where one delivery stands: a failed one was given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


DELIVERY_TRANSITIONS: Mapping[DeliveryStatus, frozenset[DeliveryStatus]] = {
    DeliveryStatus.PENDING: frozenset({DeliveryStatus.DELIVERED, DeliveryStatus.FAILED}),
    DeliveryStatus.DELIVERED: frozenset({DeliveryStatus.PENDING}),
    DeliveryStatus.FAILED: frozenset({DeliveryStatus.PENDING}),
}


class Signature(str, Enum):
    """How what comes in is signed: by the Standard Webhooks scheme, or as GitHub does."""

    STANDARD = "standard"
    GITHUB = "github"

    def __str__(self) -> str:
        return self.value


UNDATED = "github:"  # begins the scopes of messages whose signature tells no time: none is ever too old


def message_scopes(config_id: int, signature: Signature) -> tuple[str, str]:
    """Return where it is remembered that a message came in, and that what it asks for was done."""
    scope = f"{UNDATED if signature is Signature.GITHUB else 'webhook:'}{config_id}"
    return scope, f"{scope}:done"


@dataclass(eq=False, kw_only=True)
class NotificationConfig:
    """Where notifications go, or where messages of others come in (channel ``inbound``).

    :param webhook_url: masked; whole it is kept encrypted only
    :param notification_types: which notifications it gets; those that a DAG asks for it gets anyway
    :param filters: what an event has to be about, of ``task_id``, ``customer``, ``tag``, ``creator_id``
    :param on_receive: what a message that comes in does: ``{"execute_task": 3}`` or
        ``{"register_dataset": {…}}``; nothing beside becoming an event if there is none
    :param last_event_id: all events up to this one have their deliveries
    :param created_by_claims: what the auth manager knows the creator by, in whose name ``on_receive`` acts
    """

    id: int = field(init=False)
    name: str
    channel: str
    webhook_url: str | None = None
    sealed_url: str | None = field(default=None, repr=False)
    sealed_secret: str | None = field(default=None, repr=False)
    enabled: bool = True
    notification_types: list[str] = field(default_factory=list)
    filters: Json = field(default_factory=dict)
    signature: Signature | None = None
    on_receive: Json | None = None
    last_event_id: int = 0
    created_by_id: int | None = None
    created_by_claims: Json | None = field(default=None, repr=False)
    created_at: datetime = field(default_factory=utcnow)
    updated_at: datetime = field(default_factory=utcnow)
    version: int = 1

    def wants(self, event_type: str, user_id: int | None, task_id: int | None, task: Task | None) -> bool:
        """Tell whether an event makes a notification here.

        :param task: the one that the event is about, as it is now; needed for some filters only
        """
        if NOTIFICATION_TYPES.get(event_type) not in self.notification_types:
            return False
        wanted = self.filters
        return (
            wanted.get("task_id") in {None, task_id}
            and wanted.get("creator_id") in {None, user_id}
            and wanted.get("customer") in {None, task.customer if task else None}
            and (wanted.get("tag") is None or (task is not None and wanted["tag"] in task.tags))
        )


@dataclass(eq=False, kw_only=True)
class NotificationDelivery:
    """One notification on its way to one configuration; there is one per event and configuration.

    :param message_id: what the receiver knows it by, the same at every attempt
    :param attempts: how many were made since it was last asked for
    :param last_error: why the last one failed
    """

    id: int = field(init=False)
    config_id: int
    event_id: int
    event_type: str
    message_id: str = field(default_factory=lambda: f"msg_{uuid4().hex}")
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    next_attempt_at: datetime = field(default_factory=utcnow)
    last_error: str | None = None
    delivered_at: datetime | None = None
    created_at: datetime = field(default_factory=utcnow)
