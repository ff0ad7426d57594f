"""With SimpleAuthManager, which Airflow 3 starts with, everything but keeping users works: the pages, too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

MANAGER = "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
# In a process of its own: an Airflow has one auth manager.
VISIT = """
import json
from airflow.api_fastapi.app import create_app
from fastapi.testclient import TestClient

client, told = TestClient(create_app(), base_url="http://svops.example"), {}

def look(name, path):
    answer = client.get(path, follow_redirects=False)
    told[name] = [answer.status_code, answer.headers.get("location", ""), answer.text]

look("nobody", "/pluginsv2/svops/board")
for username in ("ann", "root"):
    body = {"username": username, "password": "secret-" + username}
    token = client.post("/svops/api/v1/auth/login", json=body).json()["access_token"]
    client.cookies.set("_token", token)
    for path in ("board", "workflows/new", "notifications", "records/tasks/"):
        look(username + " " + path, "/pluginsv2/svops/" + path)
    look(username + " tasks", "/svops/api/v1/tasks")
    look(username + " users", "/svops/api/v1/users")
print(json.dumps(told))
"""


@pytest.mark.only_on("airflow3", "Auth manager")
def test_the_pages_open(airflow_metadata: None, svops_database: str, tmp_path: Path) -> None:  # noqa: ARG001
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps({"ann": "secret-ann", "root": "secret-root"}))
    environment = {
        **os.environ,
        "AIRFLOW__CORE__AUTH_MANAGER": MANAGER,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ann:viewer,root:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
    }
    command = [sys.executable, "-W", "ignore", "-c", VISIT]
    visit = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert visit.returncode == 0, visit.stderr[-4000:]
    told: dict[str, Any] = json.loads(visit.stdout.splitlines()[-1])
    status, location, _ = told["nobody"]
    assert (status, "login" in location) == (302, True)
    statuses = {name: status for name, (status, _, _) in told.items()}
    assert statuses == {
        "nobody": 302,
        "ann board": 200,
        "ann workflows/new": 403,
        "ann notifications": 403,
        "ann records/tasks/": 200,
        "ann tasks": 200,
        "ann users": 403,
        "root board": 200,
        "root workflows/new": 200,
        "root notifications": 200,
        "root records/tasks/": 200,
        "root tasks": 200,
        "root users": 501,
    }
    assert "Notifications</a>" not in told["ann board"][2]
    assert "Notifications</a>" in told["root board"][2]
