"""What outside systems send: it becomes an event, and does what the configuration's rule says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from svops_plugin.application.datasets import DatasetService
from svops_plugin.application.events import webhook_event
from svops_plugin.application.executions import (
    ExecutionService,
    Once,
    Started,
    earlier_answer,
    keep_answer,
)
from svops_plugin.application.notification_ports import Cipher, Received, Signatures
from svops_plugin.application.ports import Accounts, Transactions, UnitOfWork
from svops_plugin.domain.entities import Dataset, Json
from svops_plugin.domain.errors import InvalidInput, NotAuthenticated, PermissionDenied
from svops_plugin.domain.notifications import INBOUND, NotificationConfig, Signature, message_scopes
from svops_plugin.domain.permissions import Actor

KEY_HEADER = "webhook-id"
DATASET_FIELDS = frozenset({"name", "description", "path", "data_type", "gt_path", "tags"})
RECEIVED: Json = {"message": "The message was received."}
ParsePayload = Callable[[bytes], Json]
LoadDataset = Callable[[Json], Mapping[str, Any]]


class InboundService:
    """The use case of receiving a message.

    :param forget_users: lets users be loaded anew, so that what they may do is what they may do now
    """

    def __init__(
        self,
        *,
        transactions: Transactions,
        cipher: Cipher,
        signatures: Signatures,
        accounts: Accounts,
        forget_users: Callable[[], None],
        executions: ExecutionService,
        datasets: DatasetService,
    ) -> None:
        self._transactions = transactions
        self._cipher = cipher
        self._signatures = signatures
        self._accounts = accounts
        self._forget_users = forget_users
        self._executions = executions
        self._datasets = datasets

    def receive(self, name: str, received: Received, parse: ParsePayload, load_dataset: LoadDataset) -> Json:
        """Verify a message, keep it as an event, and act as the configuration's creator.

        A message that is sent again gets the answer that it had, and does nothing; one that was refused may
        be sent again when what it was refused for is over.

        :raises NotAuthenticated: if there is no such configuration or the signature is not its own; nobody
            learns which
        :raises InvalidInput: if the id was another message's, or the rule cannot be followed with this one
        :raises PermissionDenied: if the creator may not do, now, what the rule says
        :raises Conflict: if the task is running already or the dataset's name is taken
        """
        config = self._named(name)
        signature = config.signature or Signature.STANDARD
        secret = self._cipher.decrypt(config.sealed_secret or "")
        key = self._signatures.verify(signature, secret, received)
        payload = parse(received.body)
        digest = hashlib.sha256(received.body).hexdigest()
        once, done = (Once(scope, key, digest, KEY_HEADER) for scope in message_scopes(config.id, signature))
        with self._transactions() as uow:
            # Of two at once, the second sees the first; and nothing is kept for what was deleted meanwhile.
            _receiving(uow.notification_configs.named(name, lock=True))
            if earlier_answer(uow, once) is None:
                keep_answer(uow, once, RECEIVED)
                uow.record(webhook_event(config, payload))
        if config.on_receive is None:
            return RECEIVED
        return self._act(config, payload, done, load_dataset)

    def _named(self, name: str) -> NotificationConfig:
        with self._transactions() as uow:
            return _receiving(uow.notification_configs.named(name))

    def _act(self, config: NotificationConfig, payload: Json, once: Once, load_dataset: LoadDataset) -> Json:
        """Follow the rule; what the message itself says goes along where the rule is silent."""
        rule = config.on_receive or {}
        said = payload["data"] if isinstance(payload.get("data"), dict) else payload
        actor = self._creator(config)
        if "execute_task" in rule:
            return self._executions.execute(
                actor,
                rule["execute_task"],
                _started,
                parameters=_object(said.get("parameters")),
                note=f"webhook {config.name}",
                once=once,
            )
        with self._transactions() as uow:
            if earlier := earlier_answer(uow, once):
                return earlier
        known = {name: value for name, value in said.items() if name in DATASET_FIELDS}
        values = load_dataset({**known, **rule["register_dataset"]})
        answer: Json = {}

        def keep(uow: UnitOfWork, dataset: Dataset) -> None:
            answer.update(message=f"Dataset {dataset.id} was registered.", dataset_id=dataset.id)
            keep_answer(uow, once, answer)

        self._datasets.create(actor, values, keep)
        return answer

    def _creator(self, config: NotificationConfig) -> Actor:
        """Return the creator with the roles that they have now.

        :raises PermissionDenied: if there is no such user any more
        """
        claims = config.created_by_claims or {}
        self._forget_users()
        account = self._accounts.by_claims(claims) if claims else None
        if account is None or not account.is_active:
            raise PermissionDenied(
                f"Who made webhook {config.name!r} may do nothing any more; somebody else has to make it."
            )
        return Actor(config.created_by_id, account.username, account.roles)


def _receiving(config: NotificationConfig | None) -> NotificationConfig:
    """Return a configuration that takes messages.

    :raises NotAuthenticated: if it is another, or none
    """
    if config is None or config.channel != INBOUND or not config.enabled:
        raise NotAuthenticated("The signature is not valid for this webhook.")
    return config


def _object(value: Any) -> Json:
    """Return what was sent as parameters.

    :raises InvalidInput: if they are no object
    """
    if value is not None and not isinstance(value, dict):
        raise InvalidInput.field("parameters", "an object is expected.")
    return value or {}


def _started(started: Started) -> Json:
    return {
        "message": started.message,
        "task_id": started.task.id,
        "execution_id": started.execution.id,
    }
