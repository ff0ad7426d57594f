"""The wire contract, field by field, on a real API server of Airflow at both of its addresses."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from svops_plugin.application.executions import CONTROLLER
from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.contract import CHAIN, DATASET, TOKENS, USER
from tests.integration.support import is_time, ok, problem
from tests.server import BASE, PASSWORD, Clients


@pytest.fixture
def dataset(admin: Client, dataset_folder: Path) -> dict[str, Any]:
    body = {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}
    made: dict[str, Any] = ok(admin.post("datasets", json=body), 201)
    return made


@pytest.fixture
def task(admin: Client, dataset: dict[str, Any]) -> dict[str, Any]:
    body = {"name": "t", "customer": "acme", "log_out_path": str(OUTPUT), "dataset_id": dataset["id"]}
    made: dict[str, Any] = ok(admin.post("tasks", json=body), 201)
    return made


class TestAddresses:
    @pytest.mark.parametrize("root", hosting().ROOTS)
    @pytest.mark.parametrize("end", ["", "/"])
    def test_both_addresses_with_and_without_slash(
        self, admin: Client, dataset: dict[str, Any], root: str, end: str
    ) -> None:
        listed = ok(admin.get(f"{BASE}{root}/datasets{end}"))
        assert [item["id"] for item in listed["items"]] == [dataset["id"]]
        assert ok(admin.get(f"{BASE}{root}/datasets/{dataset['id']}{end}")) == dataset
        changed = ok(admin.put(f"{BASE}{root}/datasets/{dataset['id']}{end}", json={"description": "x"}))
        assert changed["description"] == "x"
        assert admin.delete(f"{BASE}{root}/datasets/{dataset['id']}{end}").status_code == 204
        again = {name: dataset[name] for name in ("name", "path", "data_type")}
        ok(admin.post(f"{BASE}{root}/datasets{end}", json=again), 201)

    @pytest.mark.parametrize("root", hosting().ROOTS)
    @pytest.mark.parametrize("end", ["", "/"])
    def test_actions_with_and_without_slash(
        self, admin: Client, task: dict[str, Any], root: str, end: str
    ) -> None:
        assert ok(admin.get(f"{BASE}{root}/tasks/{task['id']}/status{end}"))["task_id"] == task["id"]
        ok(admin.post(f"{BASE}{root}/tasks/{task['id']}/execute{end}", json={}), 201)
        assert ok(admin.get(f"{BASE}{root}/auth/me{end}"))["username"] == "admin"

    def test_below_a_base_path(self, api_server: Any, svops_database: str, tokens: dict[str, str]) -> None:  # noqa: ARG002
        """As behind a proxy, where [api] base_url has a path."""
        headers = {"Authorization": f"Bearer {tokens['admin']}"}
        below = hosting().client(api_server, BASE, headers, "/air/flow")
        for root in hosting().ROOTS:
            assert ok(below.get(f"/air/flow{root}/tasks"))["total"] == 0
            problem(below.get(f"/air/flow{root}/nothing"), 404)


class TestAuth:
    def login(self, nobody: Client, name: str = "admin") -> dict[str, Any]:
        body: dict[str, Any] = ok(nobody.post("auth/login", json={"username": name, "password": PASSWORD}))
        return body

    def test_login(self, nobody: Client) -> None:
        body = self.login(nobody)
        assert body.keys() == TOKENS
        assert body["token_type"] == "bearer"  # noqa: S105
        assert type(body["expires_in"]) is int
        assert body["user"].keys() >= USER
        assert body["user"]["username"] == "admin"
        assert body["user"]["email"] == "admin@svops.example"
        assert body["user"]["name"] == "Admin Van Dyke"
        assert (body["user"]["is_active"], body["user"]["is_superuser"]) == (True, True)
        assert body["user"]["roles"] == ["Admin"]
        assert is_time(body["user"]["created_at"])
        me = ok(nobody.get("auth/me", headers={"Authorization": f"Bearer {body['access_token']}"}))
        assert {name: me[name] for name in body["user"]} == body["user"]

    @pytest.mark.only_on("airflow3", "Access tokens")
    def test_the_token_serves_airflows_own_api_too(self, nobody: Client) -> None:
        token = self.login(nobody)["access_token"]
        answer = nobody.get(f"{BASE}/api/v2/dags", headers={"Authorization": f"Bearer {token}"})
        assert {dag["dag_id"] for dag in ok(answer)["dags"]} >= {CONTROLLER, *CHAIN}

    @pytest.mark.parametrize("way", ["body", "bearer", "bearer without body"])
    def test_refresh(self, nobody: Client, way: str) -> None:
        token = self.login(nobody, "user")["refresh_token"]
        if way == "body":
            answer = nobody.post("auth/refresh", json={"refresh_token": token})
        else:
            more: dict[str, Any] = {"json": {}} if way == "bearer" else {}
            answer = nobody.post("auth/refresh", headers={"Authorization": f"Bearer {token}"}, **more)
        body = ok(answer)
        assert body.keys() == TOKENS
        assert body["refresh_token"] != token
        assert body["user"]["username"] == "user"
        problem(nobody.post("auth/refresh", json={"refresh_token": token}), 401)

    def test_me(self, client: Clients) -> None:
        body = ok(client("viewer").get("auth/me"))
        assert body.keys() >= USER | {"permissions"}
        assert (body["is_superuser"], body["roles"]) == (False, ["Viewer"])
        assert body["permissions"]["dataset"] == ["read"]
        assert "execute" in ok(client("user").get("auth/me"))["permissions"]["task"]

    def test_the_id_of_a_user_is_airflows(self, admin: Client) -> None:
        assert ok(admin.get("auth/me"))["id"] == hosting().users().find_user("admin").id


class TestDatasets:
    def test_a_new_one(self, admin: Client, dataset_folder: Path) -> None:
        body = {
            "name": "digits é",
            "description": "of the year",
            "path": str(dataset_folder),
            "data_type": "Vector",
            "gt_path": str(dataset_folder / "labels.csv"),
            "tags": ["a", "b"],
        }
        made = ok(admin.post("datasets", json=body), 201)
        assert made.keys() == DATASET
        assert {name: made[name] for name in body} == body
        assert made["created_by_id"] == ok(admin.get("auth/me"))["id"]
        assert is_time(made["created_at"])
        assert is_time(made["updated_at"])
        assert (made["profile"], made["fingerprint"], made["version"]) == (None, None, 1)
        assert ok(admin.get(f"datasets/{made['id']}")) == made

    def test_what_is_left_out(self, dataset: dict[str, Any]) -> None:
        assert (dataset["description"], dataset["gt_path"], dataset["tags"]) == (None, None, [])

    def test_a_change(self, admin: Client, dataset: dict[str, Any]) -> None:
        changed = ok(
            admin.put(f"datasets/{dataset['id']}", json={"name": "other", "tags": ["x"], "version": 1})
        )
        assert (changed["name"], changed["tags"], changed["version"]) == ("other", ["x"], 2)
        assert changed["path"] == dataset["path"]
        assert datetime.fromisoformat(changed["updated_at"]) > datetime.fromisoformat(dataset["updated_at"])

    def test_no_change(self, admin: Client, dataset: dict[str, Any]) -> None:
        assert ok(admin.put(f"datasets/{dataset['id']}", json={"name": dataset["name"]})) == dataset

    def test_gone(self, admin: Client, dataset: dict[str, Any]) -> None:
        answer = admin.delete(f"datasets/{dataset['id']}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert f"no dataset {dataset['id']}" in problem(admin.get(f"datasets/{dataset['id']}"), 404)["detail"]
        problem(admin.delete(f"datasets/{dataset['id']}"), 404)

    def test_filters(
        self, client: Clients, admin: Client, dataset: dict[str, Any], dataset_folder: Path
    ) -> None:
        body = {"name": "50%_x", "path": str(dataset_folder), "data_type": "Vector", "tags": ["t"]}
        mine = ok(client("user").post("datasets", json=body), 201)
        for filters, expected in [
            ({}, ["50%_x", "small"]),
            ({"data_type": "Vector"}, ["50%_x", "small"]),
            ({"data_type": "Surf"}, []),
            ({"creator_id": mine["created_by_id"]}, ["50%_x"]),
            ({"creator_id": dataset["created_by_id"], "data_type": "Vector"}, ["small"]),
            ({"tag": "t"}, ["50%_x"]),
            ({"q": "%_"}, ["50%_x"]),
            ({"q": "SMALL"}, ["small"]),
        ]:
            listed = ok(admin.get("datasets", params=filters))
            assert [item["name"] for item in listed["items"]] == expected, filters
            assert listed["total"] == len(expected)


class TestLists:
    @pytest.fixture
    def five(self, admin: Client, dataset_folder: Path) -> list[str]:
        for name in "bdace":
            ok(
                admin.post(
                    "datasets", json={"name": name, "path": str(dataset_folder), "data_type": "Vector"}
                ),
                201,
            )
        return list("bdace")

    def test_the_form_of_a_list(self, admin: Client, five: list[str]) -> None:
        listed = ok(admin.get("datasets"))
        assert listed.keys() == {"items", "total", "skip", "limit"}
        assert (listed["total"], listed["skip"], listed["limit"]) == (5, 0, 100)
        assert all(item.keys() == DATASET for item in listed["items"])
        assert [item["name"] for item in listed["items"]] == five[::-1]

    def test_skip_limit_and_order(self, admin: Client, five: list[str]) -> None:  # noqa: ARG002
        listed = ok(admin.get("datasets", params={"skip": 1, "limit": 2, "order_by": "name"}))
        assert [item["name"] for item in listed["items"]] == ["b", "c"]
        assert (listed["total"], listed["skip"], listed["limit"]) == (5, 1, 2)
        listed = ok(admin.get("datasets", params={"skip": 3, "order_by": "-name"}))
        assert [item["name"] for item in listed["items"]] == ["b", "a"]

    @pytest.mark.parametrize("path", ["datasets", "tasks"])
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("skip", "-1"),
            ("skip", "x"),
            ("limit", "0"),
            ("limit", "1001"),
            ("limit", "1.5"),
            ("order_by", "nothing"),
            ("order_by", ""),
            ("creator_id", "x"),
            ("creator_id", "0"),
            ("q", "a\0b"),
            ("nothing", "1"),
        ],
    )
    def test_bad_parameters(self, admin: Client, path: str, name: str, value: str) -> None:
        assert set(problem(admin.get(path, params={name: value}), 422)["errors"]) == {name}

    @pytest.mark.parametrize("path", ["datasets", "tasks"])
    def test_the_largest_page(self, admin: Client, path: str) -> None:
        assert ok(admin.get(path, params={"limit": 1000}))["limit"] == 1000


def test_health(nobody: Client) -> None:
    assert ok(nobody.get("health"))["status"] == "healthy"
