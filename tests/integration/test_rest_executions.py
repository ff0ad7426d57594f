"""``/executions``: what came of them, their files, and several side by side."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from svops_plugin.application.controller import ControllerRun
from svops_plugin.bootstrap import services
from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.contract import CHAIN
from tests.integration.desk import cause
from tests.integration.support import ok, problem
from tests.server import BASE

ATTEMPT = {"created_at", "ended_at", "requested_by", "parameters", "note", "controller_run_id"}
Leave = Callable[..., str]


@pytest.fixture
def execution(admin: Client, running: int) -> dict[str, Any]:
    """The first execution of a task, as its status tells of it."""
    found: dict[str, Any] = ok(admin.get(f"tasks/{running}/status"))
    return found


@pytest.fixture
def leave(admin: Client, execution: dict[str, Any], tmp_path: Path) -> Leave:
    """Returns a function that lets the execution leave a file, and returns where it is sent from."""
    folder = OUTPUT / tmp_path.name
    folder.mkdir()
    first = execution["workflow_runs"][0]

    def left(content: bytes, name: str, media_type: str, path: Path | None = None) -> str:
        file = path or folder / f"{len(list(folder.iterdir()))}"
        file.write_bytes(content)
        services().tracker(first["dag_id"], first["external_trigger_id"]).log_artifact(file, name, media_type)
        found = ok(admin.get(f"executions/{execution['execution_id']}"))["artifacts"]
        (url,) = [one["url"] for one in found if one["name"] == name]
        return f"{BASE}{url}"

    return left


class TestShow:
    def test_the_answer(self, admin: Client, execution: dict[str, Any], leave: Leave) -> None:
        first = execution["workflow_runs"][0]
        tracker = services().tracker(first["dag_id"], first["external_trigger_id"])
        tracker.log_metric("accuracy", 0.5, None)
        tracker.log_metric("loss", 2.0, 3)
        leave(b"<p>", "report.html", "text/html")
        found = ok(admin.get(f"executions/{execution['execution_id']}"))
        assert found.keys() >= execution.keys() - {"estimate"} | ATTEMPT
        for name in ("execution_id", "task_id", "task_name", "attempt", "workflow_runs", "overall_status"):
            assert found[name] == execution[name], name
        assert found["metrics"] == [
            {"name": "accuracy", "value": 0.5, "step": None, "dag_id": CHAIN[0]},
            {"name": "loss", "value": 2.0, "step": 3, "dag_id": CHAIN[0]},
        ]
        (report,) = found["artifacts"]
        assert (report["name"], report["media_type"], report["size"]) == ("report.html", "text/html", 3)
        assert report["dag_id"] == CHAIN[0]
        assert found["task_snapshot"]["name"] == "t"
        assert found["dataset_snapshot"]["name"] == "small"
        since = {"since": found["last_event_id"]}
        assert ok(admin.get("events", params=since))["items"] == []

    @pytest.mark.parametrize("path", ["executions/99", "executions/99/artifacts/x", "executions/0"])
    def test_what_is_not_there(self, admin: Client, path: str) -> None:
        assert "no execution" in problem(admin.get(path), 404)["detail"]

    def test_an_id_that_is_none(self, admin: Client) -> None:
        problem(admin.get("executions/x"), 404)


class TestArtifact:
    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_at_both_addresses(self, admin: Client, leave: Leave, execution: Any, root: str) -> None:
        leave(b"hello", "a b.txt", "text/plain")
        (left,) = ok(admin.get(f"{BASE}{root}/executions/{execution['execution_id']}"))["artifacts"]
        assert left["url"] == f"{root}/executions/{execution['execution_id']}/artifacts/a%20b.txt"
        for end in ("", "/"):
            assert admin.get(f"{BASE}{left['url']}{end}").content == b"hello"

    @pytest.mark.parametrize("name", ["plots/a.svg", "é ?#%.txt", "x" * 250, "a.tar.gz", "100%"])
    def test_any_name(self, admin: Client, leave: Leave, name: str) -> None:
        assert admin.get(leave(b"hello", name, "text/plain")).content == b"hello"

    @pytest.mark.parametrize(
        ("media_type", "sent"),
        [
            ("text/html", "text/html; charset=utf-8"),
            ("image/svg+xml", "image/svg+xml; charset=utf-8"),
            ("image/png", "image/png"),
            ("", "application/octet-stream"),
            ("text/html\r\nX-Other: 1", "application/octet-stream"),
            ("text/html; charset=utf-7", "application/octet-stream"),
            ("nothing", "application/octet-stream"),
        ],
    )
    def test_it_runs_nothing_and_is_what_it_says(
        self, admin: Client, leave: Leave, media_type: str, sent: str
    ) -> None:
        answer = admin.get(leave(b"<script>alert(1)</script>", "report.html", media_type))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == sent
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "private" in answer.headers["cache-control"]
        policy = [part.strip() for part in answer.headers["content-security-policy"].split(";")]
        assert "sandbox" in policy  # with nothing allowed: no scripts, and an origin of its own
        assert "default-src 'none'" in policy
        assert not [part for part in policy if part.startswith(("script-src", "connect-src"))]
        assert answer.headers["content-disposition"] == "inline; filename=report.html"

    def test_to_save(self, admin: Client, leave: Leave) -> None:
        url = leave(b"x", "models/a.joblib", "application/octet-stream")
        answer = admin.get(url, params={"download": "true"})
        assert answer.headers["content-disposition"] == "attachment; filename=a.joblib"
        assert set(problem(admin.get(url, params={"download": "maybe"}), 422)["errors"]) == {"download"}

    def test_a_range(self, admin: Client, leave: Leave) -> None:
        url = leave(b"0123456789", "a.bin", "application/octet-stream")
        part = admin.get(url, headers={"Range": "bytes=2-4"})
        assert (part.status_code, part.content) == (206, b"234")
        assert part.headers["content-range"] == "bytes 2-4/10"
        problem(admin.get(url, headers={"Range": "bytes=20-"}), 416)

    def test_it_is_not_sent_twice(self, admin: Client, leave: Leave) -> None:
        url = leave(b"0123456789", "a.bin", "application/octet-stream")
        first = admin.get(url)
        again = admin.get(url, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        leave(b"another", "a.bin", "application/octet-stream")
        assert admin.get(url, headers={"If-None-Match": first.headers["etag"]}).content == b"another"

    def test_a_file_that_has_gone(self, admin: Client, leave: Leave, tmp_path: Path) -> None:
        path = OUTPUT / f"{tmp_path.name}.txt"
        url = leave(b"x", "a.txt", "text/plain", path)
        path.unlink()
        answer = problem(admin.get(url), 410)
        assert (answer["type"], str(path) in answer["detail"]) == ("urn:svops:problem:gone", True)

    def test_a_name_that_nothing_has(self, admin: Client, execution: dict[str, Any]) -> None:
        for name in ("report.html", "..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd"):
            problem(admin.get(f"executions/{execution['execution_id']}/artifacts/{name}"), 404)

    def test_a_file_outside(self, admin: Client, leave: Leave, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        answer = problem(admin.get(leave(b"secret", "a", "text/plain", secret)), 403)
        assert "output_roots" in answer["detail"]
        link = OUTPUT / f"{tmp_path.name}.link"
        link.symlink_to(secret)
        problem(admin.get(leave(b"secret", "a", "text/plain", link)), 403)


class TestCompare:
    def test_the_answer(self, admin: Client, execution: dict[str, Any], leave: Leave) -> None:
        task_id, first = execution["task_id"], execution["workflow_runs"][0]
        services().tracker(first["dag_id"], first["external_trigger_id"]).log_metric("accuracy", 0.5, None)
        leave(b'{"labels": ["a"], "matrix": [[1]]}', "confusion_matrix.json", "application/json")
        run_id = first["external_trigger_id"].rsplit("__", 1)[0]
        services().controller.begin_step(ControllerRun(run_id, {}), 1, CHAIN[0], lambda _: None)
        services().controller.fail(run_id, cause(CHAIN[0]))
        again = ok(admin.post(f"tasks/{task_id}/execute", json={"parameters": {"x": 1}}), 201)
        ids = [again["execution_id"], execution["execution_id"]]
        found = ok(admin.get("executions/compare", params={"ids": f"{ids[0]},{ids[1]}"}))
        assert [one["execution_id"] for one in found["executions"]] == ids
        assert [one["status"] for one in found["executions"]] == ["running", "failed"]
        assert [one["task_name"] for one in found["executions"]] == ["t", "t"]
        assert found["differences"] == [
            {"name": "parameters.x", "values": [1, None]},
            {"name": "parameters", "values": [None, {}]},
        ]
        assert found["metrics"] == [{"name": "accuracy", "values": [None, 0.5]}]
        assert found["curves"] == []
        assert found["confusion_matrices"] == [None, {"labels": ["a"], "matrix": [[1]]}]
        assert found["series"] == [
            {
                "name": "accuracy",
                "task_id": task_id,
                "points": [{"execution_id": ids[1], "attempt": 1, "value": 0.5}],
            }
        ]

    @pytest.mark.parametrize(
        "ids", [None, "", "1", "1,", "1,1", "1,x", "1,-2", "1,+2", "1,2,3,4,5,6,7", "1, 2", "1,99999999999"]
    )
    def test_bad_ids(self, admin: Client, ids: str | None) -> None:
        asked = {} if ids is None else {"ids": ids}
        assert set(problem(admin.get("executions/compare", params=asked), 422)["errors"]) == {"ids"}

    def test_what_is_not_there(self, admin: Client, execution: dict[str, Any]) -> None:
        asked = {"ids": f"{execution['execution_id']},99"}
        assert "no execution 99" in problem(admin.get("executions/compare", params=asked), 404)["detail"]
