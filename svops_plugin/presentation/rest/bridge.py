"""Airflow 3's way to the short address: ``/svops`` on the API server, beside ``/pluginsv2/svops``.

Airflow mounts the Flask app of plugins at ``/pluginsv2``. ``presentation/server.py`` mounts what hands
``/svops/api/v1`` to that same Flask app; here is what is known of it on both hosts.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from svops_plugin.bootstrap import host
from svops_plugin.presentation.rest.errors import MEDIA_TYPE
from svops_plugin.presentation.rest.guard import SECURITY_HEADERS

if TYPE_CHECKING:
    from flask import Flask
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response

FLASK_MOUNT = "/pluginsv2"  # below which Airflow 3 serves Flask
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOTHING = "There is nothing at {}; the API is below /svops/api/v1."
_served: list[Any] = []


def serve(app: Flask) -> None:
    """Remember the Flask app that has the API's blueprints; of several the last counts."""
    _served[:] = [app]


def served() -> Any:
    """Return the Flask app that has the API's blueprints."""
    return _served[-1]


def base_path() -> str:
    """Return the path below which Airflow is served, where no request tells it."""
    return urlsplit(str(host().pages_url())).path.removesuffix(FLASK_MOUNT)


def problem(request: HTTPConnection, status: HTTPStatus, detail: str) -> Response:
    """Return a problem answer (RFC 9457) where there is no Flask."""
    from starlette.responses import JSONResponse

    body = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "instance": request.url.path,
    }
    return JSONResponse(body, status, SECURITY_HEADERS, MEDIA_TYPE)


def nothing_here(request: Request) -> Response:
    """Answer for paths below ``/svops`` that nothing has."""
    return problem(request, HTTPStatus.NOT_FOUND, NOTHING.format(request.url.path))
