"""Reading what happened: from any point on, by anybody who may, and for as long as it is kept."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from svops_plugin.application.event_ports import Recorded, Topic
from svops_plugin.application.events import may_read
from svops_plugin.application.ports import Transactions
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import InvalidInput, PermissionDenied, SVOpsError
from svops_plugin.domain.permissions import Actor

log = logging.getLogger(__name__)

LEASE = "event_retention"
PURGE_SECONDS = 3600.0
LOOK_SECONDS = 60.0
PURGE_CHUNK = 5000


@dataclass(frozen=True)
class Slice:
    """Some of what happened after a point.

    :param last_event_id: where to go on: nothing that the reader may read lies between
    :param newest: the last event there was, of whatever topic
    :param resync: whether something after the point is not kept any more, so that state must be loaded anew
    :param complete: whether this is all there was
    """

    events: Sequence[Recorded]
    last_event_id: int
    newest: int
    resync: bool
    complete: bool


class EventLog:
    """Use cases of reading the outbox."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    def newest(self) -> int:
        """Return the id of the last event."""
        with self._transactions() as uow:
            return uow.events.newest()

    def after(self, actor: Actor, since: int, limit: int, topic: Topic) -> Slice:
        """Return the first events after an id that are of a topic and that the actor may read.

        Who asks for what came after 0 has no state yet that could be wrong, and gets all that is kept.

        :raises InvalidInput: if nothing has had that id yet
        :raises PermissionDenied: if the actor may not read events, or not this topic's
        """
        require_topic(actor, topic)
        with self._transactions() as uow:
            newest, oldest = uow.events.newest(), uow.events.oldest()
            if since > newest:
                raise InvalidInput.field("since", f"the newest event is {newest}; load the state anew.")
            found = uow.events.between(since, newest, limit, topic)
        complete = len(found) < limit
        return Slice(
            events=[event for event in found if may_read(actor, event)],
            last_event_id=newest if complete else found[-1].id,
            newest=newest,
            resync=0 < since < oldest - 1,
            complete=complete,
        )


def require_topic(actor: Actor, topic: Topic) -> None:
    """Refuse a topic that the actor may not follow: another user's is for administrators.

    :raises PermissionDenied: naming what is missing
    """
    actor.require("event", "read")
    own = topic.user_id is None or topic.user_id == actor.user_id
    if not own and not actor.may("user", "read"):
        raise PermissionDenied("These are another user's events; an Admin can follow them.")


class Retention:
    """Deletes events that are older than they are kept, in one of all processes and once an hour.

    :param days: how long events are kept
    """

    def __init__(self, transactions: Transactions, days: float) -> None:
        self._transactions = transactions
        self._keep = timedelta(days=days)

    def run(self, stop: threading.Event) -> None:
        """Purge whenever it is due until stopped; failures are logged and outlived."""
        while not stop.wait(LOOK_SECONDS):
            try:
                if self._is_due():
                    log.info("%s events were older than %s and are deleted.", self.purge(stop), self._keep)
            except SVOpsError as refusal:
                log.warning("Old events stay for now: %s", refusal)
            except Exception:
                log.exception("Deleting old events failed; it is tried again in an hour.")

    def purge(self, stop: threading.Event | None = None) -> int:
        """Delete what is too old, in short transactions, and return how many events that were."""
        deleted, before = 0, utcnow() - self._keep
        while stop is None or not stop.is_set():
            with self._transactions() as uow:
                found = uow.events.delete_before(before, PURGE_CHUNK)
            deleted += found
            if found < PURGE_CHUNK:
                break
        return deleted

    def _is_due(self) -> bool:
        """Take the lease under a new name each time, so that even its last holder has to wait for its end."""
        with self._transactions() as uow:
            return uow.leases.acquire(LEASE, secrets.token_hex(8), PURGE_SECONDS)
