"""The conformance table: what both hosts offer, and to whom.

A route of the API without a row here fails the suite, as does a row without a route.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """What a route asks of who calls it.

    :param permission: resource and action; none where it is enough to be signed in
    :param anonymous: whether nobody need sign in
    :param body: what is sent by somebody who may; ``{…}`` stands for an id of the test's
    :param form: whether it goes as a form
    :param query: what the query string says
    :param answer: the status that those get who may call it, on either host
    :param signs_out: whether who has called it must sign in anew
    """

    permission: tuple[str, str] | None = None
    anonymous: bool = False
    body: Mapping[str, Any] | None = None
    form: bool = False
    query: Mapping[str, str] = field(default_factory=dict)
    answer: int = 200
    signs_out: bool = False


ANYBODY = Row(anonymous=True)
DATASETS, TASKS, WORKFLOWS = "/datasets/", "/tasks/", "/workflows/"
DATASET, TASK, WORKFLOW = "/datasets/<int:dataset_id>", "/tasks/<int:task_id>", "/workflows/<workflow_id>"
A_DATASET = {"name": "{new}", "path": "{folder}", "data_type": "Vector"}
EXECUTION = "/executions/<int:execution_id>"
USERS, USER = "/users/", "/users/<int:user_id>"
A_USER = {
    "username": "{word}",
    "email": "{word}@svops.example",
    "name": "{new}",
    "password": "{password}",
}
A_TASK = {"name": "{new}", "customer": "acme", "log_out_path": "{output}"}
NOTIFICATIONS = "/notifications/configs"
NOTIFICATION = f"{NOTIFICATIONS}/<config_name>"

ROUTES: Mapping[tuple[str, str], Row] = {
    ("GET", "/health"): ANYBODY,
    ("GET", "/openapi.json"): ANYBODY,
    ("GET", "/docs"): ANYBODY,
    ("GET", "/redoc"): ANYBODY,
    ("GET", "/docs/assets/<path:name>"): ANYBODY,
    ("POST", "/auth/login"): Row(anonymous=True, body={"username": "admin", "password": "{password}"}),
    ("POST", "/auth/refresh"): Row(anonymous=True, body={"refresh_token": "{refresh_token}"}),
    ("POST", "/auth/login/oauth2"): Row(
        anonymous=True, body={"username": "admin", "password": "{password}"}, form=True
    ),
    ("POST", "/auth/register"): Row(anonymous=True, body=A_USER, answer=403),
    ("GET", "/auth/me"): Row(),
    ("GET", "/auth/verify-token"): Row(),
    ("POST", "/auth/change-password"): Row(
        body={"current_password": "another", "new_password": "{new} password"}, answer=422
    ),
    ("POST", "/auth/logout"): Row(body={}, signs_out=True),
    ("GET", USERS): Row(("user", "read")),
    ("POST", USERS): Row(("user", "create"), body=A_USER, answer=201),
    ("GET", USER): Row(("user", "read")),
    ("PUT", USER): Row(("user", "edit"), body={"name": "{new}"}),
    ("DELETE", USER): Row(("user", "delete"), answer=204),
    ("GET", DATASETS): Row(("dataset", "read")),
    ("POST", DATASETS): Row(("dataset", "create"), body=A_DATASET, answer=201),
    ("GET", "/datasets/check-path"): Row(("dataset", "create"), query={"path": "{folder}"}),
    ("GET", DATASET): Row(("dataset", "read")),
    ("PUT", DATASET): Row(("dataset", "edit"), body={"description": "{new}"}),
    ("GET", f"{DATASET}/samples"): Row(("dataset", "read")),
    ("GET", f"{DATASET}/samples/<path:name>"): Row(("dataset", "read"), answer=404),
    ("GET", f"{DATASET}/changes"): Row(("dataset", "read")),
    ("DELETE", DATASET): Row(("dataset", "delete"), answer=204),
    ("GET", TASKS): Row(("task", "read")),
    ("POST", TASKS): Row(("task", "create"), body=A_TASK, answer=201),
    ("POST", "/tasks/check"): Row(("task", "create"), body={"name": "{new}"}),
    ("POST", f"{TASK}/clone"): Row(("task", "create"), body={}, answer=201),
    ("GET", "/presets/"): Row(("task", "read")),
    ("GET", "/tasks/owners"): Row(("task", "read")),
    ("GET", "/tasks/standing"): Row(("task", "read"), query={"ids": "1"}),
    ("GET", TASK): Row(("task", "read")),
    ("PUT", TASK): Row(("task", "edit"), body={"description": "{new}"}),
    ("DELETE", TASK): Row(("task", "delete"), answer=204),
    ("POST", f"{TASK}/execute"): Row(("task", "execute"), body={}, answer=201),
    ("POST", f"{TASK}/retry"): Row(("task", "execute"), body={}, answer=409),
    ("POST", f"{TASK}/stop"): Row(("task", "execute"), answer=409),
    ("GET", f"{TASK}/executions"): Row(("task", "read")),
    ("GET", f"{TASK}/status"): Row(("task", "read")),
    ("GET", EXECUTION): Row(("task", "read")),
    ("GET", f"{EXECUTION}/artifacts/<path:name>"): Row(("task", "read")),
    ("GET", "/executions/compare"): Row(("task", "read"), query={"ids": "{execution},{other_execution}"}),
    ("GET", WORKFLOWS): Row(("workflow", "read")),
    ("POST", WORKFLOWS): Row(("workflow", "create"), body={"name": "{new}", "dag_id": "{dag}"}, answer=201),
    ("GET", "/dags/"): Row(("workflow", "create")),
    ("GET", WORKFLOW): Row(("workflow", "read")),
    ("PUT", WORKFLOW): Row(("workflow", "edit"), body={"description": "{new}"}),
    ("GET", f"{WORKFLOW}/params"): Row(("workflow", "read")),
    ("POST", f"{WORKFLOW}/runs"): Row(("workflow", "execute"), body={}, answer=201),
    ("GET", f"{WORKFLOW}/runs"): Row(("workflow", "read")),
    ("GET", f"{WORKFLOW}/runs/<run_id>"): Row(("workflow", "read")),
    ("GET", f"{WORKFLOW}/runs/<run_id>/artifacts/<path:name>"): Row(("workflow", "read")),
    ("POST", f"{WORKFLOW}/runs/<run_id>/control"): Row(("workflow", "execute"), body={"action": "stop"}),
    ("GET", "/events/"): Row(("event", "read")),
    ("GET", "/notifications/types"): Row(("notification", "read")),
    ("GET", NOTIFICATIONS): Row(("notification", "read")),
    ("POST", NOTIFICATIONS): Row(
        ("notification", "create"), body={"name": "{word}", "channel": "inbound"}, answer=201
    ),
    ("GET", NOTIFICATION): Row(("notification", "read")),
    ("PUT", NOTIFICATION): Row(("notification", "edit"), body={"enabled": False}),
    ("DELETE", NOTIFICATION): Row(("notification", "delete")),
    ("POST", f"{NOTIFICATION}/enable"): Row(("notification", "edit")),
    ("POST", f"{NOTIFICATION}/disable"): Row(("notification", "edit")),
    ("POST", f"{NOTIFICATION}/test"): Row(("notification", "edit")),
    ("POST", f"{NOTIFICATION}/rotate-secret"): Row(("notification", "edit")),
    ("GET", f"{NOTIFICATION}/deliveries"): Row(("notification", "read")),
    ("POST", f"{NOTIFICATION}/deliveries/<int:delivery_id>/redeliver"): Row(("notification", "edit")),
    ("POST", "/notifications/webhook/<config_name>"): Row(anonymous=True, body={}, answer=401),
}

# What is to be known of the sockets: no part of the API, so with its whole path.
BESIDE: Mapping[tuple[str, str], Row] = {("GET", "/svops/ws/stats"): Row(("event", "read"))}

# Paths of sockets; ``{user}`` is the owner's id, whose events are for them and for who may read users.
SOCKETS = (
    "/ws",
    "/ws/user/{user}",
    "/ws/workflow/wf_{workflow}",
    "/ws/user/{user}/workflow/wf_{workflow}",
)
