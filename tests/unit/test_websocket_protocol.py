"""What is said on a socket, without any."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svops_plugin.application.event_ports import Topic
from svops_plugin.domain.entities import LARGEST_ID, Event, Json
from svops_plugin.domain.errors import NotFound
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.websocket import protocol
from svops_plugin.presentation.websocket.protocol import Close, Conversation, Reply
from svops_plugin.presentation.websocket.topics import Topics

VIEWER = Actor(7, "viewer", frozenset({"Viewer"}))
ADMIN = Actor(1, "admin", frozenset({"Admin"}))
HIGHEST = LARGEST_ID


class OneWorkflow:
    """Questions where workflow 3 is the only one."""

    def require_workflow(self, actor: Actor, workflow_id: int) -> None:  # noqa: ARG002
        if workflow_id != 3:
            raise NotFound(f"There is no workflow wf_{workflow_id}.")

    def run_status(self, actor: Actor, workflow_id: int, run_id: int) -> Json:
        self.require_workflow(actor, workflow_id)
        return {"id": f"run_{run_id}"}

    def stats(self, actor: Actor) -> Json:
        return {"asked_by": actor.username}


class Clock:
    """A time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def say(conversation: Conversation, message: Any) -> tuple[dict[str, Any], Reply]:
    answer = conversation.receive(message if isinstance(message, str) else json.dumps(message))
    reply = answer if isinstance(answer, Reply) else answer()
    return json.loads(reply.text), reply


def conversation(actor: Actor = VIEWER, address: Topic | None = None) -> Conversation:
    return Conversation(actor, address or Topic(), OneWorkflow(), Clock())


@given(st.text(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_whatever_comes_is_answered_with_an_error(words: str) -> None:
    said, reply = say(conversation(), words)
    assert set(said) == {"error"}
    assert (reply.follow, reply.leave) == (None, None)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["ping", "subscribe", "unsubscribe", "get_status"]) | st.text()},
        optional={
            key: st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.sampled_from(values)
            for key, values in {
                "subscription_type": ["workflow", "user"],
                "target": ["wf_3", "7"],
                "request_type": ["workflow_status", "connection_stats"],
                "workflow_id": ["wf_3", "3"],
                "run_id": ["run_1"],
            }.items()
        },
    )
)
def test_no_message_breaks_it(message: Mapping[str, Any]) -> None:
    said, _ = say(conversation(), message)
    assert set(said) == {"error"} or said["type"] in {"pong", "subscription_confirmed", "status_response"}


def test_bytes_are_answered_with_an_error() -> None:
    answer = conversation().receive(None)
    assert isinstance(answer, Reply)
    assert "text" in json.loads(answer.text)["error"]


def test_a_frame_that_is_too_big_ends_it() -> None:
    with pytest.raises(Close) as ended:
        conversation().receive("x" * (protocol.LONGEST_FRAME + 1))
    assert ended.value.code == protocol.TOO_BIG


def test_a_client_may_say_so_much_at_a_time() -> None:
    clock = Clock()
    talk = Conversation(VIEWER, Topic(), OneWorkflow(), clock)
    for _ in range(protocol.BURST):
        talk.receive("{}")
    with pytest.raises(Close) as ended:
        talk.receive("{}")
    assert ended.value.code == protocol.TOO_MUCH
    clock.now += 60
    for _ in range(protocol.BURST):
        talk.receive("{}")


class TestSubscriptions:
    def test_it_is_followed_from_the_confirmation_on(self) -> None:
        talk = conversation(address=Topic(user_id=7))
        request = {"subscription_type": "workflow", "target": "wf_3"}
        said, reply = say(talk, {"type": "subscribe", **request})
        assert (said["type"], said["target"]) == ("subscription_confirmed", "wf_3")
        assert reply.follow == Topic(workflow_id=3)
        said, reply = say(talk, {"type": "unsubscribe", **request})
        assert said["type"] == "unsubscription_confirmed"
        assert reply.leave == Topic(workflow_id=3)
        said, _ = say(talk, {"type": "unsubscribe", **request})
        assert "no such subscription" in said["error"]

    def test_the_address_stays(self) -> None:
        talk = conversation(address=Topic(workflow_id=3))
        request = {"subscription_type": "workflow", "target": 3}
        say(talk, {"type": "subscribe", **request})
        said, reply = say(talk, {"type": "unsubscribe", **request})
        assert said["type"] == "unsubscription_confirmed"
        assert reply.leave is None

    @pytest.mark.parametrize(("actor", "allowed"), [(VIEWER, False), (ADMIN, True)])
    def test_of_another_user(self, actor: Actor, allowed: bool) -> None:
        request = {"type": "subscribe", "subscription_type": "user", "target": 8}
        said, reply = say(conversation(actor), request)
        assert ("error" in said) is not allowed
        assert reply.follow == (Topic(user_id=8) if allowed else None)

    def test_so_many_and_no_more(self) -> None:
        clock = Clock()
        talk = Conversation(ADMIN, Topic(), OneWorkflow(), clock)
        for number in range(1, protocol.MOST_SUBSCRIPTIONS + 1):
            request = {"type": "subscribe", "subscription_type": "user", "target": number}
            assert "error" not in say(talk, request)[0]
        assert "error" in say(talk, {**request, "target": number + 1})[0]
        assert "error" not in say(talk, request)[0]


class TestAddresses:
    @given(st.integers(1, HIGHEST))
    def test_numbers(self, number: int) -> None:
        assert protocol.parse_number("wf_", f"wf_{number}") == number
        assert protocol.parse_number("wf_", str(number)) == number

    @given(st.text() | st.integers(max_value=0).map(str) | st.integers(HIGHEST + 1).map(str))
    def test_no_numbers(self, text: str) -> None:
        if text.isascii() and text.isdigit() and 0 < int(text) <= HIGHEST:
            return
        with pytest.raises(Close) as refused:
            protocol.parse_number("wf_", text)
        assert refused.value.code == protocol.UNKNOWN
        assert len(refused.value.reason.encode()) <= 123

    @pytest.mark.parametrize(
        ("query", "since"), [("", None), ("x=1", None), ("since=0", 0), ("since=1&since=42", 42)]
    )
    def test_since(self, query: str, since: int | None) -> None:
        assert protocol.parse_since(query) == since

    @pytest.mark.parametrize("query", ["since=", "since=-1", "since=x", "since=1.5", "since=%D9%A3"])
    def test_no_since(self, query: str) -> None:
        with pytest.raises(Close) as refused:
            protocol.parse_since(query)
        assert refused.value.code == protocol.BAD_REQUEST

    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("https://svops.example", True),
            ("https://front.example", True),
            ("https://svops.example.evil", False),
            ("https://evil", False),
            ("null", False),
            ("http://[", False),
            (None, False),
        ],
    )
    def test_origins_of_a_cookie(self, origin: str | None, allowed: bool) -> None:
        refusals = []
        try:
            protocol.check_origin(origin, "svops.example", {"https://front.example"})
        except Close as refused:
            refusals.append(refused.code)
        assert refusals == ([] if allowed else [protocol.FORBIDDEN])


TOPICS = st.builds(Topic, st.none() | st.integers(1, 3), st.none() | st.integers(1, 3))


@given(
    st.lists(st.tuples(st.booleans(), TOPICS, st.integers(1, 4))),
    st.none() | st.integers(1, 3),
    st.none() | st.integers(1, 3),
)
def test_who_gets_an_event(
    changes: list[tuple[bool, Topic, int]], user_id: int | None, workflow_id: int | None
) -> None:
    """The index agrees with a plain reading of what a topic means."""
    topics: Topics[int] = Topics()
    following: set[tuple[Topic, int]] = set()
    for joins, topic, follower in changes:
        (topics.follow if joins else topics.leave)(topic, follower)
        (following.add if joins else following.discard)((topic, follower))
    expected = {
        follower
        for topic, follower in following
        if topic.user_id in {None, user_id} and topic.workflow_id in {None, workflow_id}
    }
    found = topics.followers(Event(type="task.updated", user_id=user_id, workflow_id=workflow_id))
    assert sorted(found) == sorted(expected)
    counts = topics.census()
    assert counts["global"] == sum(topic == Topic() for topic, _ in following)
    assert sum(counts["user"].values()) == sum(topic.user_id is not None for topic, _ in following)
