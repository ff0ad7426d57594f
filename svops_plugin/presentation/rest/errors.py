"""Refusals as answers: RFC 9457 problem details, never a traceback, never HTML."""

from __future__ import annotations

import json
import logging
import math
import re
from http import HTTPStatus

from flask import Blueprint, Response, request
from marshmallow import Schema
from werkzeug.exceptions import HTTPException, default_exceptions
from werkzeug.http import HTTP_STATUS_CODES

from svops_plugin.domain import errors
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import FieldErrors, InvalidInput, SVOpsError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[SVOpsError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.PermissionDenied: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Gone: HTTPStatus.GONE,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.TooManyRequests: HTTPStatus.TOO_MANY_REQUESTS,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConfigurationProblem: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotSupported: HTTPStatus.NOT_IMPLEMENTED,
}


def problem_type(kind: type[SVOpsError]) -> str:
    """Return the URI that tells a kind of problem from the others."""
    return "urn:svops:problem:" + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.__name__).lower()


def problem_body(
    status: HTTPStatus,
    detail: str,
    instance: str,
    kind: str = "about:blank",
    fields: FieldErrors | None = None,
) -> Json:
    """Return problem details.

    :param kind: the URI of the kind of problem, where the status alone does not tell
    :param fields: reasons by field, where fields are to blame
    """
    body: Json = {
        "type": kind,
        "title": HTTP_STATUS_CODES[status],
        "status": status.value,
        "detail": detail,
        "instance": instance,
    }
    if fields:
        body["errors"] = {name: list(reasons) for name, reasons in fields.items()}
    return body


def problem(status: HTTPStatus, detail: str) -> Response:
    """Return a problem answer; see :func:`problem_body`."""
    body = problem_body(status, detail, request.path)
    return Response(json.dumps(body), status.value, content_type=MEDIA_TYPE)


def handle_refusal(refusal: SVOpsError, **more: object) -> Response:
    """Answer a refusal by its kind.

    :param more: what a program may want to know besides
    """
    status = STATUS[type(refusal)]
    fields = refusal.errors if isinstance(refusal, InvalidInput) else None
    body = problem_body(status, str(refusal), request.path, problem_type(type(refusal)), fields)
    answer = Response(json.dumps({**body, **more}), status.value, content_type=MEDIA_TYPE)
    if status is HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "5"
    if isinstance(refusal, errors.TooManyRequests):
        answer.headers["Retry-After"] = str(math.ceil(refusal.seconds))
    return answer


def handle_http(error: HTTPException) -> Response:
    """Answer what Flask and Werkzeug refuse."""
    answer = problem(HTTPStatus(error.code or 500), error.description or "")
    for name, value in error.get_headers():
        if name.lower() not in {"content-type", "content-length"}:
            answer.headers[name] = value
    return answer


def handle_unexpected(error: Exception) -> Response:
    """Answer a defect of ours: the log has the traceback, the client does not."""
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "SVOps failed; the server's log says why.")


def show_current(blueprint: Blueprint, schema: Schema) -> None:
    """Let the blueprint answer a conflict with what somebody else has made of the resource meanwhile."""

    def handle_conflict(refusal: errors.Conflict) -> Response:
        if refusal.current is None:
            return handle_refusal(refusal)
        return handle_refusal(refusal, current=schema.dump(refusal.current))

    blueprint.register_error_handler(errors.Conflict, handle_conflict)


def install(blueprint: Blueprint) -> None:
    """Let the blueprint answer every error itself.

    Flask takes a handler of the application's for one status, as Airflow 2.11 has for some, rather than one
    of the blueprint's for all: so each status gets its own.
    """
    for code in default_exceptions:
        blueprint.register_error_handler(code, handle_http)
    blueprint.register_error_handler(SVOpsError, handle_refusal)
    blueprint.register_error_handler(HTTPException, handle_http)
    blueprint.register_error_handler(Exception, handle_unexpected)
