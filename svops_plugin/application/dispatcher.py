"""The dispatcher: makes deliveries of events and sends them, one process at a time, until they arrive.

Which events have their deliveries is remembered with the deliveries, in one transaction, so none is lost and
none is made twice. A delivery is sent before its outcome is written: who is killed in between sends it again,
under the same id, by which a receiver knows it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TypeVar

from svops_plugin.application.event_ports import Recorded, Topic
from svops_plugin.application.events import delivery_event
from svops_plugin.application.leases import new_holder
from svops_plugin.application.messages import Writer
from svops_plugin.application.notification_ports import Cipher, NotDelivered, Notice, Outgoing, Sender
from svops_plugin.application.ports import Transactions, UnitOfWork
from svops_plugin.domain.entities import LARGEST_ID, Task, utcnow
from svops_plugin.domain.errors import ConfigurationProblem, SVOpsError
from svops_plugin.domain.notifications import (
    REQUESTED,
    DeliveryStatus,
    NotificationConfig,
    NotificationDelivery,
)

log = logging.getLogger(__name__)

K = TypeVar("K")
LEASE = "dispatcher"
LEASE_SECONDS, RENEW_SECONDS = 10.0, 3.0
PERIOD = 1.0
BATCH = 500
MOST_AT_ONCE, MOST_TO_ONE = 16, 4
SLOW = 5.0  # seconds; a target that took longer gets one at a time, so that slow ones leave room for others
MOST_ATTEMPTS = 20  # about six hours
FIRST_DELAY, LONGEST_DELAY = 1.0, 3600.0
LONGEST_REST = 24 * 3600.0
AFTER_TROUBLE = 10.0  # of SVOps' own, rather than the target's


class Dispatcher:
    """Sends notifications of what happens.

    :param writer: words them
    """

    def __init__(self, transactions: Transactions, sender: Sender, cipher: Cipher, writer: Writer) -> None:
        self._transactions = transactions
        self._sender = sender
        self._cipher = cipher
        self._writer = writer
        self._holder = new_holder()
        self._holds, self._ask_again_at = False, 0.0
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._under_way: dict[int, int] = {}  # deliveries by id, with their configurations
        self._slow: set[int] = set()  # configurations whose target was, the last time
        # Configurations whose target, at an address, wants to be left alone, until when.
        self._resting: dict[tuple[int, str | None], float] = {}
        self._troubled: dict[int, float] = {}  # configurations for whose sake SVOps itself failed, likewise

    def run(self, stop: threading.Event) -> None:
        """Send until stopped, while this process holds the lease; failures are logged and outlived."""
        while not stop.is_set():
            try:
                if self._holds_lease():
                    self.fan_out()
                    self._start_due()
            except SVOpsError as refusal:
                log.warning("Notifications wait: %s", refusal)
            except Exception:
                log.exception("The dispatcher failed; it goes on in %s s.", PERIOD)
            self._wake.wait(PERIOD)
            self._wake.clear()
        self._give_back_lease()

    def fan_out(self) -> int:
        """Make the deliveries of events that have none yet, and return how many events were looked at."""
        looked_at = 0
        while events := self._fan_out_some():
            looked_at += events
        return looked_at

    def _fan_out_some(self) -> int:
        with self._transactions() as uow:
            configs = uow.notification_configs.sending()
            if not configs:
                return 0
            position = min(config.last_event_id for config in configs)
            events = uow.events.between(position, LARGEST_ID, BATCH, Topic())
            if not events:
                return 0
            about = _Tasks(uow)
            uow.deliveries.add_missing(
                [
                    NotificationDelivery(config_id=config.id, event_id=event.id, event_type=event.type)
                    for event in events
                    for config in configs
                    if event.id > config.last_event_id and _goes_to(event, config, about)
                ]
            )
            uow.notification_configs.read_up_to(events[-1].id, [config.id for config in configs])
        self._wake_tested(events, configs)
        return len(events)

    def _wake_tested(self, events: Sequence[Recorded], configs: Sequence[NotificationConfig]) -> None:
        """Let nothing that somebody wants to see working rest any longer."""
        tests = [event for event in events if event.type == REQUESTED and event.data.get("test")]
        tested = {event.data["name"] for event in tests}
        with self._lock:
            for config in configs:
                if config.name in tested:
                    self._resting.pop((config.id, config.sealed_url), None)

    def _start_due(self) -> None:
        """Start sending what is due, as far as there is room: to each target, and in all."""
        while started := self._start_some():
            log.debug("%s notifications are on their way.", started)

    def _start_some(self) -> int:
        with self._lock:
            under_way, slow = dict(self._under_way), set(self._slow)
            self._troubled = _not_over(self._troubled)
            troubled = set(self._troubled)
        to_each = Counter(under_way.values())

        def is_full(config_id: int) -> bool:
            return to_each[config_id] >= (1 if config_id in slow else MOST_TO_ONE)

        closed = troubled.union(filter(is_full, to_each))
        room = MOST_AT_ONCE - len(under_way)
        if room <= 0:
            return 0
        with self._transactions() as uow:
            due = uow.deliveries.due(
                utcnow(),
                room,
                without=under_way.keys(),
                without_configs=closed,
                resting=self._resting_now(uow),
            )
        started = 0
        for delivery in due:
            if not is_full(delivery.config_id):
                to_each[delivery.config_id] += 1
                self._start(delivery)
                started += 1
        return started

    def _resting_now(self, uow: UnitOfWork) -> set[int]:
        """Return the configurations whose target wants to be left alone, at the address that it has now."""
        with self._lock:
            self._resting = _not_over(self._resting)
            resting = set(self._resting)
        if not resting:
            return set()
        sending = uow.notification_configs.sending()
        return {config.id for config in sending if (config.id, config.sealed_url) in resting}

    def _start(self, delivery: NotificationDelivery) -> None:
        with self._lock:
            self._under_way[delivery.id] = delivery.config_id
        threading.Thread(
            target=self._finish, args=(delivery,), name=f"svops-delivery-{delivery.id}", daemon=True
        ).start()

    def _finish(self, delivery: NotificationDelivery) -> None:
        try:
            self.send(delivery.id)
        except Exception:
            log.exception("Delivery %s is sent again in %s s.", delivery.id, AFTER_TROUBLE)
            with self._lock:
                self._troubled[delivery.config_id] = time.monotonic() + AFTER_TROUBLE
        finally:
            with self._lock:
                del self._under_way[delivery.id]
            self._wake.set()

    def send(self, delivery_id: int) -> None:
        """Make one attempt at a delivery, and write down how it went."""
        with self._transactions() as uow:
            delivery = uow.deliveries.get(delivery_id)
            config = uow.notification_configs.get(delivery.config_id) if delivery else None
            if delivery is None or config is None or delivery.status is not DeliveryStatus.PENDING:
                return
            event = uow.events.get(delivery.event_id)
            said = None if event is None else self._writer.write(uow, event)
        failure: NotDelivered | None
        if said is None:
            failure = NotDelivered(f"Event {delivery.event_id} is not kept any more.", final=True)
        else:
            failure = self._attempt(config, delivery.message_id, *said)
        self._write_down(delivery_id, config, failure)

    def _attempt(
        self, config: NotificationConfig, message_id: str, notice: Notice, body: str
    ) -> NotDelivered | None:
        """Send once, and return what kept it from arriving."""
        began = time.monotonic()
        try:
            self._sender.send(self._outgoing(config, message_id, notice, body))
        except NotDelivered as failure:
            return failure
        except ConfigurationProblem as refusal:
            return NotDelivered(str(refusal))
        except Exception as failure:  # a library's; not counted, it would be met again for ever
            log.exception("Sending %s failed.", message_id)
            return NotDelivered(f"Sending failed: {type(failure).__name__}.")
        finally:
            self._time(config.id, time.monotonic() - began)
        return None

    def _time(self, config_id: int, seconds: float) -> None:
        """Remember whether a target is slow."""
        with self._lock:
            if seconds > SLOW:
                self._slow.add(config_id)
            else:
                self._slow.discard(config_id)

    def _outgoing(self, config: NotificationConfig, message_id: str, notice: Notice, body: str) -> Outgoing:
        sealed = config.sealed_secret
        return Outgoing(
            channel=config.channel,
            message_id=message_id,
            notice=notice,
            body=body,
            url=self._cipher.decrypt(config.sealed_url or ""),
            secret=None if sealed is None else self._cipher.decrypt(sealed),
        )

    def _write_down(self, delivery_id: int, config: NotificationConfig, failure: NotDelivered | None) -> None:
        """Keep how an attempt went: it arrived, it is made again later, or it is given up."""
        with self._transactions() as uow:
            delivery = uow.deliveries.lock(delivery_id)
            if delivery is None:
                return
            attempts = delivery.attempts + 1
            if failure is None:
                ended = uow.deliveries.move(
                    delivery,
                    DeliveryStatus.DELIVERED,
                    attempts=attempts,
                    delivered_at=utcnow(),
                    last_error=None,
                )
            elif failure.final or attempts >= MOST_ATTEMPTS:
                ended = uow.deliveries.move(
                    delivery, DeliveryStatus.FAILED, attempts=attempts, last_error=str(failure)
                )
            else:
                ended = False
                rest = self._rest(uow, config, failure.retry_after)
                wish = f" It wants to be left alone for {rest:.0f} s." if rest else ""
                delivery.attempts, delivery.last_error = attempts, f"{failure}{wish}"
                delivery.next_attempt_at = utcnow() + timedelta(seconds=max(_delay(attempts), rest))
            if ended:
                uow.record(delivery_event(config, delivery))

    def _rest(self, uow: UnitOfWork, config: NotificationConfig, retry_after: float | None) -> float:
        """Leave a target alone if it wants that, and return for how many seconds.

        Not if it was given another address during the attempt: that one has asked for nothing.
        """
        now = uow.notification_configs.get(config.id)
        if not retry_after or now is None or now.sealed_url != config.sealed_url:
            return 0.0
        rest = min(retry_after, LONGEST_REST)
        with self._lock:
            self._resting[config.id, config.sealed_url] = time.monotonic() + rest
        return rest

    def _holds_lease(self) -> bool:
        """Tell whether this process is the one that sends; it asks again before the lease is over."""
        if time.monotonic() >= self._ask_again_at:
            self._holds = False
            with self._transactions() as uow:
                self._holds = uow.leases.acquire(LEASE, self._holder, LEASE_SECONDS)
            self._ask_again_at = time.monotonic() + RENEW_SECONDS
        return self._holds

    def _give_back_lease(self) -> None:
        """Let another process go on at once, unless something is still on its way from here."""
        if not self._holds or self._under_way:
            return
        try:
            with self._transactions() as uow:
                uow.leases.acquire(LEASE, self._holder, 0)
        except SVOpsError as refusal:
            log.info("Another process sends notifications in %s s: %s", LEASE_SECONDS, refusal)


def _delay(attempts: int) -> float:
    """Return the seconds to the next attempt: twice as many each time, never the same for all."""
    backoff = min(FIRST_DELAY * 2.0 ** (attempts - 1), LONGEST_DELAY)
    return backoff * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, keeps no secret


def _not_over(until: Mapping[K, float]) -> dict[K, float]:
    """Return what has not ended."""
    now = time.monotonic()
    return {key: end for key, end in until.items() if end > now}


class _Tasks:
    """The tasks that events are about, each loaded once, and only where somebody asks."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow
        self._known: dict[int, Task | None] = {}

    def of(self, event: Recorded) -> Task | None:
        """Return the task that an event is about, if there still is one."""
        if event.task_id is None:
            return None
        if event.task_id not in self._known:
            self._known[event.task_id] = self._uow.tasks.get(event.task_id)
        return self._known[event.task_id]


def _goes_to(event: Recorded, config: NotificationConfig, tasks: _Tasks) -> bool:
    if event.type == REQUESTED:
        return bool(event.data.get("name") == config.name)
    task = tasks.of(event) if {"customer", "tag"} & config.filters.keys() else None
    return config.wants(event.type, event.user_id, event.task_id, task)
