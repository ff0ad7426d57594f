"""The examples in docs/notifications.md, as they stand there, with curl and openssl."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.live import Server, serve, server
from tests.integration.support import ok

__all__ = ["serve", "server"]
DOCUMENT = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text()


def block(language: str, saying: str) -> str:
    found = [text for text in re.findall(rf"```{language}\n(.*?)```", DOCUMENT, re.DOTALL) if saying in text]
    assert len(found) == 1
    return str(found[0])


def run(script: str, **variables: str) -> Any:
    """Run lines of a shell and return what they print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env={"PATH": "/usr/bin:/bin", **variables},
        check=True,
        capture_output=True,
    )
    return json.loads(done.stdout)


def test_a_chain_is_started_by_a_signed_webhook(
    server: Server, tokens: dict[str, str], dataset_body: dict[str, Any], task_body: dict[str, Any]
) -> None:
    admin = server.rest("admin")
    dataset = ok(admin.post("api/v1/datasets", json=dataset_body), 201)["id"]
    task = ok(admin.post("api/v1/tasks", json={**task_body, "dataset_id": dataset}), 201)["id"]
    svops = f"http://{server.address}/svops"
    made = run(block("shell", "execute_task"), SVOPS=svops, TOKEN=tokens["admin"], TASK=str(task))
    answer = run(block("bash", "openssl"), SVOPS=svops, SECRET=made["secret"])
    assert answer["message"] == f"Task {task} execution started with 3 DAG chain"
    standing = ok(admin.get(f"api/v1/tasks/{task}/status"))
    assert (standing["execution_id"], standing["overall_status"]) == (answer["execution_id"], "running")


def test_telling_somebody(server: Server, tokens: dict[str, str]) -> None:
    made = run(block("shell", "slack"), SVOPS=f"http://{server.address}/svops", TOKEN=tokens["admin"])
    assert (made["name"], made["webhook_url"]) == ("oncall", "https://hooks.slack.com/****")
