"""Airflow 3's way to the short address: ``/svops`` on the API server, beside ``/pluginsv2/svops``.

Airflow mounts the Flask app of plugins at ``/pluginsv2``. What is here hands ``/svops/api/v1`` to that same
Flask app; ``presentation/server.py`` mounts it.
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
    from starlette.types import Receive, Scope, Send

FLASK_MOUNT = "/pluginsv2"  # below which Airflow 3 serves Flask
THREADS = 16
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
NOTHING = "There is nothing at {}; the API is below /svops/api/v1."
_served: list[Any] = []


def serve(app: Flask) -> None:
    """Remember the Flask app that has the API's blueprints; of several the last counts."""
    _served[:] = [app]


class FlaskBridge:
    """An ASGI application that hands requests to the Flask app at their full path."""

    def __init__(self, mounted_at: str) -> None:
        self._mounted_at = mounted_at
        self._wsgi: dict[int, Any] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the mount's own part of the root path, not a base path, returns to the path."""
        from a2wsgi import WSGIMiddleware

        app = _served[-1]
        if id(app) not in self._wsgi:
            self._wsgi[id(app)] = WSGIMiddleware(app, workers=THREADS)
        root = str(scope.get("root_path", "")).removesuffix(self._mounted_at)
        await self._wsgi[id(app)]({**scope, "root_path": root}, receive, send)


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
