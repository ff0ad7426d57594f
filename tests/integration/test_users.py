"""Users over REST: what administrators do to them, and everybody to themselves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from httpx import Client, Response

from svops_plugin.bootstrap import services
from svops_plugin.domain.errors import NotSupported
from tests.hosts import hosting
from tests.integration.contract import TOKENS, USER
from tests.integration.support import at_once, is_time, ok, problem
from tests.server import PASSWORD, Clients

SECRET = "a secret of nobody else"  # noqa: S105
_numbers = itertools.count(1)


@pytest.fixture
def body() -> dict[str, Any]:
    name = f"person_{next(_numbers)}"
    return {"username": name, "email": f"{name}@svops.example", "name": "Ada King Noel", "password": SECRET}


@pytest.fixture
def person(admin: Client, body: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = ok(admin.post("users", json=body), 201)
    return made


def login(client: Client, username: str, password: str = SECRET) -> Response:
    return client.post("auth/login", json={"username": username, "password": password})


def as_user(client: Client, username: str, password: str = SECRET) -> dict[str, str]:
    """Sign in, and return the headers that show it."""
    return {"Authorization": f"Bearer {ok(login(client, username, password))['access_token']}"}


def user_events(admin: Client, user_id: int) -> list[dict[str, Any]]:
    events = ok(admin.get("events", params={"user_id": user_id}))["items"]
    return [event for event in events if event["type"].startswith("user.")]


class TestCreate:
    def test_a_new_one(self, admin: Client, nobody: Client, body: dict[str, Any]) -> None:
        made = ok(admin.post("users", json=body), 201)
        assert made.keys() >= USER
        assert {name: made[name] for name in ("username", "email", "name")} == {
            name: body[name] for name in ("username", "email", "name")
        }
        assert (made["is_active"], made["is_superuser"], made["roles"]) == (True, False, ["User"])
        assert is_time(made["created_at"])
        assert ok(admin.get(f"users/{made['id']}")) == made
        assert ok(login(nobody, body["username"]))["user"] == made

    def test_the_first_space_parts_the_name(self, person: dict[str, Any]) -> None:
        user = hosting().users().find_user(person["username"])
        assert (user.first_name, user.last_name) == ("Ada", "King Noel")

    @pytest.mark.parametrize(
        ("values", "roles"),
        [
            ({"roles": ["Op", "Viewer"]}, ["Op", "Viewer"]),
            ({"is_superuser": True}, ["Admin"]),
            ({"is_superuser": False}, ["User"]),
            ({"is_superuser": True, "roles": ["Admin", "Op"]}, ["Admin", "Op"]),
            ({"is_superuser": False, "roles": ["Op"]}, ["Op"]),
        ],
    )
    def test_roles(
        self, admin: Client, body: dict[str, Any], values: dict[str, Any], roles: list[str]
    ) -> None:
        made = ok(admin.post("users", json={**body, **values}), 201)
        assert (made["roles"], made["is_superuser"]) == (roles, "Admin" in roles)

    def test_an_inactive_one(self, admin: Client, nobody: Client, body: dict[str, Any]) -> None:
        assert not ok(admin.post("users", json={**body, "is_active": False}), 201)["is_active"]
        problem(login(nobody, body["username"]), 401)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("username", "ab"),
            ("username", "x" * 151),
            ("username", None),
            ("email", "nowhere"),
            ("email", f"{'x' * 250}@svops.example"),
            ("name", ""),
            ("password", "seven77"),
            ("password", "x" * 129),
            ("password", "xxxxxxxxx"),
            ("password", 12345678),
            ("roles", []),
            ("roles", ["Nobody"]),
            ("roles", "Admin"),
            ("is_superuser", "perhaps"),
            ("created_at", "2026-01-01"),
        ],
    )
    def test_bad_fields(self, admin: Client, body: dict[str, Any], field: str, value: Any) -> None:
        answer = admin.post("users", json={**body, field: value})
        assert set(problem(answer, 422)["errors"]) == {field}
        assert SECRET not in answer.text

    @pytest.mark.parametrize("told", ["username", "email", "name"])
    def test_a_password_that_the_account_tells(self, admin: Client, body: dict[str, Any], told: str) -> None:
        answer = admin.post("users", json={**body, "password": body[told].upper()})
        assert set(problem(answer, 422)["errors"]) == {"password"}

    def test_roles_that_contradict(self, admin: Client, body: dict[str, Any]) -> None:
        answer = admin.post("users", json={**body, "is_superuser": True, "roles": ["User"]})
        assert set(problem(answer, 422)["errors"]) == {"is_superuser"}

    @pytest.mark.parametrize("same", ["username", "email"])
    def test_a_taken_name(
        self, admin: Client, body: dict[str, Any], person: dict[str, Any], same: str
    ) -> None:
        other = {**body, "username": "person_else", "email": "person_else@svops.example"}
        answer = admin.post("users", json={**other, same: person[same].upper()})
        assert same in problem(answer, 409)["detail"]

    def test_one_name_at_once(self, admin: Client, body: dict[str, Any]) -> None:
        answers = at_once(4, lambda _: admin.post("users", json=body).status_code)
        assert sorted(answers, key=str) == [201, 409, 409, 409]


class TestList:
    def test_search_order_and_pages(self, admin: Client, person: dict[str, Any]) -> None:
        def names(**params: Any) -> list[str]:
            return [user["username"] for user in ok(admin.get("users", params=params))["items"]]

        assert names(q=person["username"].upper()) == [person["username"]]
        assert names(q="a king") == [person["username"]]
        assert person["username"] not in names(q="%")
        assert names()[0] == person["username"]
        everybody = names(order_by="username")
        assert everybody == sorted(everybody)
        assert names(order_by="-username", skip=1, limit=2) == everybody[::-1][1:3]
        assert names(role="Viewer") == ["viewer"]
        assert names(is_active=False) == []
        listed = ok(admin.get("users", params={"limit": 1}))
        assert (listed["total"], len(listed["items"])) == (len(everybody), 1)
        assert listed["items"][0].keys() >= USER

    @pytest.mark.parametrize("order", ["password", "-nothing", ""])
    def test_bad_orders(self, admin: Client, order: str) -> None:
        assert "order_by" in problem(admin.get("users", params={"order_by": order}), 422)["errors"]

    def test_a_user_whom_svops_has_not_met(self, admin: Client) -> None:
        user_id = hosting().users().find_user("viewer").id
        assert ok(admin.get(f"users/{user_id}"))["username"] == "viewer"

    @pytest.mark.parametrize("number", ["0", "12345", "2147483648", "9" * 30])
    def test_nobody(self, admin: Client, number: str) -> None:
        problem(admin.get(f"users/{number}"), 404)
        problem(admin.put(f"users/{number}", json={}), 404)
        problem(admin.delete(f"users/{number}"), 404)


class TestUpdate:
    def test_a_change_and_its_event(self, admin: Client, person: dict[str, Any]) -> None:
        path = f"users/{person['id']}"
        changed = ok(admin.put(path, json={"name": "Ada", "roles": ["Op"], "email": person["email"]}))
        assert (changed["name"], changed["roles"]) == ("Ada", ["Op"])
        assert {**changed, "name": person["name"], "roles": ["User"]} == person
        created, updated = user_events(admin, person["id"])
        assert created["data"]["after"]["roles"] == ["User"]
        assert (updated["type"], updated["actor"]) == ("user.updated", "admin")
        assert updated["data"] == {
            "username": person["username"],
            "address": created["data"]["address"],
            "changed": ["name", "roles"],
            "before": {"name": "Ada King Noel", "roles": ["User"]},
            "after": {"name": "Ada", "roles": ["Op"]},
        }
        assert created["data"]["address"]

    def test_no_change_is_no_event(self, admin: Client, person: dict[str, Any]) -> None:
        assert ok(admin.put(f"users/{person['id']}", json={"name": person["name"]})) == person
        assert [event["type"] for event in user_events(admin, person["id"])] == ["user.created"]

    def test_a_new_password(self, admin: Client, nobody: Client, person: dict[str, Any]) -> None:
        old = ok(login(nobody, person["username"]))
        ok(admin.put(f"users/{person['id']}", json={"password": "something else"}))
        problem(login(nobody, person["username"]), 401)
        ok(login(nobody, person["username"], "something else"))
        problem(nobody.post("auth/refresh", json={"refresh_token": old["refresh_token"]}), 401)
        (event,) = user_events(admin, person["id"])[1:]
        assert event["data"]["changed"] == ["password"]
        assert "something else" not in str(event)

    def test_inactive_ends_everything(self, admin: Client, nobody: Client, person: dict[str, Any]) -> None:
        tokens = ok(login(nobody, person["username"]))
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        ok(nobody.get("auth/me", headers=headers))
        ok(admin.put(f"users/{person['id']}", json={"is_active": False}))
        problem(nobody.get("auth/me", headers=headers), 401)
        problem(nobody.post("auth/refresh", json={"refresh_token": tokens["refresh_token"]}), 401)
        ok(admin.put(f"users/{person['id']}", json={"is_active": True}))
        problem(nobody.post("auth/refresh", json={"refresh_token": tokens["refresh_token"]}), 401)
        ok(login(nobody, person["username"]))

    def test_a_role_counts_at_once(self, admin: Client, nobody: Client, person: dict[str, Any]) -> None:
        headers = as_user(nobody, person["username"])
        problem(nobody.get("users", headers=headers), 403)
        ok(admin.put(f"users/{person['id']}", json={"is_superuser": True}))
        ok(nobody.get("users", headers=headers))
        ok(admin.put(f"users/{person['id']}", json={"is_superuser": False}))
        problem(nobody.get("users", headers=headers), 403)

    @pytest.mark.parametrize("field", ["username", "email"])
    def test_a_taken_name(self, admin: Client, person: dict[str, Any], field: str) -> None:
        taken = {"username": "Viewer", "email": "VIEWER@svops.example"}[field]
        problem(admin.put(f"users/{person['id']}", json={field: taken}), 409)
        assert ok(admin.get(f"users/{person['id']}")) == person

    def test_ones_own_name_in_other_letters(self, admin: Client, person: dict[str, Any]) -> None:
        name = person["username"].title()
        assert ok(admin.put(f"users/{person['id']}", json={"username": name}))["username"] == name


class TestDelete:
    def test_gone(self, admin: Client, nobody: Client, person: dict[str, Any]) -> None:
        tokens = ok(login(nobody, person["username"]))
        assert admin.delete(f"users/{person['id']}").status_code == 204
        problem(admin.get(f"users/{person['id']}"), 404)
        problem(admin.delete(f"users/{person['id']}"), 404)
        problem(nobody.get("auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}), 401)
        problem(nobody.post("auth/refresh", json={"refresh_token": tokens["refresh_token"]}), 401)
        assert [event["type"] for event in user_events(admin, person["id"])] == [
            "user.created",
            "user.deleted",
        ]

    def test_nobody_inherits_their_id(self, admin: Client, person: dict[str, Any]) -> None:
        """SQLite gives the next user the number of the last one who was deleted."""
        admin.delete(f"users/{person['id']}")
        with services(pooled=True).transactions() as uow:
            assert uow.users.identify(str(person["id"]), "somebody new").id != person["id"]


class TestProtected:
    """Oneself, and the last administrator."""

    @pytest.mark.parametrize(
        "values", [{"is_active": False}, {"is_superuser": False}, {"roles": ["Op"]}, {"roles": ["User"]}]
    )
    def test_oneself(self, admin: Client, values: dict[str, Any]) -> None:
        me = ok(admin.get("auth/me"))["id"]
        assert "your own" in problem(admin.put(f"users/{me}", json=values), 409)["detail"]
        assert ok(admin.get("auth/me"))["is_superuser"]

    def test_oneself_stays(self, admin: Client) -> None:
        me = ok(admin.get("auth/me"))["id"]
        problem(admin.delete(f"users/{me}"), 409)
        assert ok(admin.put(f"users/{me}", json={"roles": ["Admin", "Op"]}))["roles"] == ["Admin", "Op"]
        assert ok(admin.put(f"users/{me}", json={"roles": ["Admin"]}))["roles"] == ["Admin"]

    def test_two_administrators_who_end_each_other_at_once(
        self, admin: Client, nobody: Client, body: dict[str, Any]
    ) -> None:
        """One of them stays, whatever they do to each other."""
        other = ok(admin.post("users", json={**body, "is_superuser": True}), 201)
        me = ok(admin.get("auth/me"))["id"]
        headers = as_user(nobody, body["username"])
        writes: list[Callable[[], Response]] = [
            lambda: admin.put(f"users/{other['id']}", json={"is_active": False}),
            lambda: nobody.put(f"users/{me}", json={"is_superuser": False}, headers=headers),
        ]
        try:
            statuses = [answer.status_code for answer in at_once(2, lambda index: writes[index]())]  # type: ignore[union-attr]
        finally:
            user, role = hosting().users().find_user("admin"), hosting().users().find_role("Admin")
            still = [role.name for role in user.roles]
            user.roles = [role]
            hosting().users().update_user(user)
        left = ["admin"] if still == ["Admin"] else []
        model = hosting().users().find_user(body["username"])
        left += [body["username"]] if model is not None and model.is_active else []
        assert len(left) == 1
        assert min(statuses) == 200
        assert max(statuses) in {401, 403, 409}


class TestRegister:
    @pytest.fixture
    def open_registration(self, monkeypatch: pytest.MonkeyPatch, svops_database: str) -> None:  # noqa: ARG002
        monkeypatch.setenv("AIRFLOW__SVOPS__ALLOW_REGISTRATION", "True")

    def test_closed(self, nobody: Client, body: dict[str, Any]) -> None:
        assert "allow_registration" in problem(nobody.post("auth/register", json=body), 403)["detail"]
        problem(login(nobody, body["username"]), 401)

    @pytest.mark.usefixtures("open_registration")
    def test_open(self, admin: Client, nobody: Client, body: dict[str, Any]) -> None:
        made = ok(nobody.post("auth/register", json=body), 201)
        assert made.keys() >= TOKENS
        assert made["user"]["roles"] == ["User"]
        (event,) = user_events(admin, made["user"]["id"])
        assert (event["type"], event["actor"]) == ("user.created", body["username"])
        assert "username" in problem(nobody.post("auth/register", json=body), 409)["detail"]

    @pytest.mark.usefixtures("open_registration")
    @pytest.mark.parametrize("field", ["roles", "is_superuser", "is_active"])
    def test_nobody_makes_themselves_more(self, nobody: Client, body: dict[str, Any], field: str) -> None:
        answer = nobody.post("auth/register", json={**body, field: ["Admin"]})
        assert set(problem(answer, 422)["errors"]) == {field}


class TestOneself:
    def test_verify_token(self, viewer: Client, nobody: Client) -> None:
        body = ok(viewer.get("auth/verify-token"))
        assert body.keys() == {"valid", "user"}
        assert (body["valid"], body["user"]["username"]) == (True, "viewer")
        problem(nobody.get("auth/verify-token"), 401)

    def test_login_by_form(self, nobody: Client) -> None:
        form = {"grant_type": "password", "username": "viewer", "password": PASSWORD, "scope": ""}
        body = ok(nobody.post("auth/login/oauth2", data=form))
        assert body.keys() == TOKENS
        problem(nobody.post("auth/login/oauth2", data={**form, "password": "wrong"}), 401)
        assert "password" in problem(nobody.post("auth/login/oauth2", data={"username": "a"}), 422)["errors"]

    def test_change_password(self, admin: Client, nobody: Client, person: dict[str, Any]) -> None:
        tokens = ok(login(nobody, person["username"]))
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        body = {"current_password": SECRET, "new_password": "the next secret"}
        wrong = nobody.post("auth/change-password", json={**body, "current_password": "x"}, headers=headers)
        assert set(problem(wrong, 422)["errors"]) == {"current_password"}
        for bad in ("short", SECRET, person["email"], "zzzzzzzzzz"):
            answer = nobody.post("auth/change-password", json={**body, "new_password": bad}, headers=headers)
            assert set(problem(answer, 422)["errors"]) == {"new_password"}, bad
        assert ok(nobody.post("auth/change-password", json=body, headers=headers)).keys() == {"message"}
        problem(login(nobody, person["username"]), 401)
        problem(nobody.post("auth/refresh", json={"refresh_token": tokens["refresh_token"]}), 401)
        ok(login(nobody, person["username"], "the next secret"))
        assert user_events(admin, person["id"])[-1]["data"]["changed"] == ["password"]

    def test_logout_of_one_login(self, nobody: Client, person: dict[str, Any]) -> None:
        here, there = (ok(login(nobody, person["username"])) for _ in range(2))
        headers = {"Authorization": f"Bearer {here['access_token']}"}
        spent = {"refresh_token": here["refresh_token"]}
        said = ok(nobody.post("auth/logout", json=spent, headers=headers))["message"]
        problem(nobody.post("auth/refresh", json=spent), 401)
        ok(nobody.post("auth/refresh", json={"refresh_token": there["refresh_token"]}))
        asked_with_it = nobody.get("auth/me", headers=headers).status_code
        assert asked_with_it == hosting().AFTER_LOGOUT
        assert ("stays good until it expires" in said) is (asked_with_it == 200)

    @pytest.mark.parametrize("sent", [None, {}, {"refresh_token": "of nobody"}])
    def test_logout_of_every_login(
        self, nobody: Client, person: dict[str, Any], sent: dict[str, Any] | None
    ) -> None:
        logins = [ok(login(nobody, person["username"])) for _ in range(2)]
        headers = {"Authorization": f"Bearer {logins[0]['access_token']}"}
        ok(nobody.post("auth/logout", json=sent, headers=headers))
        for one in logins:
            problem(nobody.post("auth/refresh", json={"refresh_token": one["refresh_token"]}), 401)

    def test_another_ones_refresh_token_is_not_theirs_to_end(
        self, nobody: Client, person: dict[str, Any]
    ) -> None:
        others = ok(login(nobody, "viewer", PASSWORD))
        headers = as_user(nobody, person["username"])
        ok(nobody.post("auth/logout", json={"refresh_token": others["refresh_token"]}, headers=headers))
        ok(nobody.post("auth/refresh", json={"refresh_token": others["refresh_token"]}))


def test_another_auth_manager(admin: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise NotSupported("SimpleAuthManager keeps its users elsewhere.")

    monkeypatch.setattr(services(pooled=True).users._directory, "_security_manager", refuse)
    assert "SimpleAuthManager" in problem(admin.get("users"), 501)["detail"]


def test_events_of_users_are_for_administrators_and_them(
    client: Clients, nobody: Client, person: dict[str, Any]
) -> None:
    for name in ("viewer", "user", "op"):
        seen = ok(client(name).get("events"))["items"]
        assert not [event for event in seen if event["type"].startswith("user.")]
    own = ok(nobody.get("events", headers=as_user(nobody, person["username"])))["items"]
    assert [event["type"] for event in own] == ["user.created"]
