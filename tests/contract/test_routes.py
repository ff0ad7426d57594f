"""Every route for everybody: {nobody, Viewer, User on own and on another's, Op, Admin} x {Bearer, cookie}."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from svops_plugin.application import chain
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.application.ports import Query
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import Artifact, WorkflowRun
from svops_plugin.domain.notifications import DeliveryStatus, NotificationDelivery
from svops_plugin.domain.permissions import PERMISSIONS, Actor
from svops_plugin.presentation.rest import documented_app
from svops_plugin.presentation.rest.api import PREFIX
from svops_plugin.presentation.websocket import flask_sock
from tests.conftest import OUTPUT
from tests.contract.table import A_USER, BESIDE, ROUTES, Row
from tests.hosts import hosting
from tests.integration.live import an_event, happen
from tests.integration.support import problem
from tests.server import BASE, PASSWORD, Clients

ROLES = {"viewer": "Viewer", "user": "User", "op": "Op", "admin": "Admin"}
OWNERS = ("user", "other")
READS = {"GET", "HEAD"}
SAME = {"Origin": BASE}
FOREIGN = {"Origin": "http://elsewhere.example"}
_new = itertools.count(1)


def test_every_route_has_a_row() -> None:
    app = documented_app()
    routes = {
        (method, rule.rule.removeprefix(PREFIX))
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(("svops_fallback.", "svops_outside."))
        for method in rule.methods or ()
        if method not in {"HEAD", "OPTIONS"}
    }
    assert routes == ROUTES.keys()


@pytest.mark.usefixtures("api_server")
def test_every_route_beside_the_api_has_a_row() -> None:
    sockets = {f"/svops{path}" for path in flask_sock.PATHS.values()}
    with hosting().flask_app(flask_sock.Sockets()) as app:
        routes = {
            (method, rule.rule)
            for rule in app.url_map.iter_rules()
            if rule.endpoint.startswith("svops_live.") and rule.rule not in sockets
            for method in rule.methods or ()
            if method not in {"HEAD", "OPTIONS"}
        }
    assert routes == BESIDE.keys()


def test_every_permission_is_asked_for_by_a_route() -> None:
    assert {row.permission for row in ROUTES.values() if row.permission} == PERMISSIONS.keys()


class Desk:
    """Calls routes, each time on objects of their own."""

    def __init__(self, clients: Clients, folder: Path) -> None:
        self._admin = clients("admin")
        self._folder = folder
        self._ids = {name: clients(name).get("auth/me").json()["id"] for name in (*ROLES, "other")}
        self.bearers = {name: clients(name) for name in (*ROLES, None)}
        self.cookies = {name: clients(None) for name in ROLES}
        for name, client in self.cookies.items():
            hosting().sign_in(client, name)

    def actor(self, name: str) -> Actor:
        return Actor(self._ids[name], name, frozenset({ROLES[name]}))

    def owner_id(self, owner: str) -> int:
        return int(self._ids[owner])

    def call(
        self, client: httpx.Client, method: str, rule: str, row: Row, owner: str, **headers: str
    ) -> httpx.Response:
        """Call a route; what it is about belongs to the owner. Nobody asks too often here."""
        vars(services(pooled=True)).pop("guesses", None)
        path = self._path(rule, owner)
        body = None if row.body is None else json.loads(self._filled(json.dumps(row.body)))
        sent = {"data" if row.form else "json": body}
        asked = json.loads(self._filled(json.dumps(row.query), owner))
        address = BASE + path if (method, rule) in BESIDE else path.lstrip("/")
        return client.request(method, address, headers=headers, params=asked, **sent)

    def bearer(self, name: str, row: Row) -> httpx.Client:
        """Return a client that shows a token."""
        if row.signs_out:
            self.bearers[name].headers["Authorization"] = f"Bearer {hosting().token(name)}"
        return self.bearers[name]

    def cookie(self, name: str, row: Row) -> httpx.Client:
        """Return a client that is signed in to Airflow's pages."""
        if row.signs_out:
            hosting().sign_in(self.cookies[name], name)
        return self.cookies[name]

    def _filled(self, body: str, owner: str = "user") -> str:
        number = next(_new)
        values = {
            "new": f"new {number}",
            "word": f"new{number}",
            "folder": str(self._folder),
            "output": str(OUTPUT),
            "password": PASSWORD,
        }
        if "{refresh_token}" in body:
            answer = self._made("auth/login", {"username": "admin", "password": PASSWORD}, status=200)
            values["refresh_token"] = answer["refresh_token"]
        if "{dag}" in body:
            values["dag"] = self._unregistered()
        for name in ("execution", "other_execution"):
            if f"{{{name}}}" in body:
                values[name] = self._execution(owner)
        return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], body)

    def _path(self, rule: str, owner: str) -> str:
        ids = {"name": "swagger-ui.js"}
        if "dataset_id" in rule:
            ids["dataset_id"] = self._dataset(owner)
        if "task_id" in rule:
            ids["task_id"] = self._task(owner)
        if "execution_id" in rule:
            ids["execution_id"] = self._execution(owner)
        if "user_id" in rule:
            ids["user_id"] = self._user()
        if "config_name" in rule:
            ids["config_name"], ids["delivery_id"] = self._notification()
        if "workflow_id" in rule:
            ids["workflow_id"], ids["run_id"] = self._run(owner)
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: str(ids[found[1]]), rule)

    def _made(self, path: str, body: dict[str, Any], status: int = 201) -> dict[str, Any]:
        answer = self._admin.post(path, json=body)
        assert answer.status_code == status, answer.text
        made: dict[str, Any] = answer.json()
        return made

    def _dataset(self, owner: str) -> str:
        body = {"name": f"new {next(_new)}", "path": str(self._folder), "data_type": "Vector"}
        made = self._made("datasets", body)["id"]
        with services(pooled=True).transactions() as uow:
            uow.datasets.lock(made).created_by_id = self.owner_id(owner)
        return str(made)

    def _unregistered(self) -> str:
        """Return a DAG that is no workflow, whatever it was before."""
        with services(pooled=True).transactions() as uow:
            if known := uow.workflows.of_dag(CONTROLLER):
                known.dag_id = f"gone{next(_new)}"
        return CONTROLLER

    def _user(self) -> str:
        return str(self._made("users", json.loads(self._filled(json.dumps(A_USER))))["id"])

    def _task(self, owner: str) -> str:
        body = {
            "name": f"new {next(_new)}",
            "customer": "acme",
            "log_out_path": str(OUTPUT),
            "dataset_id": int(self._dataset(owner)),
        }
        made = self._made("tasks", body)["id"]
        with services(pooled=True).transactions() as uow:
            uow.tasks.lock(made).created_by_id = self.owner_id(owner)
        return str(made)

    def _execution(self, owner: str) -> str:
        """Return an execution, of the owner's task, that left a file."""
        task_id = int(self._task(owner))
        with services(pooled=True).transactions() as uow:
            task = uow.tasks.lock(task_id)
            execution = chain.claim(uow, task, ["svops_controller"], chain.Request("tests"))
            (run,) = uow.runs.of_execution(execution.id)
            uow.tracking.save_artifact(_left_by(run))
        return str(execution.id)

    def _notification(self) -> tuple[str, str]:
        """Return a notification and a delivery that it has made."""
        name = f"new{next(_new)}"
        address = "https://1.1.1.1/hook"
        self._made("notifications/configs", {"name": name, "channel": "webhook", "webhook_url": address})
        (event_id,) = happen(an_event())
        with services(pooled=True).transactions() as uow:
            config = uow.notification_configs.named(name)
            delivery = NotificationDelivery(config_id=config.id, event_id=event_id, event_type="task.updated")
            delivery.status = DeliveryStatus.DELIVERED
            uow.deliveries.add_missing([delivery])
            (made,) = uow.deliveries.page(Query(filters={"config_id": config.id})).items
        return name, str(made.id)

    def _run(self, owner: str) -> tuple[str, str]:
        """Return a workflow and a run of it that are the owner's, and that left a file."""
        body = {"name": f"new {next(_new)}", "dag_id": "data_processing_pipeline"}
        known = self._admin.get("workflows", params={"dag_id": body["dag_id"]}).json()["items"]
        workflow = known[0] if known else self._made("workflows", body)
        run = self._made(f"workflows/{workflow['id']}/runs", {})
        with services(pooled=True).transactions() as uow:
            uow.workflows.lock(int(workflow["id"][3:])).created_by_id = self.owner_id(owner)
            held = uow.runs.lock(int(run["id"][4:]))
            held.triggered_by = owner
            uow.tracking.save_artifact(_left_by(held))
        return workflow["id"], run["id"]


def _left_by(run: WorkflowRun) -> Artifact:
    left = OUTPUT / "swagger-ui.js"
    left.write_text("left")
    return Artifact(
        execution_id=run.execution_id,
        workflow_run_id=run.id,
        name=left.name,
        path=str(left),
        media_type="text/javascript",
        size=4,
    )


@pytest.fixture
def desk(client: Clients, dataset_folder: Path) -> Desk:
    return Desk(client, dataset_folder)


def is_let_in(answer: httpx.Response, row: Row) -> bool:
    """Tell whether who called might: they then get just what the row says, and are forbidden it otherwise."""
    if answer.status_code == row.answer:
        return True
    problem(answer, 403)
    return False


@pytest.mark.parametrize(("method", "rule"), [*ROUTES, *BESIDE])
def test_everybody_gets_what_the_permission_table_says(desk: Desk, method: str, rule: str) -> None:
    row = {**ROUTES, **BESIDE}[method, rule]
    nobody = desk.call(desk.bearers[None], method, rule, row, "user")
    if row.anonymous:
        assert is_let_in(nobody, row)
    else:
        problem(nobody, 401)
    for name, owner in itertools.product(ROLES, OWNERS):
        may = row.permission is None or desk.actor(name).may(*row.permission, desk.owner_id(owner))
        who = f"{name} on what is {owner}'s"
        answer = desk.call(desk.bearer(name, row), method, rule, row, owner)
        assert is_let_in(answer, row) is may, who
        cookie = desk.cookie(name, row)
        answer = desk.call(cookie, method, rule, row, owner, **SAME)
        assert is_let_in(answer, row) is may, who
        if method not in READS and not row.anonymous:
            cookie = desk.cookie(name, row)
            for headers in ({}, FOREIGN):
                refused = desk.call(cookie, method, rule, row, owner, **headers)
                assert "Origin" in problem(refused, 403)["detail"], who
