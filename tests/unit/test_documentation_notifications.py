"""What docs/notifications.md shows in Python, as it stands there; tests/integration has its commands."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from standardwebhooks.webhooks import Webhook

from svops_plugin.orchestration import SVOpsNotifier
from tests.unit.documentation import the_block

DOCUMENT = "docs/notifications.md"


def run(saying: str, **names: Any) -> dict[str, Any]:
    """Run the block that says this, and return what it defines."""
    exec(the_block(DOCUMENT, "python", saying), names)  # noqa: S102  # it is ours
    return names


def test_a_dag_can_tell_something() -> None:
    notifier = run("SVOpsNotifier")["on_failure_callback"]
    assert isinstance(notifier, SVOpsNotifier)
    assert notifier.config == "oncall"
    assert "run_id" in notifier.message


def test_a_signature_is_checked() -> None:
    secret, body, now = "whsec_c2VjcmV0", json.dumps({"type": "task.failed"}), datetime.now(timezone.utc)
    headers = {
        "webhook-id": "one",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("one", now, body),
    }
    assert run("Webhook", secret=secret, body=body, headers=headers)["event"] == {"type": "task.failed"}
