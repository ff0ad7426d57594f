"""Reading what happened: from any point on, by anybody who may, and for as long as it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from svops_plugin.application.event_ports import Recorded, Topic
from svops_plugin.application.events import may_read, told_to
from svops_plugin.application.ports import Transactions
from svops_plugin.domain.errors import InvalidInput, PermissionDenied
from svops_plugin.domain.permissions import Actor


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
        with self._transactions().snapshot() as uow:
            newest, oldest = uow.events.newest(), uow.events.oldest()
            if since > newest:
                raise InvalidInput.field("since", f"the newest event is {newest}; load the state anew.")
            found = uow.events.between(since, newest, limit, topic)
        complete = len(found) < limit
        return Slice(
            events=[told_to(actor, event) for event in found if may_read(actor, event)],
            last_event_id=newest if complete else found[-1].id,
            newest=newest,
            resync=0 < since < oldest - 1,
            complete=complete,
        )

    def before(self, actor: Actor, before: int | None, limit: int, topic: Topic) -> Slice:
        """Return the last events, the newest first, that are of a topic and that the actor may read.

        :param before: only those with lower ids, to go on from the last of a page; none for the newest
        :returns: what ``complete`` tells is whether there are no older ones
        :raises PermissionDenied: as for ``after``
        """
        require_topic(actor, topic)
        with self._transactions() as uow:
            newest = uow.events.newest()
            found = uow.events.before(newest + 1 if before is None else before, limit, topic)
        return Slice(
            events=[told_to(actor, event) for event in found if may_read(actor, event)],
            last_event_id=newest,
            newest=newest,
            resync=False,
            complete=len(found) < limit,
        )


def require_topic(actor: Actor, topic: Topic) -> None:
    """Refuse a topic that the actor may not follow: another user's is for administrators.

    :raises PermissionDenied: naming what is missing
    """
    actor.require("event", "read")
    own = topic.user_id is None or topic.user_id == actor.user_id
    if not own and not actor.may("user", "read"):
        raise PermissionDenied("These are another user's events; an Admin can follow them.")
