"""The sockets, as front ends use them, on each of what serves them."""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import utcnow
from svops_plugin.presentation.websocket import protocol
from tests.integration.live import (
    Serve,
    Server,
    a_workflow,
    an_event,
    eventually,
    happen,
    hub,
    ids,
    serve,
    server,
)
from tests.integration.support import is_time, problem

__all__ = ["serve", "server"]
FIELDS = {
    "id",
    "type",
    "workflow_id",
    "run_id",
    "task_id",
    "execution_id",
    "user_id",
    "actor",
    "timestamp",
    "data",
}


class TestEvents:
    def test_what_happens_arrives_in_the_contracts_words(self, server: Server) -> None:
        with server.listening() as client:
            (event_id,) = happen(an_event(task_id=5, execution_id=6, workflow_id=7, run_id=8, user_id=9))
            event = client.next()
            assert set(event) == FIELDS
            assert is_time(event.pop("timestamp"))
            assert event == {
                "id": event_id,
                "type": "task.updated",
                "workflow_id": "wf_7",
                "run_id": "run_8",
                "task_id": 5,
                "execution_id": 6,
                "user_id": 9,
                "actor": "tests",
                "data": {"number": 0},
            }

    def test_what_rest_does_is_seen(self, server: Server, dataset_body: dict[str, Any]) -> None:
        with server.listening() as client:
            made = server.rest("user").post("api/v1/datasets", json=dataset_body)
            event = client.next()
            assert (event["type"], event["data"]["dataset_id"]) == ("dataset.created", made.json()["id"])
            assert event["actor"] == "user"

    def test_each_address_gets_its_own(self, server: Server) -> None:
        me, workflow = server.user_id("user"), a_workflow()
        with (
            server.listening(name="user") as everything,
            server.listening(f"/ws/user/{me}", "user") as mine,
            server.listening(f"/ws/workflow/wf_{workflow}", "user") as its,
            server.listening(f"/ws/user/{me}/workflow/{workflow}", "user") as both,
        ):
            made = happen(
                an_event(),
                an_event(user_id=me),
                an_event(workflow_id=workflow),
                an_event(user_id=me, workflow_id=workflow),
                an_event(user_id=me + 1, workflow_id=workflow + 1),
                an_event(user_id=me, workflow_id=workflow),
            )
            assert ids(everything, 6) == made
            assert ids(mine, 3) == [made[1], made[3], made[5]]
            assert ids(its, 3) == [made[2], made[3], made[5]]
            assert ids(both, 2) == [made[3], made[5]]

    def test_events_about_users_are_for_administrators_and_the_user(self, server: Server) -> None:
        me = server.user_id("user")
        with (
            server.listening(name="admin") as admin,
            server.listening(name="user") as user,
            server.listening(name="viewer") as viewer,
        ):
            about_me, about_another, last = happen(
                an_event(type="user.updated", user_id=me),
                an_event(type="user.updated", user_id=me + 100),
                an_event(),
            )
            assert ids(admin, 3) == [about_me, about_another, last]
            assert user.close_code() == protocol.UNAUTHENTICATED  # and may come in as who they are now
            assert ids(viewer, 1) == [last]
        with server.connected(f"/ws?since={about_me - 1}", "user") as user:
            user.next()
            assert ids(user, 2) == [about_me, last]
        with server.listening("/ws?since=0", "viewer") as late:
            assert ids(late, 1) == [last]


class TestReplay:
    def test_since_resumes_where_the_client_was(self, server: Server) -> None:
        with server.connected() as client:
            begin = client.next()["last_event_id"]
        missed = happen(*(an_event(number) for number in range(2500)))
        with server.connected(f"/ws?since={begin}") as client:
            assert client.next() == {
                "type": "hello",
                "last_event_id": missed[-1],
                "heartbeat_seconds": protocol.HEARTBEAT_SECONDS,
            }
            assert ids(client, 2500) == missed
            assert ids(client, len(more := happen(an_event()))) == more
        with server.connected(f"/ws?since={missed[-2]}") as client:
            client.next()
            assert ids(client, 2) == [missed[-1], *more]

    def test_of_a_topic(self, server: Server) -> None:
        workflow = a_workflow()
        made = happen(an_event(), an_event(workflow_id=workflow), an_event(), an_event())
        with server.listening(f"/ws/workflow/{workflow}?since=0") as client:
            assert ids(client, 1) == [made[1]]
            made = happen(an_event(workflow_id=workflow))
            assert ids(client, 1) == made

    def test_without_since_it_begins_now(self, server: Server) -> None:
        with server.listening() as earlier:
            before = happen(an_event())
            assert ids(earlier, 1) == before
        with server.listening() as client:
            now = happen(an_event())
            assert ids(client, 1) == now

    def test_what_is_not_kept_any_more_is_told(self, server: Server) -> None:
        made = happen(*(an_event(number) for number in range(5)))
        with services(pooled=True).transactions() as uow:
            uow.old.delete("event", made[:3])
        with server.listening(f"/ws?since={made[0]}") as client:
            assert client.next() == {"type": "resync"}
            assert ids(client, 2) == made[3:]
        with server.listening(f"/ws?since={made[2]}") as client:
            assert ids(client, 2) == made[3:]


class TestMessages:
    def test_ping(self, server: Server) -> None:
        with server.listening() as client:
            pong = client.ask({"type": "ping"})
            assert pong["type"] == "pong"
            assert is_time(pong["timestamp"])

    def test_subscriptions_add_to_the_address(self, server: Server) -> None:
        me, workflow = server.user_id("user"), a_workflow()
        with server.listening(f"/ws/user/{me}", "user") as client:
            request = {"subscription_type": "workflow", "target": f"wf_{workflow}"}
            confirmed = client.ask({"type": "subscribe", **request})
            assert is_time(confirmed.pop("timestamp"))
            assert confirmed == {"type": "subscription_confirmed", **request}
            made = happen(
                an_event(workflow_id=workflow), an_event(user_id=me, workflow_id=workflow), an_event()
            )
            assert ids(client, 2) == made[:2]
            assert client.ask({"type": "unsubscribe", **request})["type"] == "unsubscription_confirmed"
            made = happen(an_event(workflow_id=workflow), an_event(user_id=me))
            assert ids(client, 1) == made[1:]

    @pytest.mark.parametrize(
        ("request_", "word"),
        [
            ({"subscription_type": "workflow", "target": "wf_12345"}, "no workflow wf_12345"),
            ({"subscription_type": "user", "target": 12345}, "another user"),
            ({"subscription_type": "user", "target": "me"}, "target"),
            ({"subscription_type": "task", "target": 1}, "subscription_type"),
            ({}, "subscription_type"),
        ],
    )
    def test_bad_subscriptions(self, server: Server, request_: dict[str, Any], word: str) -> None:
        with server.listening() as client:
            assert word in client.ask({"type": "subscribe", **request_})["error"]
            assert "subscription" in client.ask({"type": "unsubscribe", **request_})["error"]
            assert client.ask({"type": "ping"})["type"] == "pong"

    def test_status_of_a_run(self, server: Server, running: int) -> None:
        answer = server.rest("viewer").get(f"api/v1/tasks/{running}/status")
        run = answer.json()["workflow_runs"][0]
        request = {
            "request_type": "workflow_status",
            "workflow_id": run["workflow_id"],
            "run_id": run["id"],
        }
        with server.listening() as client:
            found = client.ask({"type": "get_status", **request})
            status = found.pop("run")
            assert found == {"type": "status_response", **request}
            assert (status["id"], status["status"]) == (run["id"], "queued")
            assert "no run" in client.ask({"type": "get_status", **request, "run_id": "run_999"})["error"]
            assert "run_1" in client.ask({"type": "get_status", **request, "run_id": None})["error"]

    def test_stats(self, server: Server) -> None:
        workflow = a_workflow()
        with (
            server.listening() as client,
            server.listening("/ws/user/7", "admin"),
            server.listening(f"/ws/workflow/{workflow}"),
            server.listening(f"/ws/user/7/workflow/{workflow}", "admin"),
        ):
            answer = client.ask({"type": "get_status", "request_type": "connection_stats"})
            stats = answer["stats"]
            assert (stats["total_connections"], stats["global_subscribers"]) == (4, 1)
            assert stats["user_subscribers"] == {"7": 2}
            assert stats["workflow_subscribers"] == {f"wf_{workflow}": 2}
            asked = server.rest("viewer").get("ws/stats").json()
            assert set(asked) == set(stats)
            assert asked["total_connections"] == 4
            assert [one["connections"] for one in asked["processes"]] == [4]

    def test_stats_need_a_token(self, server: Server) -> None:
        for headers in ({}, {"Authorization": "Bearer x"}):
            assert problem(server.rest(None).get("ws/stats", headers=headers), 401)


class TestLife:
    @pytest.fixture
    def lively(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(protocol, "HEARTBEAT_SECONDS", 1)

    @pytest.mark.usefixtures("lively")
    def test_heartbeats_carry_the_last_event(self, server: Server) -> None:
        with server.listening("/ws/workflow/" + str(a_workflow())) as client:
            (event_id,) = happen(an_event())
            eventually(lambda: hub().last_event_id == event_id, "the hub")
            beats = [json.loads(client.socket.recv(60)) for _ in range(3)]
            assert beats[-1] == {"type": "heartbeat", "last_event_id": event_id}

    def test_a_server_that_stops_says_so(
        self,
        serve: Serve,
        svops_database: str,  # noqa: ARG002
        tokens: dict[str, str],
    ) -> None:
        with ExitStack() as clients:
            with serve() as port:
                client = clients.enter_context(Server(port, tokens).listening())
            assert client.close_code() == protocol.RESTARTING
        with services(pooled=True).transactions() as uow:
            assert uow.hubs.alive(utcnow() - timedelta(days=1)) == []
