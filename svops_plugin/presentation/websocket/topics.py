"""Who follows which topic, so that an event costs only those who get it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, TypeVar

from svops_plugin.application.event_ports import Recorded, Topic
from svops_plugin.domain.entities import Json

F = TypeVar("F")

EVERYTHING = Topic()


class Topics(Generic[F]):
    """An index of followers by topic. One thread at a time may use it; any may take a :meth:`census`."""

    def __init__(self) -> None:
        self._followers: dict[Topic, set[F]] = {}

    def follow(self, topic: Topic, follower: F) -> None:
        """Let a follower get a topic's events; again changes nothing."""
        self._followers.setdefault(topic, set()).add(follower)

    def leave(self, topic: Topic, follower: F) -> None:
        """Let a follower get them no more, by this topic."""
        found = self._followers.get(topic, set())
        found.discard(follower)
        if not found:
            self._followers.pop(topic, None)

    def followers(self, event: Recorded) -> Collection[F]:
        """Return everybody who gets an event, each once."""
        user_id, workflow_id = event.user_id, event.workflow_id
        addresses = {
            EVERYTHING,
            Topic(user_id=user_id),
            Topic(workflow_id=workflow_id),
            Topic(user_id, workflow_id),
        }
        found = [self._followers[topic] for topic in addresses if topic in self._followers]
        return found[0] if len(found) == 1 else set[F]().union(*found)

    def census(self) -> Json:
        """Return how many follow everything, each user and each workflow; who follows both counts in both."""
        counts: Json = {"global": 0, "user": {}, "workflow": {}}
        for topic, followers in list(self._followers.items()):
            if topic == EVERYTHING:
                counts["global"] = len(followers)
            for kind, number in (("user", topic.user_id), ("workflow", topic.workflow_id)):
                if number is not None:
                    key = f"wf_{number}" if kind == "workflow" else str(number)
                    counts[kind][key] = counts[kind].get(key, 0) + len(followers)
        return counts
