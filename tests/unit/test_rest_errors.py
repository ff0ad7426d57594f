"""How refusals become answers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from svops_plugin.domain import errors
from svops_plugin.domain.errors import InvalidInput, SVOpsError
from svops_plugin.presentation.rest.api import flatten
from svops_plugin.presentation.rest.errors import (
    MEDIA_TYPE,
    handle_refusal,
    handle_unexpected,
    problem_type,
)

STATUS = {
    "InvalidInput": 422,
    "NotAuthenticated": 401,
    "PermissionDenied": 403,
    "NotFound": 404,
    "Gone": 410,
    "Conflict": 409,
    "TooManyRequests": 429,
    "Unavailable": 503,
    "ConfigurationProblem": 503,
    "NotSupported": 501,
}
KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SVOpsError) and kind is not SVOpsError
]


@pytest.mark.parametrize("kind", KINDS)
def test_each_refusal_has_its_answer(kind: type[SVOpsError]) -> None:
    with Flask(__name__).test_request_context("/svops/api/v1/tasks/9"):
        answer = handle_refusal(kind("do this instead"))
    assert answer.status_code == STATUS[kind.__name__]
    assert answer.content_type == MEDIA_TYPE
    assert answer.get_json() == {
        "type": problem_type(kind),
        "title": answer.get_json()["title"],
        "status": STATUS[kind.__name__],
        "detail": "do this instead",
        "instance": "/svops/api/v1/tasks/9",
    }
    assert ("WWW-Authenticate" in answer.headers) is (answer.status_code == 401)
    assert ("Retry-After" in answer.headers) is (answer.status_code in {429, 503})


def test_programs_tell_problems_apart_by_their_type() -> None:
    assert problem_type(InvalidInput) == "urn:svops:problem:invalid-input"
    assert len({problem_type(kind) for kind in KINDS}) == len(KINDS)


def test_fields_that_are_to_blame_are_named() -> None:
    with Flask(__name__).test_request_context("/"):
        answer = handle_refusal(InvalidInput.field("name", "too long"))
    assert answer.get_json()["errors"] == {"name": ["too long"]}
    assert answer.get_json()["detail"] == "name: too long"


def test_an_unexpected_exception_tells_the_client_nothing_of_itself() -> None:
    with Flask(__name__).test_request_context("/"):
        answer = handle_unexpected(RuntimeError("secret of the server"))
    assert answer.status_code == 500
    assert answer.content_type == MEDIA_TYPE
    assert "secret" not in answer.get_data(as_text=True)


def test_flatten_drops_the_location_and_joins_nested_fields() -> None:
    nested = {"json": {"name": ["a", "b"], "conf": {"params": {"C": ["c"]}}, "tags": {0: ["d"]}}}
    assert flatten(nested) == {"name": ["a", "b"], "conf.params.C": ["c"], "tags.0": ["d"]}


def test_flatten_blames_the_whole_where_no_field_is_to_blame() -> None:
    assert flatten({"json": {"_schema": ["a"]}}) == {"body": ["a"]}
    assert flatten({"json": ["a"]}) == {"body": ["a"]}
    assert flatten({"json": {"conf": {"_schema": ["a"]}}}) == {"conf": ["a"]}


reasons = st.lists(st.text(min_size=1), min_size=1, max_size=3)
messages = st.recursive(
    reasons,
    lambda inner: st.dictionaries(st.text("abc", min_size=1, max_size=2), inner, min_size=1, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["json", "query"]), messages, min_size=1))
def test_flatten_loses_no_reason(nested: dict[str, Any]) -> None:
    def leaves(value: Any) -> list[str]:
        return (
            [leaf for inner in value.values() for leaf in leaves(inner)] if isinstance(value, dict) else value
        )

    found = [reason for each in flatten(nested).values() for reason in each]
    assert sorted(found) == sorted(leaves(nested))
