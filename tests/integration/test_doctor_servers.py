"""What the doctor's task is told by servers, good and bad, that it asks over HTTP, and by its supervisor."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from svops_plugin.application.doctor import Finding, examine
from svops_plugin.bootstrap import host, services
from tests.conftest import PostgreSQL
from tests.integration.deployment import deployment, jobs
from tests.integration.live import Serve, serve, serving

__all__ = ["deployment", "jobs", "serve"]


@contextmanager
def answering(status: int, body: str) -> Iterator[int]:
    """Listen at a port, and answer everything with this."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class Refused:
    """A task instance whose supervisor passes on what the server refuses with."""

    def __init__(self, status: int) -> None:
        self._status = status

    def get_dag(self, dag_id: str) -> Any:
        from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
        from airflow.sdk.execution_time.comms import ErrorResponse

        detail = {"status_code": self._status, "message": dag_id}
        raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail=detail))


@pytest.mark.only_on("airflow3", "Server")
@pytest.mark.parametrize(("status", "words"), [(404, "DAG svops_doctor is missing"), (500, "check itself")])
def test_a_supervisor_passes_on_a_refusal(status: int, words: str) -> None:
    checks = services().checks.on_a_worker({}, Refused(status))
    (finding,) = examine({"DAGs": checks["DAGs"]})
    assert not finding.ok
    assert words in finding.message


@pytest.mark.usefixtures("deployment")
class TestWhatAServerTellsATask:
    def told(self, port: int, check: str, monkeypatch: pytest.MonkeyPatch) -> Finding:
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        for section in ("API", "WEBSERVER"):
            monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", f"http://127.0.0.1:{port}")
        return examine({check: services().checks.on_a_worker({}, None)[check]})[0]

    def test_svops(
        self, serve: Serve, deployment: str, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with serve() as port:
            good = self.told(port, "server", monkeypatch)
            postgresql.close(deployment)
            bad = self.told(port, "server", monkeypatch)
        assert (good.ok, bad.ok) == (True, False)
        assert "is healthy at 127.0.0.1" in good.message
        assert "does not answer" in bad.message

    @pytest.mark.only_on("airflow3", "Server")
    def test_processes(
        self, api_server: Any, jobs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ("scheduler", "triggerer", "dag-processor")
        with serving(api_server) as port:
            assert all(self.told(port, name, monkeypatch).message == "alive" for name in names)
            jobs(SchedulerJob=600)
            found = [self.told(port, name, monkeypatch) for name in names]
        assert not any(finding.ok for finding in found)
        assert "the last sign of one is of 20" in found[0].message
        assert "none ever ran" in found[1].message

    @pytest.mark.parametrize(
        ("status", "body", "airflow3", "airflow2"),
        [
            (200, "<!doctype html>", "install svops-plugin", "not looked at"),
            (404, '{"detail": "Not Found"}', "not looked at", "install svops-plugin"),
            (500, "Internal Server Error", "answers 500; see the server's log", "answers 500"),
            (503, "<html>no server is available", "answers 503; see the server's log", "answers 503"),
            (302, "", "not looked at", "not looked at"),
        ],
    )
    def test_a_server_without_svops(
        self, status: int, body: str, airflow3: str, airflow2: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with answering(status, body) as port:
            found = {name: self.told(port, name, monkeypatch) for name in ("server", "scheduler")}
        words = airflow3 if host().HAS_API_SERVER else airflow2
        assert words in found["server"].message
        assert found["server"].ok is (words == "not looked at")
        assert found["scheduler"].ok
        assert host().HAS_API_SERVER is ("not looked at" in found["scheduler"].message)

    @pytest.mark.only_on("airflow3", "Server")
    def test_a_server_without_its_database(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with answering(200, json.dumps({"metadatabase": {"status": "unhealthy"}})) as port:
            found = self.told(port, "triggerer", monkeypatch)
        assert not found.ok
        assert "metadata database does not answer" in found.message
