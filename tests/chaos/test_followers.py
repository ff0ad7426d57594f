"""Whoever follows live events and resumes by id has them all, whatever was killed meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from random import Random

from sqlalchemy import text

from tests.chaos.blows import strike
from tests.chaos.formation import formed
from tests.chaos.stack import Stack, scalar
from tests.hosts import hosting
from tests.integration.test_documented_clients import documented_follow


class Follower(threading.Thread):
    """The client of docs/events.md, on all events from a point on."""

    def __init__(self, stack: Stack, since: int) -> None:
        super().__init__(daemon=True)
        self._url = f"ws://{stack.api.base_url.netloc.decode()}/svops/ws"
        self._token = stack.api.headers["Authorization"].removeprefix("Bearer ")
        self._since = since
        self.seen: list[int] = []

    def run(self) -> None:
        for event in documented_follow()(self._url, self._token, since=self._since):
            self.seen.append(event["id"])


def test_followers_have_every_event_once_and_in_order(stack: Stack) -> None:
    newest = "SELECT coalesce(max(id), 0) FROM svops_event"
    since = int(scalar(stack.svops, newest))
    followers = [Follower(stack, since) for _ in range(3)]
    for follower in followers:
        follower.start()
    for victim in ("postgres", hosting().SERVER):
        with formed(stack, Random(victim), by_hand=True) as formation:
            strike(formation, victim, {})
        assert stack.settle(formation.task_ids) == []
    with stack.svops.connect() as connection:
        query = text("SELECT id FROM svops_event WHERE id > :since ORDER BY id")
        expected: Sequence[int] = connection.scalars(query, {"since": since}).all()
    for follower in followers:
        stack.until(lambda one=follower: len(one.seen) >= len(expected), "the last event")  # type: ignore[misc]  # bound now
        assert follower.seen == expected
