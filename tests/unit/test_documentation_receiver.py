"""The receiver in docs/getting-started.md, as it stands there."""

from __future__ import annotations

import threading
from http.server import HTTPServer
from typing import Any

import httpx
import pytest

from tests.unit.documentation import the_block

EVENT = {"type": "task.failed", "task_id": 1, "data": {"error": {"dag_id": "class_recall"}}}


def test_it_shows_what_comes(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "receiver"}
    exec(the_block("docs/getting-started.md", "python"), names)  # noqa: S102  # it is ours
    with HTTPServer(("127.0.0.1", 0), names["Receiver"]) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        answer = httpx.post(f"http://127.0.0.1:{server.server_port}/", json=EVENT, trust_env=False)
        serving.join()
    assert answer.status_code == 204
    said = capsys.readouterr().out.splitlines()  # on Airflow 2.11 logs go there, too
    assert said.count("task.failed 1 {'dag_id': 'class_recall'}") == 1
