"""Keeping notifications through REST, and what is refused there."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.notifications import NOTIFICATION_TYPES
from svops_plugin.infrastructure.airflow.fernet import FernetCipher
from tests.conftest import OUTPUT
from tests.integration.live import an_event, happen
from tests.integration.support import ok, problem
from tests.server import Clients

CONFIGS = "notifications/configs"
HOOK = {"name": "hook", "channel": "webhook", "webhook_url": "https://1.1.1.1/services/T0SECRET"}
FIELDS = {
    "name",
    "channel",
    "webhook_url",
    "enabled",
    "notification_types",
    "filters",
    "signature",
    "on_receive",
    "created_by_id",
    "created_at",
    "updated_at",
    "version",
}


class TestKeeping:
    def test_there_and_back(self, admin: httpx.Client) -> None:
        body = {**HOOK, "notification_types": ["task_failed"], "filters": {"customer": "acme"}}
        made = ok(admin.post(CONFIGS, json=body), 201)
        assert made.keys() == FIELDS | {"secret"}
        assert made["secret"].startswith("whsec_")
        assert made["webhook_url"] == "https://1.1.1.1/****"
        shown = ok(admin.get(f"{CONFIGS}/hook"))
        assert shown == {name: made[name] for name in FIELDS}
        assert ok(admin.get(CONFIGS))["items"] == [shown]
        assert "SECRET" not in admin.get(CONFIGS).text
        changed = ok(admin.put(f"{CONFIGS}/hook", json={"filters": {}, "webhook_url": shown["webhook_url"]}))
        assert (changed["filters"], changed["version"]) == ({}, 2)
        assert ok(admin.post(f"{CONFIGS}/hook/disable"))["message"] == "Notification hook is disabled."
        assert ok(admin.get(CONFIGS, params={"enabled": True}))["total"] == 0
        assert ok(admin.post(f"{CONFIGS}/hook/enable"))["message"] == "Notification hook is enabled."
        assert ok(admin.delete(f"{CONFIGS}/hook"))["message"] == "Notification hook was deleted."
        problem(admin.get(f"{CONFIGS}/hook"), 404)

    def test_the_address_that_was_shown_masked_changes_nothing(self, admin: httpx.Client) -> None:
        ok(admin.post(CONFIGS, json=HOOK), 201)
        masked = ok(admin.get(f"{CONFIGS}/hook"))["webhook_url"]
        ok(admin.put(f"{CONFIGS}/hook", json={"webhook_url": masked, "enabled": False}))
        with services(pooled=True).transactions() as uow:
            config = uow.notification_configs.named("hook")
        assert config is not None
        assert FernetCipher().decrypt(config.sealed_url or "") == HOOK["webhook_url"]

    def test_types(self, admin: httpx.Client) -> None:
        told = ok(admin.get("notifications/types"))
        assert told["notification_types"] == list(NOTIFICATION_TYPES.values())
        assert {"slack", "webhook", "email", "inbound"} <= set(told["channels"])

    def test_every_write_is_an_event_without_a_secret(self, admin: httpx.Client) -> None:
        ok(admin.post(CONFIGS, json=HOOK), 201)
        ok(admin.put(f"{CONFIGS}/hook", json={"enabled": False}))
        ok(admin.post(f"{CONFIGS}/hook/rotate-secret"))
        ok(admin.delete(f"{CONFIGS}/hook"))
        answer = admin.get("events", params={"since": 0})
        told = [(one["type"], one["data"].get("changed")) for one in ok(answer)["items"]]
        assert told == [
            ("notification.created", None),
            ("notification.updated", ["enabled"]),
            ("notification.updated", ["secret"]),
            ("notification.deleted", None),
        ]
        assert "SECRET" not in answer.text
        assert "whsec_" not in answer.text

    def test_a_new_secret(self, admin: httpx.Client) -> None:
        first = ok(admin.post(CONFIGS, json=HOOK), 201)["secret"]
        second = ok(admin.post(f"{CONFIGS}/hook/rotate-secret"))["secret"]
        assert second.startswith("whsec_")
        assert second != first

    def test_events_are_for_those_who_may_read_notifications(self, client: Clients) -> None:
        ok(client("admin").post(CONFIGS, json=HOOK), 201)
        for name, number in (("admin", 1), ("op", 1), ("user", 0), ("viewer", 0)):
            assert len(ok(client(name).get("events", params={"since": 0}))["items"]) == number, name

    def test_a_test_goes_the_way_of_all(self, admin: httpx.Client) -> None:
        ok(admin.post(CONFIGS, json=HOOK), 201)
        assert "deliveries" in ok(admin.post(f"{CONFIGS}/hook/test"))["message"]
        services(pooled=True).dispatcher.fan_out()
        (delivery,) = ok(admin.get(f"{CONFIGS}/hook/deliveries", params={"status": "pending"}))["items"]
        assert (delivery["event_type"], delivery["attempts"]) == ("notification.requested", 0)
        again = f"{CONFIGS}/hook/deliveries/{delivery['id']}/redeliver"
        assert "on its way" in problem(admin.post(again), 409)["detail"]

    def test_an_event_that_is_not_kept_cannot_be_sent_again(self, admin: httpx.Client) -> None:
        ok(admin.post(CONFIGS, json=HOOK), 201)
        ok(admin.post(f"{CONFIGS}/hook/test"))
        own = services(pooled=True)
        own.dispatcher.fan_out()
        happen(an_event())
        (delivery,) = ok(admin.get(f"{CONFIGS}/hook/deliveries"))["items"]
        with own.transactions() as uow:
            uow.old.delete("event", uow.old.some("event", utcnow(), 0, 100))
        own.dispatcher.send(delivery["id"])
        (delivery,) = ok(admin.get(f"{CONFIGS}/hook/deliveries"))["items"]
        assert (delivery["status"], delivery["attempts"]) == ("failed", 1)
        refused = admin.post(f"{CONFIGS}/hook/deliveries/{delivery['id']}/redeliver")
        assert "not kept" in problem(refused, 409)["detail"]


BAD = [
    ("channel", {"channel": "pigeon"}),
    ("notification_types.0", {"notification_types": ["task_exploded"]}),
    ("name", {"name": "a/b"}),
    ("name", {"name": ""}),
    ("webhook_url", {"webhook_url": None}),
    ("webhook_url", {"webhook_url": "no address"}),
    ("webhook_url", {"webhook_url": "https://"}),
    ("webhook_url", {"webhook_url": "https://[::1"}),
    ("webhook_url", {"webhook_url": "https://1.1.1.1:99999/"}),
    ("webhook_url", {"webhook_url": "http://1.1.1.1/hook"}),
    ("webhook_url", {"webhook_url": "ftp://1.1.1.1/hook"}),
    ("webhook_url", {"webhook_url": "file:///etc/passwd"}),
    ("webhook_url", {"webhook_url": "https://127.0.0.1/hook"}),
    ("webhook_url", {"webhook_url": "https://localhost/hook"}),
    ("webhook_url", {"webhook_url": "https://169.254.169.254/latest/meta-data"}),
    ("webhook_url", {"webhook_url": "https://10.1.2.3/"}),
    ("webhook_url", {"webhook_url": "https://[::ffff:10.1.2.3]/"}),
    ("webhook_url", {"webhook_url": "https://[fd00::1]/"}),
    ("webhook_url", {"webhook_url": "https://2130706433/"}),
    ("webhook_url", {"channel": "email", "webhook_url": "mailto://127.0.0.1?to=a@b.example"}),
    ("webhook_url", {"channel": "email", "webhook_url": "https://1.1.1.1/"}),
    ("webhook_url", {"channel": "discord", "webhook_url": "https://1.1.1.1/hook"}),
    (
        "webhook_url",
        {"channel": "discord", "webhook_url": "https://discord.com/api/webhooks/1/2?template=/etc/passwd"},
    ),
    ("webhook_url", {"channel": "mattermost", "webhook_url": f"mmost://localhost/{'a' * 26}"}),
    ("webhook_url", {"channel": "telegram", "webhook_url": "tgram://nothing"}),
    ("webhook_url", {"channel": "inbound"}),
    ("signature", {"signature": "github"}),
    ("on_receive", {"on_receive": {"execute_task": 1}}),
    ("filters.colour", {"filters": {"colour": "red"}}),
    ("filters.task_id", {"filters": {"task_id": "1"}}),
]


@pytest.mark.parametrize(("field", "values"), BAD)
def test_what_is_refused_names_its_field(admin: httpx.Client, field: str, values: dict[str, Any]) -> None:
    body = {name: value for name, value in {**HOOK, **values}.items() if value is not None}
    refused = problem(admin.post(CONFIGS, json=body), 422)
    assert field in refused["errors"], refused
    assert ok(admin.get(CONFIGS))["total"] == 0


@pytest.mark.parametrize(
    "rule",
    [{}, {"execute_task": 0}, {"execute_task": 99}, {"register_dataset": {"owner": "me"}}, {"run": "rm"}],
)
def test_rules_that_cannot_be(admin: httpx.Client, rule: dict[str, Any]) -> None:
    refused = problem(admin.post(CONFIGS, json={"name": "in", "channel": "inbound", "on_receive": rule}), 422)
    assert any(name.startswith("on_receive") for name in refused["errors"])


def test_conflicts(admin: httpx.Client) -> None:
    ok(admin.post(CONFIGS, json=HOOK), 201)
    assert "taken" in problem(admin.post(CONFIGS, json=HOOK), 409)["detail"]
    assert (
        "version"
        in problem(admin.put(f"{CONFIGS}/hook", json={"version": 9, "enabled": False}), 409)["detail"]
    )
    ok(admin.post(CONFIGS, json={"name": "in", "channel": "inbound"}), 201)
    assert "only receives" in problem(admin.post(f"{CONFIGS}/in/test"), 409)["detail"]
    mail = {"name": "mail", "channel": "email", "webhook_url": "mailto://a:b@mail.example?to=c@d.example"}
    assert ok(admin.post(CONFIGS, json=mail), 201)["secret"] is None
    assert "no secret" in problem(admin.post(f"{CONFIGS}/mail/rotate-secret"), 409)["detail"]


def test_no_key_no_secret(admin: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.models import crypto

    class Plain:
        is_encrypted = False

    monkeypatch.setattr(crypto, "get_fernet", Plain)
    assert "fernet_key" in problem(admin.post(CONFIGS, json=HOOK), 503)["detail"]


def test_names_of_private_networks(admin: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SVOPS__NOTIFICATION_PRIVATE_TARGETS", "127.0.0.0/8")
    services.cache_clear()
    ok(admin.post(CONFIGS, json={**HOOK, "webhook_url": "http://127.0.0.1:8080/hook"}), 201)
    problem(admin.post(CONFIGS, json={**HOOK, "name": "b", "webhook_url": "https://10.0.0.1/hook"}), 422)


def test_what_is_kept_is_not_readable(admin: httpx.Client) -> None:
    made = ok(admin.post(CONFIGS, json=HOOK), 201)
    own = services(pooled=True)
    with own.engine.connect() as connection:
        rows = str(connection.exec_driver_sql("SELECT * FROM svops_notification_config").fetchall())
    assert "T0SECRET" not in rows
    assert made["secret"] not in rows
    assert str(OUTPUT) not in json.dumps(made)
