"""What stands before and behind every view, on both addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Client, Response

from tests.hosts import hosting
from tests.integration.support import is_empty, problem
from tests.server import BASE, PASSWORD, Clients

FRONT = "https://front.example"
JSON = {"Content-Type": "application/json"}
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class TestHeaders:
    @pytest.mark.parametrize("root", hosting().ROOTS)
    @pytest.mark.parametrize(
        ("method", "path", "status"),
        [
            ("GET", "tasks", 200),
            ("GET", "health", 200),
            ("GET", "tasks/1", 404),
            ("GET", "nothing", 404),
            ("PATCH", "tasks", 405),
            ("POST", "tasks", 422),
            ("OPTIONS", "tasks", 200),
        ],
    )
    def test_on_every_answer(self, *, admin: Client, root: str, method: str, path: str, status: int) -> None:
        answer = admin.request(method, f"{BASE}{root}/{path}")
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS

    def test_beside_the_api(self, nobody: Client) -> None:
        answer = nobody.get(f"{BASE}/svops/nothing")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS


class TestBodies:
    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_too_large(self, admin: Client, root: str, task_body: dict[str, Any]) -> None:
        content = json.dumps({**task_body, "description": "x" * 1024**2})
        answer = admin.post(f"{BASE}{root}/tasks", content=content, headers=JSON)
        assert "1,048,576 bytes" in problem(answer, 413)["detail"]
        assert is_empty(admin, "tasks")

    def test_too_large_before_anybody_signs_in(self, nobody: Client) -> None:
        problem(nobody.post("auth/login", content=b" " * (1024**2 + 1), headers=JSON), 413)
        problem(nobody.post("auth/login/oauth2", data={"username": "x" * 1024**2}), 413)

    def test_as_large_as_may_be(self, admin: Client, task_body: dict[str, Any]) -> None:
        content = json.dumps(task_body).ljust(1024**2)
        assert admin.post("tasks", content=content, headers=JSON).status_code == 201

    def test_of_unknown_length(self, admin: Client) -> None:
        def endless() -> Iterator[bytes]:
            yield b"{}"

        assert (
            "Content-Length" in problem(admin.post("tasks", content=endless(), headers=JSON), 411)["detail"]
        )

    @pytest.mark.parametrize(
        "content",
        [
            '{"name": "a", "name": "a", "customer": "c"}',
            '{"tags": [], "build_config_custom_conf": {"x": [{"name": 1, "name": 2}]}}',
        ],
    )
    def test_a_key_twice(self, admin: Client, content: str) -> None:
        detail = problem(admin.post("tasks", content=content, headers=JSON), 400)["detail"]
        assert "'name' more than once" in detail

    @pytest.mark.timeout(120)  # comparing each with each would take many minutes
    def test_one_of_very_many_keys_twice(self, nobody: Client) -> None:
        content = "{" + ",".join(f'"{number:x}":0' for number in (*range(90_000), 89_999)) + "}"
        detail = problem(nobody.post("auth/login", content=content, headers=JSON), 400)["detail"]
        assert "'15f8f' more than once" in detail

    @pytest.mark.parametrize("digits", [1001, 5000, 100_000])
    def test_a_number_that_is_too_long(self, admin: Client, task_id: int, digits: int) -> None:
        content = f'{{"parameters": {{"a": {"9" * digits}}}}}'
        answer = admin.post(f"tasks/{task_id}/execute", content=content, headers=JSON)
        assert "1000 digits" in problem(answer, 400)["detail"]


class TestOtherSites:
    @pytest.fixture
    def shared(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW__SVOPS__CORS_ORIGINS", f"{FRONT}, https://other.example")

    def preflight(self, client: Client, origin: str, root: str = "/svops/api/v1") -> Response:
        asked = {
            "Origin": origin,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        return client.options(f"{BASE}{root}/tasks/1", headers=asked)

    def test_none_may_read_by_default(self, admin: Client) -> None:
        for answer in (admin.get("tasks", headers={"Origin": FRONT}), self.preflight(admin, FRONT)):
            assert not [name for name in answer.headers if name.startswith("access-control-")]

    @pytest.mark.usefixtures("shared")
    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_a_preflight_needs_no_token(self, nobody: Client, root: str) -> None:
        answer = self.preflight(nobody, FRONT, root)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == FRONT
        assert "PUT" in answer.headers["access-control-allow-methods"]
        assert "Authorization" in answer.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in answer.headers

    @pytest.mark.usefixtures("shared")
    @pytest.mark.parametrize("path", ["tasks", "tasks/1", "nothing"])
    def test_answers_and_refusals_can_be_read(self, admin: Client, path: str) -> None:
        answer = admin.get(path, headers={"Origin": FRONT})
        assert answer.headers["access-control-allow-origin"] == FRONT
        assert "Origin" in answer.headers["vary"]

    @pytest.mark.usefixtures("shared")
    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://front.example", f"{FRONT}.x"])
    def test_no_others(self, admin: Client, origin: str) -> None:
        for answer in (admin.get("tasks", headers={"Origin": origin}), self.preflight(admin, origin)):
            assert "access-control-allow-origin" not in answer.headers
            assert "Origin" in answer.headers["vary"]

    @pytest.mark.usefixtures("shared")
    def test_a_cookie_is_good_for_none(self, nobody: Client, task_body: dict[str, Any]) -> None:
        hosting().sign_in(nobody, "admin")
        problem(nobody.post("tasks", json=task_body, headers={"Origin": FRONT}), 403)


class TestTokensOfPages:
    """A write with a cookie is good with the CSRF token that the host's own pages carry."""

    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_with_one(self, nobody: Client, root: str, task_body: dict[str, Any]) -> None:
        hosting().sign_in(nobody, "admin")
        headers = {"X-CSRFToken": hosting().csrf_token(nobody)}
        url = f"{BASE}{root}/tasks"
        assert nobody.post(url, json=task_body, headers=headers).status_code == 201
        problem(nobody.post(url, json=task_body, headers={"X-CSRFToken": headers["X-CSRFToken"] + "x"}), 403)
        problem(nobody.post(url, json=task_body, headers={**headers, "Origin": "https://evil.example"}), 403)

    def test_one_of_another_session(self, client: Clients, task_body: dict[str, Any]) -> None:
        own, other = client(None), client(None)
        for browser, name in ((own, "admin"), (other, "op")):
            hosting().sign_in(browser, name)
            hosting().csrf_token(browser)
        headers = {"X-CSRFToken": hosting().csrf_token(other)}
        problem(own.post("tasks", json=task_body, headers=headers), 403)


class TestRates:
    def guess(self, client: Client, username: str, path: str = "auth/login") -> Response:
        form = path.endswith("oauth2")
        sent: dict[str, Any] = {"username": username, "password": "wrong"}
        return client.post(path, data=sent) if form else client.post(path, json=sent)

    def test_guessing_a_password(self, nobody: Client) -> None:
        for number in range(10):
            problem(self.guess(nobody, "user", "auth/login" if number % 2 else "auth/login/oauth2"), 401)
        for username in ("user", "USER"):
            answer = self.guess(nobody, username)
            problem(answer, 429)
            assert 0 < int(answer.headers["retry-after"]) <= 30
        right = {"username": "user", "password": PASSWORD}
        problem(nobody.post("auth/login", json=right), 429)
        assert nobody.post("auth/login", json={**right, "username": "other"}).status_code == 200

    def test_a_right_password_begins_anew(self, nobody: Client) -> None:
        for _ in range(3):
            for _ in range(9):
                problem(self.guess(nobody, "user"), 401)
            right = {"username": "user", "password": PASSWORD}
            assert nobody.post("auth/login", json=right).status_code == 200

    def test_guessing_with_a_stolen_token(self, user: Client) -> None:
        passwords = {"current_password": "wrong", "new_password": "another one"}
        answers = [user.post("auth/change-password", json=passwords).status_code for _ in range(12)]
        assert answers[10:] == [429, 429]
        assert 429 not in answers[:10]

    def test_writing(
        self,
        client: Clients,
        task_body: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW__SVOPS__WRITES_PER_MINUTE", "3")
        user, other = client("user"), client("other")
        answers = [user.post("tasks", json=task_body) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [201, 201, 201, 429]
        assert problem(answers[3], 429)["type"] == "urn:svops:problem:too-many-requests"
        assert 0 < int(answers[3].headers["retry-after"]) <= 20
        assert user.get("tasks").json()["total"] == 3
        assert other.post("tasks", json=task_body).status_code == 201
