"""Who gets in, and what each role may do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client, Response

from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.support import problem
from tests.server import BASE, PASSWORD, Clients

PROTECTED = [
    ("GET", "auth/me"),
    ("GET", "datasets"),
    ("POST", "datasets"),
    ("GET", "datasets/1"),
    ("PUT", "datasets/1"),
    ("DELETE", "datasets/1"),
    ("GET", "tasks"),
    ("POST", "tasks"),
    ("GET", "tasks/1"),
    ("PUT", "tasks/1"),
    ("DELETE", "tasks/1"),
    ("POST", "tasks/1/execute"),
    ("GET", "tasks/1/status"),
]


class TestTokens:
    @pytest.mark.parametrize(("method", "path"), PROTECTED)
    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_nobody(self, nobody: Client, root: str, method: str, path: str) -> None:
        answer = nobody.request(
            method, f"{BASE}{root}/{path}", json={} if method in {"POST", "PUT"} else None
        )
        assert "Bearer" in problem(answer, 401)["detail"]
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize(
        "header",
        [
            "Bearer",
            "Bearer nothing",
            "Bearer a.b.c",
            "Basic YWRtaW46YWRtaW4=",
            "nothing",
            "Bearer \xe9",
        ],
    )
    def test_bad_tokens(self, nobody: Client, header: str) -> None:
        problem(nobody.get("tasks", headers={"Authorization": header.encode("latin-1")}), 401)

    def test_a_token_of_another_key(self, nobody: Client) -> None:
        import jwt

        forged = jwt.encode({"sub": "1", "exp": 4102444800, "aud": "apache-airflow"}, "x" * 64, "HS512")
        problem(nobody.get("tasks", headers={"Authorization": f"Bearer {forged}"}), 401)

    def test_a_token_without_signature(self, nobody: Client) -> None:
        import jwt

        unsigned = jwt.encode({"sub": "1", "exp": 4102444800}, None, "none")
        problem(nobody.get("tasks", headers={"Authorization": f"Bearer {unsigned}"}), 401)

    def test_an_expired_token(self, nobody: Client) -> None:
        token = hosting().token("admin", seconds=-60)
        problem(nobody.get("tasks", headers={"Authorization": f"Bearer {token}"}), 401)

    def test_the_scheme_has_no_case(self, nobody: Client, tokens: dict[str, str]) -> None:
        answer = nobody.get("tasks", headers={"Authorization": f"bEaReR {tokens['viewer']}"})
        assert answer.status_code == 200


class TestLogin:
    @pytest.mark.parametrize(
        ("username", "password"),
        [("admin", "wrong"), ("nobody", PASSWORD), ("admin", PASSWORD + " "), ("ADMIN'--", "x"), ("é", "é")],
    )
    def test_wrong_credentials(self, nobody: Client, username: str, password: str) -> None:
        body = problem(nobody.post("auth/login", json={"username": username, "password": password}), 401)
        assert "username or password" in body["detail"]

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({}, {"username", "password"}),
            ({"username": "admin"}, {"password"}),
            ({"username": "", "password": "x"}, {"username"}),
            ({"username": None, "password": "x"}, {"username"}),
            ({"username": ["admin"], "password": "x"}, {"username"}),
            ({"username": "a\0", "password": "x"}, {"username"}),
            ({"username": "a", "password": "x" * 1025}, {"password"}),
            ({"username": "a", "password": "x", "more": 1}, {"more"}),
        ],
    )
    def test_bad_bodies(self, nobody: Client, body: dict[str, Any], fields: set[str]) -> None:
        assert set(problem(nobody.post("auth/login", json=body), 422)["errors"]) == fields

    def test_the_password_is_not_repeated(self, nobody: Client) -> None:
        answer = nobody.post("auth/login", json={"username": ["a"], "password": "hush-hush"})
        assert "hush-hush" not in answer.text

    @pytest.mark.parametrize("body", [{}, {"refresh_token": "nothing"}])
    def test_bad_refresh(self, nobody: Client, body: dict[str, Any]) -> None:
        problem(nobody.post("auth/refresh", json=body), 401)

    def test_an_access_token_does_not_refresh(self, nobody: Client, tokens: dict[str, str]) -> None:
        problem(nobody.post("auth/refresh", json={"refresh_token": tokens["admin"]}), 401)


class TestInactive:
    @pytest.fixture
    def deactivate(self, tokens: dict[str, str]) -> Iterator[Callable[[], None]]:  # noqa: ARG002
        users = hosting().users()

        def set_active(active: bool) -> None:
            user = users.find_user("other")
            user.active = active
            assert users.update_user(user)
            hosting().forget_users()

        yield lambda: set_active(False)
        set_active(True)

    def test_nothing_of_theirs_is_accepted(
        self, client: Clients, nobody: Client, deactivate: Callable[[], None]
    ) -> None:
        credentials = {"username": "other", "password": PASSWORD}
        refresh_token = nobody.post("auth/login", json=credentials).json()["refresh_token"]
        assert client("other").get("tasks").status_code == 200
        deactivate()
        problem(client("other").get("tasks"), 401)
        problem(nobody.post("auth/login", json=credentials), 401)
        problem(nobody.post("auth/refresh", json={"refresh_token": refresh_token}), 401)


class TestCookie:
    @pytest.fixture
    def browser(self, nobody: Client) -> Client:
        hosting().sign_in(nobody, "admin")
        return nobody

    def write(self, browser: Client, root: str = "/svops/api/v1", **headers: str) -> Response:
        body = {"name": "t", "customer": "c", "log_out_path": str(OUTPUT)}
        return browser.post(f"{BASE}{root}/tasks", json=body, headers=headers)

    def test_reading_needs_nothing_else(self, browser: Client) -> None:
        assert browser.get("tasks").status_code == 200
        assert browser.get("tasks", headers={"Origin": "https://evil.example"}).status_code == 200

    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_a_write_needs_an_origin(self, browser: Client, root: str) -> None:
        assert "Origin" in problem(self.write(browser, root), 403)["detail"]
        assert self.write(browser, root, Origin=BASE).status_code == 201

    @pytest.mark.parametrize(
        "origin",
        [
            "https://evil.example",
            "null",
            "http://[",
            "",
            "http://svops.example.evil.example",
            "http://evil.svops.example",
        ],
    )
    def test_a_write_from_another_site(self, browser: Client, origin: str) -> None:
        problem(self.write(browser, Origin=origin), 403)
        assert browser.get("tasks").json()["total"] == 0

    def test_a_bearer_beside_the_cookie_counts(self, browser: Client, tokens: dict[str, str]) -> None:
        assert self.write(browser, Authorization=f"Bearer {tokens['user']}").status_code == 201

    @pytest.mark.parametrize("name", ["_token", "session"])
    def test_a_bad_cookie(self, nobody: Client, name: str) -> None:
        nobody.cookies.set(name, "nothing")
        problem(nobody.get("tasks"), 401)

    def test_a_token_leaves_no_session(self, viewer: Client, nobody: Client) -> None:
        """Airflow 2.11 would write one to its database at each request."""
        credentials = {"username": "viewer", "password": PASSWORD}
        for answer in (
            viewer.get("tasks"),
            nobody.post("auth/login", json=credentials),
            nobody.get("health"),
        ):
            assert answer.status_code == 200
            assert "set-cookie" not in answer.headers

    def test_svops_leaves_airflows_session_alone(self, browser: Client) -> None:
        answer = self.write(browser, Origin=BASE)
        assert "session=" not in answer.headers.get("set-cookie", "").replace("svops_session=", "")


class TestRoles:
    """The table of permissions at the routes; the table itself is tested without a server."""

    @pytest.fixture
    def made(self, client: Clients, dataset_folder: Path) -> dict[str, tuple[int, int]]:
        """A dataset and a task of each of two users."""
        found = {}
        for name in ("user", "op"):
            body: dict[str, Any] = {"name": name, "path": str(dataset_folder), "data_type": "Vector"}
            dataset = client(name).post("datasets", json=body).json()["id"]
            body = {"name": name, "customer": "c", "log_out_path": str(OUTPUT), "dataset_id": dataset}
            found[name] = (dataset, client(name).post("tasks", json=body).json()["id"])
        return found

    def writes(self, dataset: int, task: int) -> list[tuple[str, str, dict[str, Any] | None, int]]:
        return [
            ("PUT", f"datasets/{dataset}", {"description": "x"}, 200),
            ("PUT", f"tasks/{task}", {"description": "x"}, 200),
            ("POST", f"tasks/{task}/execute", {}, 201),
            ("DELETE", f"tasks/{task}", None, 409),  # allowed, were it not running
            ("DELETE", f"datasets/{dataset}", None, 409),  # allowed, were it not in use
        ]

    def test_viewers_read_and_write_nothing(
        self, viewer: Client, made: dict[str, tuple[int, int]], dataset_folder: Path
    ) -> None:
        dataset, task = made["user"]
        for path in ("datasets", f"datasets/{dataset}", "tasks", f"tasks/{task}", f"tasks/{task}/status"):
            assert viewer.get(path).status_code == 200
        for method, path, body, _ in self.writes(dataset, task):
            assert "roles" in problem(viewer.request(method, path, json=body), 403)["detail"]
        body = {"name": "v", "path": str(dataset_folder), "data_type": "Vector"}
        problem(viewer.post("datasets", json=body), 403)
        problem(viewer.post("tasks", json={"name": "v", "customer": "c", "log_out_path": str(OUTPUT)}), 403)

    def test_users_write_their_own(self, user: Client, made: dict[str, tuple[int, int]]) -> None:
        for method, path, body, status in self.writes(*made["user"]):
            assert user.request(method, path, json=body).status_code == status, path

    def test_users_do_not_write_what_is_others(
        self, client: Clients, user: Client, made: dict[str, tuple[int, int]]
    ) -> None:
        for method, path, body, _ in self.writes(*made["op"]):
            assert "belongs to somebody else" in problem(user.request(method, path, json=body), 403)["detail"]
        for method, path, body, _ in self.writes(*made["user"]):
            problem(client("other").request(method, path, json=body), 403)

    @pytest.mark.parametrize("name", ["op", "admin"])
    def test_ops_and_admins_write_everything(
        self, client: Clients, made: dict[str, tuple[int, int]], name: str
    ) -> None:
        for method, path, body, status in self.writes(*made["user"]):
            assert client(name).request(method, path, json=body).status_code == status, path
