"""What notifications need from outside: their rows, a cipher, somebody who sends, and signatures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from svops_plugin.domain.notifications import (
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
    Signature,
)

if TYPE_CHECKING:
    from svops_plugin.application.ports import Page, Query


class NotificationConfigs(Protocol):
    """Where notifications go and come from, by name."""

    def get(self, entity_id: int) -> NotificationConfig | None:
        """Return it as of now, or none."""

    def named(self, name: str, *, lock: bool = False) -> NotificationConfig | None:
        """Return the one with this name, with ``lock`` held against every other writer."""

    def add(self, entity: NotificationConfig) -> NotificationConfig:
        """Write a new one."""

    def delete(self, entity: NotificationConfig) -> None:
        """Remove it with its deliveries."""

    def page(self, query: Query) -> Page[NotificationConfig]:
        """Return a page of them."""

    def sending(self) -> Sequence[NotificationConfig]:
        """Return those that are enabled and send."""

    def read_up_to(self, event_id: int, config_ids: Collection[int]) -> None:
        """Remember that all events up to this one have their deliveries in these."""


class Deliveries(Protocol):
    """Notifications on their way."""

    def get(self, entity_id: int) -> NotificationDelivery | None:
        """Return it as of now, or none."""

    def lock(self, entity_id: int) -> NotificationDelivery | None:
        """Return it, held against every other writer until the unit of work ends."""

    def page(self, query: Query) -> Page[NotificationDelivery]:
        """Return a page of them; filters ``config_id``, ``status``."""

    def move(self, entity: NotificationDelivery, to: DeliveryStatus, **values: object) -> bool:
        """Enter a state if the row is in one that leads there; see ``Stateful.move``."""

    def add_missing(self, deliveries: Sequence[NotificationDelivery]) -> None:
        """Write those whose event has none for its configuration yet."""

    def hurry(self, config_id: int) -> None:
        """Let all of a configuration's that are on their way be due now."""

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

    def pending(self) -> int:
        """Return how many have not ended."""


class Cipher(Protocol):
    """Keeps secrets from whoever reads the database."""

    def encrypt(self, words: str) -> str:
        """Return what may be stored.

        :raises ConfigurationProblem: if the deployment has no key
        """

    def decrypt(self, stored: str) -> str:
        """Return what was encrypted.

        :raises ConfigurationProblem: if the key is not known any more
        """


class Targets(Protocol):
    """Where notifications may go."""

    def check(self, channel: str, url: str) -> str:
        """Return the address masked.

        :raises InvalidInput: naming ``webhook_url``, if the channel cannot have it or it is out of bounds
        """


@dataclass(frozen=True)
class Notice:
    """What is told to people, before it is laid out for a channel.

    :param failed: whether it is bad news
    :param facts: labels and what they say
    :param links: labels and addresses
    """

    title: str
    failed: bool
    facts: Sequence[tuple[str, str]] = ()
    links: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Outgoing:
    """One notification, ready to go.

    :param body: what programs get: the event, as JSON
    """

    channel: str
    message_id: str
    notice: Notice
    body: str
    url: str = field(repr=False)
    secret: str | None = field(repr=False)


class NotDelivered(Exception):
    """A notification did not reach its target.

    :param reason: without any secret
    :param retry_after: seconds that the target wants to be left alone for
    :param final: whether another attempt would be in vain
    """

    def __init__(self, reason: str, *, retry_after: float | None = None, final: bool = False) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.final = final


class Sender(Protocol):
    """Sends notifications."""

    def send(self, outgoing: Outgoing) -> None:
        """Send one, and return when the target has it.

        :raises NotDelivered: otherwise
        """


@dataclass(frozen=True)
class Received:
    """A message that came in.

    :param headers: by names in lower case
    """

    body: bytes
    headers: Mapping[str, str]


class Signatures(Protocol):
    """Secrets, and what is signed with them."""

    def new_secret(self) -> str:
        """Return a secret that nobody guesses."""

    def verify(self, signature: Signature, secret: str, received: Received) -> str:
        """Return what a message is known by, the same whenever it is sent again.

        :raises NotAuthenticated: if the signature is not the secret's, or too old
        """
