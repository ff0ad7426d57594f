"""``/notifications``: who is told what, and what outside systems tell."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import request
from marshmallow import Schema, ValidationError, fields, validate, validates_schema
from werkzeug.exceptions import RequestEntityTooLarge

from svops_plugin.application.notification_ports import Received
from svops_plugin.application.notifications import WithSecret
from svops_plugin.application.ports import Page
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import Conflict, InvalidInput, NotAuthenticated, NotFound, PermissionDenied
from svops_plugin.domain.notifications import (
    CHANNELS,
    NOTIFICATION_TYPES,
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
    Signature,
)
from svops_plugin.presentation.rest import guard
from svops_plugin.presentation.rest.api import account, actor, body, make_blueprint, query, refused, services
from svops_plugin.presentation.rest.datasets import DatasetCreate
from svops_plugin.presentation.rest.errors import show_current
from svops_plugin.presentation.rest.operations import anonymous, answers, answers_page, takes
from svops_plugin.presentation.rest.schemas import (
    SOMETIMES,
    Flag,
    InputSchema,
    ListQuery,
    MessageSchema,
    id_field,
    name_field,
)

blueprint = make_blueprint("notifications", "/notifications")
TYPES = list(NOTIFICATION_TYPES.values())
MAX_MESSAGE = 256 * 1024  # bytes
CONFIG = "/configs/<config_name>"


def types_field(**kwargs: Any) -> Any:
    """Return a choice of the types of notifications."""
    return fields.List(fields.String(validate=validate.OneOf(TYPES)), **kwargs)


class FiltersSchema(InputSchema):
    """What an event has to be about to be told."""

    task_id = id_field()
    customer = name_field(32)
    tag = name_field(64)
    creator_id = id_field()


class RuleSchema(InputSchema):
    """What a message that comes in does: one of these."""

    execute_task = id_field()
    register_dataset = fields.Dict(keys=fields.String(validate=validate.OneOf(list(DatasetCreate().fields))))

    @validates_schema
    def one_thing(self, data: Mapping[str, Any], **_kwargs: Any) -> None:
        """Refuse a rule that says nothing, or two things."""
        if len(data) != 1:
            raise ValidationError("Exactly one of execute_task and register_dataset is expected.")


class NotificationConfigSchema(Schema):
    """A configuration as it is answered."""

    name = fields.String()
    channel = fields.String()
    webhook_url = fields.String(allow_none=True)
    enabled = fields.Boolean()
    notification_types = types_field()
    filters = fields.Dict()
    signature = fields.Enum(Signature, by_value=True, allow_none=True)
    on_receive = fields.Dict(allow_none=True)
    created_by_id = fields.Integer(allow_none=True)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    version = fields.Integer()


class NotificationSecretSchema(NotificationConfigSchema):
    """A configuration with its secret, which no other answer shows."""

    secret = fields.String(allow_none=True)


class NotificationConfigFields(InputSchema):
    """What can be said of a configuration both at first and later."""

    webhook_url = name_field(4096)
    enabled = Flag()
    notification_types = types_field()
    filters = fields.Nested(FiltersSchema)
    signature = fields.Enum(Signature, by_value=True)
    on_receive = fields.Nested(RuleSchema, allow_none=True)


class NotificationConfigUpdate(NotificationConfigFields):
    """Changes of a configuration; what is left out stays."""

    version = fields.Integer(strict=True)


class NotificationConfigCreate(NotificationConfigFields):
    """A new configuration."""

    name = fields.String(
        required=True,
        validate=validate.Regexp(
            r"(?!new\Z)[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z",  # notifications/new is the page of the form
            error="1 to 64 letters, digits, '.', '_', '-' are expected, and not just 'new'.",
        ),
    )
    channel = fields.String(required=True, validate=validate.OneOf(list(CHANNELS)))


class NotificationConfigQuery(ListQuery):
    """Which configurations to list."""

    channel = fields.String(validate=validate.OneOf(list(CHANNELS)))
    enabled = fields.Boolean()
    q = name_field()


class DeliverySchema(Schema):
    """A notification on its way."""

    id = fields.Integer()
    event_id = fields.Integer()
    event_type = fields.String()
    message_id = fields.String()
    status = fields.Enum(DeliveryStatus, by_value=True)
    attempts = fields.Integer()
    next_attempt_at = fields.DateTime()
    last_error = fields.String(allow_none=True)
    delivered_at = fields.DateTime(allow_none=True)
    created_at = fields.DateTime()


class DeliveryQuery(ListQuery):
    """Which deliveries to list."""

    status = fields.Enum(DeliveryStatus, by_value=True)


class NotificationTypesSchema(Schema):
    """What can be told, and in which ways."""

    notification_types = fields.List(fields.String())
    channels = fields.List(fields.String())


class WebhookMessage(Schema):
    """A message of an outside system: any object."""


class StorableMessage(InputSchema):
    """What a message has to be, whoever signed it."""

    message = fields.Dict(keys=fields.String(), required=True)


class ReceivedSchema(MessageSchema):
    """What a message has done."""

    task_id = fields.Integer(metadata=SOMETIMES)
    execution_id = fields.Integer(metadata=SOMETIMES)
    dataset_id = fields.Integer(metadata=SOMETIMES)


_query = NotificationConfigQuery()
show_current(blueprint, NotificationConfigSchema())
_delivery_query = DeliveryQuery()


@blueprint.get("/types")
@answers(NotificationTypesSchema())
def types() -> Json:
    """Return the types of notifications and the channels."""
    actor().require("notification", "read")
    return {"notification_types": TYPES, "channels": list(CHANNELS)}


@blueprint.post("/configs")
@body(NotificationConfigCreate())
@answers(NotificationSecretSchema(), HTTPStatus.CREATED, refuses=(Conflict,), dumped=True)
def create(values: dict[str, Any]) -> Json:
    """Tell somebody what happens from now on, or let an outside system in.

    The secret, with which a webhook is signed, is shown this once.
    """
    return _with_secret(services().notifications.create(actor(), values, account().claims))


@blueprint.get("/configs")
@query(_query)
@answers_page(NotificationConfigSchema())
def index(values: dict[str, Any]) -> Page[NotificationConfig]:
    """List configurations."""
    return services().notifications.page(actor(), _query.as_query(values))


@blueprint.get(CONFIG)
@answers(NotificationConfigSchema())
def show(config_name: str) -> NotificationConfig:
    """Return a configuration; its address is masked."""
    return services().notifications.get(actor(), config_name)


@blueprint.put(CONFIG)
@body(NotificationConfigUpdate())
@answers(NotificationConfigSchema(), refuses=(Conflict,))
def update(values: dict[str, Any], config_name: str) -> NotificationConfig:
    """Change a configuration."""
    return services().notifications.update(actor(), config_name, values)


@blueprint.delete(CONFIG)
@answers(MessageSchema())
def delete(config_name: str) -> dict[str, str]:
    """Forget a configuration with its deliveries."""
    services().notifications.delete(actor(), config_name)
    return {"message": f"Notification {config_name} was deleted."}


@blueprint.post(f"{CONFIG}/enable")
@answers(MessageSchema())
def enable(config_name: str) -> dict[str, str]:
    """Tell what happens from now on."""
    services().notifications.update(actor(), config_name, {"enabled": True})
    return {"message": f"Notification {config_name} is enabled."}


@blueprint.post(f"{CONFIG}/disable")
@answers(MessageSchema())
def disable(config_name: str) -> dict[str, str]:
    """Tell nothing until it is enabled again; what is still to be sent waits until then."""
    services().notifications.update(actor(), config_name, {"enabled": False})
    return {"message": f"Notification {config_name} is disabled."}


@blueprint.post(f"{CONFIG}/test")
@answers(MessageSchema(), refuses=(Conflict,))
def test(config_name: str) -> dict[str, str]:
    """Send something harmless; the deliveries tell whether it arrived."""
    services().notifications.test(actor(), config_name)
    return {"message": f"A test is on its way through {config_name}; its deliveries tell whether it arrived."}


@blueprint.post(f"{CONFIG}/rotate-secret")
@answers(NotificationSecretSchema(), refuses=(Conflict,), dumped=True)
def rotate_secret(config_name: str) -> Json:
    """Make a new secret, shown this once; the old one is good for nothing from now on."""
    return _with_secret(services().notifications.rotate(actor(), config_name))


@blueprint.get(f"{CONFIG}/deliveries")
@query(_delivery_query)
@answers_page(DeliverySchema())
def deliveries(values: dict[str, Any], config_name: str) -> Page[NotificationDelivery]:
    """List what was sent, is on its way, and was given up."""
    return services().notifications.deliveries(actor(), config_name, _delivery_query.as_query(values))


@blueprint.post(f"{CONFIG}/deliveries/<int:delivery_id>/redeliver")
@answers(DeliverySchema(), refuses=(Conflict,))
def redeliver(config_name: str, delivery_id: int) -> NotificationDelivery:
    """Send one again, under the same id."""
    return services().notifications.redeliver(actor(), config_name, delivery_id)


@blueprint.post("/webhook/<config_name>")
@anonymous
@takes(WebhookMessage())
@answers(
    ReceivedSchema(),
    refuses=(NotAuthenticated, PermissionDenied, NotFound, Conflict, InvalidInput),
    dumped=True,
)
def receive(config_name: str) -> Json:
    """Take a message of an outside system.

    It is signed by the Standard Webhooks scheme (headers webhook-id, webhook-timestamp, webhook-signature) or
    as GitHub does (X-Hub-Signature-256). One that is sent again gets the answer that it had and does no more.
    """
    services().writes.take(("webhook", request.remote_addr))
    if (request.content_length or 0) > MAX_MESSAGE:
        raise RequestEntityTooLarge(f"A message has {MAX_MESSAGE:,} bytes at the most.")
    received = Received(request.get_data(), {name.lower(): value for name, value in request.headers})
    return services().inbound.receive(config_name, received, _parse, _dataset)


def _parse(content: bytes) -> Json:
    """Read the object that a message is."""
    message: Json = _load(StorableMessage(), {"message": guard.parse_json(content)})["message"]
    return message


def _dataset(said: Json) -> Json:
    return _load(DatasetCreate(), said)


def _load(schema: Schema, said: Any) -> Json:
    try:
        loaded: Json = schema.load(said)
    except ValidationError as refusal:
        raise refused({"json": refusal.messages}) from refusal
    return loaded


def _with_secret(made: WithSecret) -> Json:
    answer: Json = NotificationSecretSchema().dump(made.config)
    return {**answer, "secret": made.secret}
