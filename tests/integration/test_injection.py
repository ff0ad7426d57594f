"""Text that is a program to somebody: kept and returned as it is, and run by nobody.

Driven by the table of routes and the schemas of what they take, so that a new field is tried, too.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from marshmallow import Schema, fields

from svops_plugin.presentation.rest import documented_app
from svops_plugin.presentation.rest.api import PREFIX
from svops_plugin.presentation.rest.openapi import operations
from tests.contract.table import ROUTES
from tests.contract.test_routes import Desk
from tests.integration.support import ok, problem
from tests.server import Clients

PROGRAMS = (  # short enough for every field
    "'; DROP TABLE svops_task;--",
    "%' OR pg_sleep(60)=1 OR '_",
    "{{7*7}}${7*7}%(x)s{0.x}<%=7%>",
    '\\"><script>alert(1)</script>',
)
DAGS = ("svops_controller", "data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example")
SECRET = {"password", "webhook_url"}  # taken, and never returned
PLAIN = {  # what has to be taken as it is, whatever it says
    "/tasks/": {"name", "description", "customer", "branch_name", "commit_id", "tags"},
    "/datasets/": {"name", "description", "tags"},
    "/workflows/": {"name", "description"},
    "/tasks/<int:task_id>/execute": {"parameters", "note"},
    "/users/": {"name", "username"},
}
_number = itertools.count(1)


def routes() -> Iterator[tuple[str, str, Schema | None, Schema | None]]:
    """Return every route that asks for a permission, with the schemas of its body and its query."""
    for rule, _, operation in operations(documented_app()):
        for method in sorted(rule.methods or ()):
            row = ROUTES.get((method, rule.rule.removeprefix(PREFIX)))
            if row and row.permission:
                yield method, rule.rule.removeprefix(PREFIX), operation.body, operation.query


def with_text(schema: Schema, program: str) -> Iterator[tuple[str, Any]]:
    """Return each field that takes text, with a value that has this one."""
    for name, field in schema.fields.items():
        key = field.data_key or name
        if isinstance(field, fields.String):
            yield key, program
        elif isinstance(field, fields.List) and isinstance(field.inner, fields.String):
            yield key, [program]
        elif isinstance(field, fields.Nested):
            yield key, dict(with_text(field.schema, program))
        elif isinstance(field, fields.Dict):
            yield key, {program: {program: program}}


def has(value: Any, wanted: Any) -> bool:
    """Tell whether a value is somewhere in an answer, as it is."""
    if value == wanted:
        return True
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(has(one, wanted) for one in inner)


@pytest.fixture
def desk(client: Clients, dataset_folder: Path) -> Desk:
    return Desk(client, dataset_folder)


BODIES = [(method, rule, body) for method, rule, body, _ in routes() if body is not None]
QUERIES = [(rule, query) for _, rule, _, query in routes() if query is not None]


def rule_of(value: Any) -> str:
    return value if isinstance(value, str) else ""


@pytest.mark.parametrize(("method", "rule", "schema"), BODIES, ids=rule_of)
def test_bodies(*, desk: Desk, admin: Client, method: str, rule: str, schema: Schema) -> None:
    """Whatever a field that has no grammar of its own is sent comes back, and is told in the event."""
    row = ROUTES[method, rule]
    assert row.permission
    for program, dag_id in zip(PROGRAMS, DAGS, strict=True):
        body = {**(row.body or {}), **({"dag_id": dag_id} if "dag_id" in (row.body or {}) else {})}
        sent = dict(with_text(schema, f"{program}{next(_number)}"))
        while True:
            answer = desk.call(admin, method, rule, replace(row, body={**body, **sent}), "user")
            if answer.status_code != 422:
                break
            refused = {name.split(".")[0] for name in problem(answer, 422)["errors"]}
            assert refused <= sent.keys()
            sent = {name: value for name, value in sent.items() if name not in refused}
        nothing_left = not sent and answer.status_code == 409  # the row's own answer, where that needs more
        assert answer.is_success or nothing_left, answer.text
        assert sent.keys() >= PLAIN.get(rule, set())
        if rule.endswith("/check"):
            continue  # tells what is wrong with it, and keeps nothing
        events = ok(admin.get("events", params={"limit": 1000}))["items"]
        for name, value in sent.items():
            if name in SECRET:
                assert program not in str(answer.json().get(name))
            else:
                assert has(answer.json(), value), (name, answer.text)
                assert row.permission[1] == "execute" or has(events, value), name


@pytest.mark.parametrize("kind", ["tasks", "datasets", "workflows"])
def test_a_filter_finds_what_has_the_text_and_nothing_else(admin: Client, desk: Desk, kind: str) -> None:
    row = ROUTES["POST", f"/{kind}/"]
    for program, dag_id in zip(PROGRAMS, DAGS, strict=True):
        body = {**(row.body or {}), "name": program, **({"dag_id": dag_id} if kind == "workflows" else {})}
        made = ok(desk.call(admin, "POST", f"/{kind}/", replace(row, body=body), "user"), 201)
        assert ok(admin.get(kind, params={"q": program}))["items"] == [made]
    assert ok(admin.get(kind))["total"] == len(PROGRAMS)


@pytest.mark.parametrize(("rule", "schema"), QUERIES, ids=rule_of)
def test_every_filter(admin: Client, desk: Desk, rule: str, schema: Schema) -> None:
    for made in ("/tasks/<int:task_id>/execute", "/notifications/configs"):  # a row of each kind
        ok(desk.call(admin, "POST", made, ROUTES["POST", made], "user"), 201)
    listed = desk.call(admin, "GET", rule, ROUTES["GET", rule], "user")
    assert "/artifacts/" in rule or ok(listed).get("items", True), "nothing to filter"
    for program in PROGRAMS:
        for name, value in with_text(schema, program):
            answer = admin.get(str(listed.request.url), params={name: value})
            assert answer.status_code in {200, 404, 422}, (name, answer.text)
            if answer.status_code == 200:
                told = answer.json()
                assert told["errors"] if rule == "/datasets/check-path" else told["items"] == [], name
    assert admin.get(str(listed.request.url)).content == listed.content
