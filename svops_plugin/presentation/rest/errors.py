"""Refusals as answers: RFC 9457 problem details, never a traceback, never HTML."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from svops_plugin.domain import errors
from svops_plugin.domain.errors import FieldErrors, InvalidInput, SVOpsError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUS: dict[type[SVOpsError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotAuthenticated: HTTPStatus.UNAUTHORIZED,
    errors.PermissionDenied: HTTPStatus.FORBIDDEN,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ConfigurationProblem: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.NotSupported: HTTPStatus.NOT_IMPLEMENTED,
}


def problem(status: HTTPStatus, detail: str, fields: FieldErrors | None = None) -> Response:
    """Return a problem answer (RFC 9457).

    :param fields: reasons by field, where fields are to blame
    """
    body: dict[str, object] = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": request.path,
    }
    if fields:
        body["errors"] = {name: list(reasons) for name, reasons in fields.items()}
    return Response(json.dumps(body), status.value, content_type=MEDIA_TYPE)


def handle_refusal(refusal: SVOpsError) -> Response:
    """Answer a refusal by its kind."""
    status = STATUS[type(refusal)]
    answer = problem(status, str(refusal), refusal.errors if isinstance(refusal, InvalidInput) else None)
    if status is HTTPStatus.UNAUTHORIZED:
        answer.headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        answer.headers["Retry-After"] = "5"
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


def install(blueprint: Blueprint) -> None:
    """Let the blueprint answer every error itself."""
    blueprint.register_error_handler(SVOpsError, handle_refusal)
    blueprint.register_error_handler(HTTPException, handle_http)
    blueprint.register_error_handler(Exception, handle_unexpected)
