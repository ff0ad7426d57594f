"""What outside systems send: verified, kept, and acted upon once."""

from __future__ import annotations

import base64
import hmac
import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from svops_plugin.bootstrap import host, services
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import Conflict
from svops_plugin.infrastructure.database import tables
from tests.hosts import hosting
from tests.integration.support import at_once, ok, problem, status
from tests.server import Clients

INBOUND = {"name": "lab", "channel": "inbound"}


class Lab:
    """An outside system that knows the secret of a configuration."""

    def __init__(self, admin: httpx.Client, nobody: httpx.Client, **values: Any) -> None:
        self._nobody = nobody
        self.secret = ok(admin.post("notifications/configs", json={**INBOUND, **values}), 201)["secret"]

    def signed(self, body: bytes, message_id: str = "msg_1", age: float = 0) -> dict[str, str]:
        now = datetime.fromtimestamp(time.time() - age, timezone.utc)
        return {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(self.secret).sign(message_id, now, body.decode()),
        }

    def post(self, body: bytes, headers: dict[str, Any], name: str = "lab") -> httpx.Response:
        return self._nobody.post(f"notifications/webhook/{name}", content=body, headers=headers)

    def send(self, told: Any, message_id: str = "msg_1", age: float = 0) -> httpx.Response:
        body = json.dumps(told).encode()
        return self.post(body, self.signed(body, message_id, age))

    def send_as_github(self, body: bytes) -> httpx.Response:
        signature = hmac.new(self.secret.encode(), body, "sha256").hexdigest()
        return self.post(
            body, {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        )


def received(admin: httpx.Client) -> list[dict[str, Any]]:
    events = ok(admin.get("events", params={"since": 0, "limit": 1000}))["items"]
    return [event["data"] for event in events if event["type"] == "webhook.received"]


def attempts(admin: httpx.Client, task_id: int) -> int:
    return int(ok(admin.get(f"tasks/{task_id}/executions"))["total"])


class TestSignatures:
    def test_a_message_becomes_an_event(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab = Lab(admin, nobody)
        assert ok(lab.send({"type": "scan.done", "data": {"ok": True}})) == {
            "message": "The message was received."
        }
        assert received(admin) == [{"source": "lab", "payload": {"type": "scan.done", "data": {"ok": True}}}]

    @pytest.mark.parametrize(
        "broken", ["signature", "body", "id", "no id", "other version", "no base64", "none"]
    )
    def test_a_wrong_signature(self, admin: httpx.Client, nobody: httpx.Client, broken: str) -> None:
        lab, body = Lab(admin, nobody), b'{"a": 1}'
        headers = lab.signed(body)
        if broken == "signature":
            headers["webhook-signature"] = "v1," + base64.b64encode(bytes(32)).decode()
        elif broken == "body":
            body = b'{"a": 2}'
        elif broken == "id":
            headers["webhook-id"] = "msg_2"
        elif broken == "no id":
            del headers["webhook-id"]
        elif broken == "other version":
            headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", "v2,")
        elif broken == "no base64":
            headers["webhook-signature"] = "v1"
        else:
            headers = {"Content-Type": "application/json"}
        problem(lab.post(body, headers), 401)
        assert received(admin) == []

    @pytest.mark.parametrize("age", [301, -301])
    def test_an_old_or_early_timestamp(self, admin: httpx.Client, nobody: httpx.Client, age: float) -> None:
        assert "timestamp" in problem(Lab(admin, nobody).send({}, age=age), 401)["detail"]

    @pytest.mark.parametrize("age", [290, -290])
    def test_within_five_minutes(self, admin: httpx.Client, nobody: httpx.Client, age: float) -> None:
        ok(Lab(admin, nobody).send({}, age=age))

    def test_githubs_way(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab, body = Lab(admin, nobody, signature="github"), b'{"action": "opened"}'
        signature = hmac.new(lab.secret.encode(), body, "sha256").hexdigest()
        headers = {"Content-Type": "application/json", "X-Hub-Signature-256": f"sha256={signature}"}
        ok(lab.post(body, headers))
        ok(lab.post(body, {**headers, "X-GitHub-Delivery": "another"}))
        assert received(admin) == [{"source": "lab", "payload": {"action": "opened"}}]
        problem(lab.post(b"{}", headers), 401)
        problem(lab.post(body, {**headers, "X-Hub-Signature-256": "sha256=é".encode()}), 401)
        problem(lab.post(body, lab.signed(body)), 401)

    def test_nobody_learns_what_there_is(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab, body = Lab(admin, nobody), b"{}"
        hook = {"name": "out", "channel": "webhook", "webhook_url": "https://1.1.1.1/"}
        ok(admin.post("notifications/configs", json=hook), 201)
        answers = [problem(lab.post(body, lab.signed(body), name), 401)["detail"] for name in ("out", "none")]
        ok(admin.post("notifications/configs/lab/disable"))
        answers.append(problem(lab.send({}), 401)["detail"])
        assert len(set(answers)) == 1

    def test_an_old_secret(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab = Lab(admin, nobody)
        new = ok(admin.post("notifications/configs/lab/rotate-secret"))["secret"]
        problem(lab.send({}), 401)
        lab.secret = new
        ok(lab.send({}))


class TestBodies:
    @pytest.mark.parametrize("size", [256 * 1024 + 1, 10 * 1024**2])
    def test_too_large(self, admin: httpx.Client, nobody: httpx.Client, size: int) -> None:
        lab = Lab(admin, nobody)
        body = b'{"a": "' + b"x" * (size - 9) + b'"}'
        assert len(body) == size
        problem(lab.post(body, lab.signed(body)), 413)

    def test_the_largest(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab = Lab(admin, nobody)
        body = b'{"a": "' + b"x" * (256 * 1024 - 9) + b'"}'
        ok(lab.post(body, lab.signed(body)))

    @pytest.mark.parametrize(
        ("body", "code"),
        [
            (b"", 400),
            (b"nothing", 400),
            (b"[" * 100_000, 400),
            (b'{"a": 1, "a": 2}', 400),
            (b"[1]", 422),
            (b'{"a": "\\u0000"}', 422),
            (b'{"\\u0000": 1}', 422),
            (b'{"a": "\\ud800"}', 422),
            (b'{"a": NaN}', 422),
        ],
    )
    def test_signed_nonsense(self, admin: httpx.Client, nobody: httpx.Client, body: bytes, code: int) -> None:
        lab = Lab(admin, nobody)
        problem(lab.post(body, lab.signed(body)), code)
        assert received(admin) == []


class TestAgain:
    def test_the_same_message_does_nothing_more(
        self, admin: httpx.Client, nobody: httpx.Client, task_id: int
    ) -> None:
        lab = Lab(admin, nobody, on_receive={"execute_task": task_id})
        first = ok(lab.send({"data": {"parameters": {"a": 1}}}))
        assert first["task_id"] == task_id
        assert ok(lab.send({"data": {"parameters": {"a": 1}}})) == first
        assert attempts(admin, task_id) == len(received(admin)) == 1

    def test_after_airflow_has_refused_to_run_it(
        self, admin: httpx.Client, nobody: httpx.Client, task_id: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lab = Lab(admin, nobody, on_receive={"execute_task": task_id})

        def refuse(*_: object) -> None:
            raise Conflict("Airflow refused to run it.")

        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(host().DagRuns, "trigger", refuse)
            assert "Airflow refused" in problem(lab.send({}), 409)["detail"]
        assert status(admin, task_id) == "failed"
        ok(lab.send({}))
        assert status(admin, task_id) == "running"
        assert (attempts(admin, task_id), len(received(admin))) == (2, 1)

    def test_another_body_under_the_same_id(
        self, admin: httpx.Client, nobody: httpx.Client, task_id: int
    ) -> None:
        lab = Lab(admin, nobody, on_receive={"execute_task": task_id})
        ok(lab.send({"a": 1}))
        assert "webhook-id" in problem(lab.send({"a": 2}), 422)["errors"]
        assert attempts(admin, task_id) == len(received(admin)) == 1

    def test_two_at_once(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab = Lab(admin, nobody)
        answers = at_once(6, lambda _: lab.send({}).status_code)
        assert answers == [200] * 6
        assert len(received(admin)) == 1

    def test_ids_are_each_configurations_own(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        for name in ("lab", "other"):
            lab = Lab(admin, nobody, name=name)
            body = json.dumps({"from": name}).encode()
            ok(lab.post(body, lab.signed(body), name))
        assert [one["source"] for one in received(admin)] == ["lab", "other"]


class TestLongAfterwards:
    """Retention forgets the keys of requests; a message that GitHub signed stays valid for ever."""

    def forget_what_is_old(self) -> int:
        own = services(pooled=True)
        with own.engine.begin() as connection:
            long_ago = utcnow() - timedelta(days=1000)
            connection.execute(tables.idempotency_key.update().values(created_at=long_ago))
        found = own.housekeeper.count(utcnow(), ["idempotency_key"])["idempotency_key"]
        assert own.retention.purge()["idempotency_key"] == found
        return found

    def kept(self) -> int:
        with services(pooled=True).engine.connect() as connection:
            return len(connection.execute(tables.idempotency_key.select()).fetchall())

    def test_what_github_signed_does_nothing_a_second_time(
        self, admin: httpx.Client, nobody: httpx.Client, task_id: int
    ) -> None:
        lab = Lab(admin, nobody, signature="github", on_receive={"execute_task": task_id})
        first = ok(lab.send_as_github(b'{"a": 1}'))
        assert self.forget_what_is_old() == 0
        assert ok(lab.send_as_github(b'{"a": 1}')) == first
        assert attempts(admin, task_id) == len(received(admin)) == 1

    def test_what_tells_its_time_is_forgotten(self, admin: httpx.Client, nobody: httpx.Client) -> None:
        lab = Lab(admin, nobody)
        ok(lab.send({}))
        assert self.forget_what_is_old() == 1
        assert "timestamp" in problem(lab.send({}, age=301), 401)["detail"]

    @pytest.mark.parametrize("signature", ["standard", "github"])
    def test_messages_go_with_their_notification(
        self, admin: httpx.Client, nobody: httpx.Client, task_id: int, signature: str
    ) -> None:
        lab = Lab(admin, nobody, signature=signature, on_receive={"execute_task": task_id})
        ok(lab.send_as_github(b"{}") if signature == "github" else lab.send({}))
        assert self.kept() == 2
        ok(admin.delete("notifications/configs/lab"))
        assert self.kept() == 0


class TestRules:
    def test_executing_a_task(self, admin: httpx.Client, nobody: httpx.Client, task_id: int) -> None:
        lab = Lab(admin, nobody, on_receive={"execute_task": task_id})
        answer = ok(lab.send({"type": "t", "data": {"parameters": {"threshold": 0.5}}}))
        assert answer["message"] == f"Task {task_id} execution started with 3 DAG chain"
        (attempt,) = ok(admin.get(f"tasks/{task_id}/executions"))["items"]
        assert attempt["execution_id"] == answer["execution_id"]
        assert attempt["parameters"] == {"threshold": 0.5}
        assert attempt["requested_by"] == "admin"
        assert status(admin, task_id) == "running"
        problem(lab.send({"type": "t"}, "msg_2"), 409)
        assert "parameters" in problem(lab.send({"parameters": [1]}, "msg_3"), 422)["errors"]

    def test_registering_a_dataset(
        self, admin: httpx.Client, nobody: httpx.Client, dataset_body: dict[str, Any]
    ) -> None:
        rule = {"data_type": "Vector", "description": "from the lab"}
        lab = Lab(admin, nobody, on_receive={"register_dataset": rule})
        told = {"name": "night", "path": dataset_body["path"], "description": "mine", "size": 3}
        answer = ok(lab.send({"data": told}))
        assert ok(lab.send({"data": told})) == answer
        made = ok(admin.get(f"datasets/{answer['dataset_id']}"))
        assert (made["name"], made["description"], made["data_type"]) == ("night", "from the lab", "Vector")
        assert "name" in problem(lab.send({"data": {}}, "msg_2"), 422)["errors"]
        outside = {"name": "x", "path": "/etc"}
        assert "path" in problem(lab.send(outside, "msg_3"), 422)["errors"]
        problem(lab.send({"data": {**told, "a": 1}}, "msg_4"), 409)
        assert ok(admin.get("datasets"))["total"] == 1

    def test_as_far_as_the_creator_may_now(
        self, admin: httpx.Client, nobody: httpx.Client, client: Clients, task_id: int
    ) -> None:
        body = {
            "username": "founder",
            "email": "founder@svops.example",
            "name": "F",
            "password": "a long one indeed",
            "roles": ["Admin"],
        }
        founder_id = ok(admin.post("users", json=body), 201)["id"]
        founder = client(None)
        founder.headers["Authorization"] = f"Bearer {hosting().token('founder')}"
        try:
            lab = Lab(founder, nobody, on_receive={"execute_task": task_id})
            ok(admin.put(f"users/{founder_id}", json={"roles": ["Viewer"]}))
            problem(lab.send({}), 403)
            ok(admin.put(f"users/{founder_id}", json={"roles": ["Op"]}))
            ok(lab.send({}))
            assert attempts(admin, task_id) == 1
            ok(admin.put(f"users/{founder_id}", json={"is_active": False}))
            assert "founder" not in problem(lab.send({}, "msg_2"), 403)["detail"]
        finally:
            assert admin.delete(f"users/{founder_id}").status_code == 204
        problem(lab.send({}, "msg_3"), 403)
