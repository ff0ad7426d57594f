"""The API's description (OpenAPI 3.1), made of the views' decorators, their schemas and the vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields
from werkzeug.http import HTTP_STATUS_CODES

from svops_plugin import __version__
from svops_plugin.domain import errors
from svops_plugin.domain.entities import LARGEST_ID, Json
from svops_plugin.domain.errors import SVOpsError
from svops_plugin.presentation.rest.api import PREFIX
from svops_plugin.presentation.rest.errors import MEDIA_TYPE, STATUS, problem_body, problem_type
from svops_plugin.presentation.rest.operations import JSON, Operation, operation_of
from svops_plugin.presentation.rest.schemas import (
    MAX_KEY,
    SOMETIMES,
    PrefixedId,
    ProblemSchema,
    list_schema,
)
from svops_plugin.presentation.rest.vocabulary import meaning

if TYPE_CHECKING:
    from flask import Flask
    from werkzeug.routing import Rule

INTRODUCTION = """\
Datasets, tasks and their execution as a chain of Airflow DAGs.

Sign in with `POST auth/login` and send the access token as `Authorization: Bearer …`. Times are ISO 8601
with offset. Every path is good with and without a slash at its end. Errors are problem details (RFC 9457):
`detail` says what to do, `errors` names the fields to blame, and `type` is the kind of problem, by which a
program tells them apart.

Live events come over WebSockets below `/svops/ws`; `docs/events.md` describes them."""
SIGN_IN = "/auth/login/oauth2"  # below the API's prefix
SECURITY: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "oauth2": {"type": "oauth2", "flows": {"password": {"tokenUrl": PREFIX + SIGN_IN, "scopes": {}}}},
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": "_token",
        "description": "What Airflow's own login leaves in a browser. A write needs an Origin of this site, "
        "or the CSRF token of a page as X-CSRFToken.",
    },
}
IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A second request with the same key gets the first one's answer and does nothing.",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY},
    "example": "5f0c8e0a-2b1d-4a35-8d52-6a7f6a1c9f11",
}
PREFIXED_IDS = {"workflow_id": "wf", "run_id": "run"}
HTTP_PROBLEMS = {
    HTTPStatus.BAD_REQUEST: "The body is not JSON.",
    HTTPStatus.LENGTH_REQUIRED: "The body has no Content-Length.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The body is of another media type.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "A defect of SVOps; the server's log says more.",
}


@cache
def describe(app: Flask) -> Json:
    """Return the description of the API that an application serves."""
    marshmallow = MarshmallowPlugin(schema_name_resolver=schema_name)
    spec = APISpec(
        title="SVOps",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": INTRODUCTION, "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"}},
        servers=[{"url": PREFIX}],
        security=[{"bearer": []}, {"oauth2": []}, {"cookie": []}],
        plugins=[marshmallow],
    )
    converter: Any = marshmallow.converter
    converter.map_to_openapi_type(PrefixedId, "string", None)
    converter.add_attribute_function(_said)
    for name, scheme in SECURITY.items():
        spec.components.security_scheme(name, scheme)
    spec.components.schema("Problem", schema=ProblemSchema)
    for name, response in _refusals():
        spec.components.response(name, response)
    described = [(rule, view, operation) for rule, view, operation in operations(app) if operation.status]
    for tag in dict.fromkeys(_tag(rule) for rule, _, _ in described):
        spec.tag({"name": tag})
    for rule, view, operation in described:
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            spec.path(path_of(rule), operations={method.lower(): _operation(rule, view, operation)})
    return _with_required(spec.to_dict(), described)


def operations(app: Flask) -> Iterator[tuple[Rule, Any, Operation]]:
    """Return every route of the API in the order of their paths, with its view and what is known of it."""
    own = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("svops_")]
    for rule in sorted(own, key=lambda rule: (path_of(rule), sorted(rule.methods or ()))):
        view = app.view_functions[rule.endpoint]
        yield rule, view, operation_of(view)


def path_of(rule: Rule) -> str:
    """Return the path of a route below the API's prefix, as OpenAPI writes it."""
    return re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule).removeprefix(PREFIX).rstrip("/") or "/"


def schema_name(schema: Any) -> str:
    """Return the name that a schema goes by."""
    kind: type = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def example(schema: Schema) -> Json:
    """Return an example of what a schema describes."""
    return {
        field.data_key or name: _example_of(schema, field.data_key or name, field)
        for name, field in schema.fields.items()
    }


def _example_of(schema: Schema, name: str, field: fields.Field) -> Any:  # type: ignore[type-arg]  # see PrefixedId
    inner = field.inner if isinstance(field, fields.List) else field
    if isinstance(inner, fields.Nested):
        made = example(inner.schema)
        return [made] if inner is not field else made
    return meaning(schema_name(schema), name)[1]


def _said(_converter: Any, field: Any, ret: Json) -> Json:
    """Describe a field in the vocabulary's words; the items of a list have none of their own."""
    if not isinstance(field.parent, Schema) or "description" in ret:
        return {}
    return {"description": meaning(schema_name(field.parent), field.data_key or field.name)[0]}


def _tag(rule: Rule) -> str:
    return str(rule.endpoint).partition(".")[0].removeprefix("svops_")


def _operation(rule: Rule, view: Any, operation: Operation) -> Json:
    summary, _, rest = (view.__doc__ or "").strip().partition("\n")
    described: Json = {
        "tags": [_tag(rule)],
        "operationId": f"{_tag(rule)}_{rule.endpoint.partition('.')[2]}",
        "summary": summary.rstrip("."),
        "parameters": list(_parameters(rule, operation)),
        "responses": _responses(rule, operation),
    }
    if rest.strip():
        described["description"] = " ".join(rest.split())
    if operation.anonymous:
        described["security"] = []
    if operation.body is not None:
        required = any(field.required for field in operation.body.fields.values())
        media_type = "application/x-www-form-urlencoded" if operation.form else JSON
        content = {"schema": type(operation.body), "example": example(operation.body)}
        described["requestBody"] = {"required": required, "content": {media_type: content}}
    return described


def _parameters(rule: Rule, operation: Operation) -> Iterator[Json]:
    for name in sorted(rule.arguments, key=rule.rule.index):
        if name in PREFIXED_IDS:
            schema: Json = {"type": "string", "pattern": f"^({PREFIXED_IDS[name]}_)?[0-9]{{1,10}}$"}
        elif f"<int:{name}>" in rule.rule:
            schema = {"type": "integer", "minimum": 0, "maximum": LARGEST_ID}
        else:
            schema = {"type": "string"}
        said, given = meaning("path", name)
        yield {
            "name": name,
            "in": "path",
            "required": True,
            "description": said,
            "schema": schema,
            "example": given,
        }
    if operation.once:
        yield IDEMPOTENCY_KEY
    if operation.query is not None:
        yield {"in": "query", "schema": type(operation.query)}


def _responses(rule: Rule, operation: Operation) -> Json:
    found: Json = {}
    for status in (operation.status, operation.also):
        if status is not None:
            found[str(status.value)] = _answer(status, operation)
    kinds: list[type[SVOpsError]] = [errors.TooManyRequests, *operation.refuses]
    plain = [HTTPStatus.INTERNAL_SERVER_ERROR]
    if not operation.anonymous:
        kinds += [errors.NotAuthenticated, errors.PermissionDenied]
    if rule.arguments:
        kinds.append(errors.NotFound)
    if operation.body is not None or operation.query is not None or operation.once:
        kinds.append(errors.InvalidInput)
    if operation.body is not None:
        plain += [
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.LENGTH_REQUIRED,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        ]
    if operation.also is None:
        kinds.append(errors.Unavailable)
    for kind in kinds:
        found[str(STATUS[kind].value)] = kind.__name__
    for status in plain:
        found[str(status.value)] = _plain_name(status)
    return dict(sorted(found.items()))


def _answer(status: HTTPStatus, operation: Operation) -> Json:
    if status is HTTPStatus.NO_CONTENT:
        return {"description": "Done."}
    if operation.answer is None:
        schema = {"type": "object"} if operation.media_type == JSON else {"type": "string"}
        return {
            "description": HTTP_STATUS_CODES[status],
            "content": {operation.media_type: {"schema": schema}},
        }
    made: Any = example(operation.answer)
    schema_of: Any = type(operation.answer)
    if operation.in_pages:
        made = {"items": [made], "total": 1, "skip": 0, "limit": 100}
        schema_of = list_schema(schema_of)
    return {
        "description": (operation.answer.__doc__ or "").strip().splitlines()[0],
        "content": {JSON: {"schema": schema_of, "example": made}},
    }


def _plain_name(status: HTTPStatus) -> str:
    return HTTP_STATUS_CODES[status].title().replace(" ", "")


def _refusals() -> Iterator[tuple[str, Json]]:
    """Return the catalogue of problems: every kind with its type, and what HTTP itself refuses."""
    for kind, status in STATUS.items():
        why = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        reasons = {"name": ["Missing data for required field."]} if kind is errors.InvalidInput else None
        body = problem_body(status, why, f"{PREFIX}/tasks", problem_type(kind), reasons)
        yield kind.__name__, _refusal(f"{why} Its type is `{problem_type(kind)}`.", body)
    for status, why in HTTP_PROBLEMS.items():
        yield _plain_name(status), _refusal(why, problem_body(status, why, f"{PREFIX}/tasks"))


def _refusal(description: str, body: Json) -> Json:
    content = {MEDIA_TYPE: {"schema": ProblemSchema, "example": body}}
    return {"description": description, "content": content}


def _with_required(described: Json, found: list[tuple[Rule, Any, Operation]]) -> Json:
    """Say which fields every answer has: all that are not marked otherwise."""
    sent = {schema_name(operation.body) for _, _, operation in found if operation.body is not None}
    for name, schema in described["components"]["schemas"].items():
        properties = schema.get("properties", {})
        always = [key for key, value in properties.items() if not value.pop(next(iter(SOMETIMES)), False)]
        if name not in sent:
            schema["required"] = always
    return described
