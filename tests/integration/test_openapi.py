"""The API's description: whole, true, and the same as the one that is committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from flask import Flask
from httpx import Client

from svops_plugin.presentation.rest import bridge, documented_app
from svops_plugin.presentation.rest.api import PREFIX
from svops_plugin.presentation.rest.openapi import describe, operations
from svops_plugin.presentation.rest.reference import reference
from tests.hosts import hosting
from tests.integration.support import ok, problem
from tests.server import BASE

DOCS = Path(__file__).parents[2] / "docs"
CATCH_ALL = {"svops_fallback.nothing_here", "svops_outside.nothing_outside"}


@pytest.fixture(scope="module")
def app() -> Flask:
    return documented_app()


@pytest.fixture(scope="module")
def described(app: Flask) -> dict[str, Any]:
    return describe(app)


def contents(described: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return everything that is sent or answered, by where it stands."""
    found = []
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            sent = operation.get("requestBody", {}).get("content", {})
            answered = [one.get("content", {}) for one in operation["responses"].values()]
            for content in [sent, *answered]:
                found += [(f"{method} {path} {media_type}", one) for media_type, one in content.items()]
    for name, response in described["components"]["responses"].items():
        found += [(name, one) for one in response["content"].values()]
    return found


def test_every_route_is_described(app: Flask) -> None:
    silent = {rule.endpoint for rule, _, operation in operations(app) if operation.status is None}
    assert silent == CATCH_ALL & silent


def test_a_path_with_the_end_of_a_line_is_answered_in_our_own_words(app: Flask) -> None:
    answer = app.test_client().get(f"{PREFIX}/tasks/%0A/executions")
    assert (answer.status_code, answer.mimetype) == (404, "application/problem+json")


def test_the_committed_description_is_that_of_the_code(described: dict[str, Any]) -> None:
    assert json.loads((DOCS / "openapi.json").read_text()) == described, "run: make docs"


def test_the_committed_reference_is_that_of_the_code(described: dict[str, Any]) -> None:
    assert (DOCS / "api.md").read_text() == reference(described), "run: make docs"


def test_examples_are_what_they_are_examples_of(described: dict[str, Any]) -> None:
    """All bodies, all answers in JSON with a schema of their own, and all parameters have one."""
    seen = 0
    for where, content in contents(described):
        if "$ref" in content["schema"]:
            jsonschema.validate(
                content["example"],
                {**content["schema"], "components": described["components"]},
                cls=jsonschema.Draft202012Validator,
            )
            seen += 1
        else:
            assert content["schema"]["type"] in {"object", "string"}, where
    assert seen > 40


def test_every_operation_can_be_asked_for_by_its_example(described: dict[str, Any]) -> None:
    for path, methods in described["paths"].items():
        for operation in methods.values():
            for parameter in operation["parameters"]:
                assert parameter["description"], path
                if parameter["in"] == "path":
                    jsonschema.validate(parameter["example"], parameter["schema"])


def test_names_of_operations_are_different(described: dict[str, Any]) -> None:
    names = [one["operationId"] for methods in described["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


def test_to_describe_is_not_to_serve(nobody: Client) -> None:
    ok(nobody.get("openapi.json"))
    served = list(bridge._served)
    describe(documented_app())
    assert bridge._served == served


def test_what_is_served(nobody: Client, described: dict[str, Any]) -> None:
    served = ok(nobody.get("openapi.json"))
    assert {**served, "servers": described["servers"]} == described
    assert served["servers"] == [{"url": PREFIX}]


def test_below_a_base_path(api_server: Any, svops_database: str) -> None:  # noqa: ARG001
    below = hosting().client(api_server, BASE, {}, "/air/flow")
    served = ok(below.get(f"/air/flow{PREFIX}/openapi.json"))
    assert served["servers"] == [{"url": f"/air/flow{PREFIX}"}]
    flows = served["components"]["securitySchemes"]["oauth2"]["flows"]
    assert flows["password"]["tokenUrl"] == f"/air/flow{PREFIX}/auth/login/oauth2"
    assert f'src="/air/flow{PREFIX}/docs/assets/swagger-ui.js"' in below.get(f"/air/flow{PREFIX}/docs").text


@pytest.mark.parametrize("page", ["docs", "docs/", "redoc"])
def test_the_pages_need_nothing_from_elsewhere(nobody: Client, page: str) -> None:
    import re

    answer = nobody.get(page)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    linked = re.findall(r'(?:src|href)="([^"]+)"', answer.text)
    assert len(linked) >= 3
    for address in linked:
        assert address.startswith(PREFIX)
        asset = nobody.get(f"{BASE}{address}")
        assert (asset.status_code, asset.headers["x-content-type-options"]) == (200, "nosniff")
    assert not re.findall(r"<script(?![^>]*src=)", answer.text)


@pytest.mark.parametrize("name", ["nothing.js", "../docs.py", "..%2fdocs.py", "%2e%2e/docs.py", "redoc"])
def test_assets_that_are_none(nobody: Client, name: str) -> None:
    problem(nobody.get(f"{BASE}{PREFIX}/docs/assets/{name}"), 404)


def test_an_asset_is_not_sent_twice(nobody: Client) -> None:
    first = nobody.get("docs/assets/page.css")
    again = nobody.get("docs/assets/page.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
