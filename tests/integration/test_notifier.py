"""``SVOpsNotifier`` in callbacks of tasks and DAGs."""

from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest

from svops_plugin.bootstrap import services
from svops_plugin.domain.errors import NotFound
from svops_plugin.orchestration import SVOpsNotifier
from tests.integration.support import ok

HOOK = {"name": "hook", "channel": "webhook", "webhook_url": "https://1.1.1.1/"}


def context(**values: object) -> dict[str, object]:
    from airflow.providers.common.compat.sdk import DAG

    ti = SimpleNamespace(log_url="https://airflow.example/log")
    return {"dag": DAG("my_dag", schedule=None), "task_instance": ti, "run_id": "r", **values}


def test_it_only_writes_down_what_is_to_be_told(admin: httpx.Client) -> None:
    ok(admin.post("notifications/configs", json=HOOK), 201)
    notifier = SVOpsNotifier("hook", "{{ dag.dag_id }} has failed", "run {{ run_id }}")
    notifier(context())
    services(pooled=True).dispatcher.fan_out()
    (event,) = [
        one
        for one in ok(admin.get("events", params={"since": 0}))["items"]
        if one["type"] == "notification.requested"
    ]
    assert event["actor"] == "my_dag"
    assert event["data"] == {
        "name": "hook",
        "title": "my_dag has failed",
        "message": "run r",
        "log_url": "https://airflow.example/log",
    }
    (delivery,) = ok(admin.get("notifications/configs/hook/deliveries"))["items"]
    assert delivery["event_id"] == event["id"]


def test_an_unknown_name(svops_database: str) -> None:  # noqa: ARG001
    with pytest.raises(NotFound):
        SVOpsNotifier("nothing", "t").notify(context())
