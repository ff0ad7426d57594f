"""Airflow 3's way to the short address: ``/svops`` on the API server, beside ``/pluginsv2/svops``.

Airflow mounts the Flask app of plugins at ``/pluginsv2``. The application here is mounted at ``/svops`` and
hands ``/svops/api/v1`` to that same Flask app.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from svops_plugin.bootstrap import services
from svops_plugin.presentation.rest.errors import MEDIA_TYPE

if TYPE_CHECKING:
    from fastapi import FastAPI
    from flask import Flask
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

THREADS = 16
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
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
        wsgi = self._wsgi.setdefault(id(app), WSGIMiddleware(app, workers=THREADS))
        root = str(scope.get("root_path", "")).removesuffix(self._mounted_at)
        await wsgi({**scope, "root_path": root}, receive, send)


@asynccontextmanager
async def _lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Run the monitor for as long as the API server serves."""
    stop = threading.Event()
    monitor = threading.Thread(
        target=lambda: services(pooled=True).monitor.run(stop), name="svops-monitor", daemon=True
    )
    monitor.start()
    yield
    stop.set()
    await asyncio.to_thread(monitor.join, 5)


def application() -> FastAPI:
    """Return the application for ``/svops``. A FastAPI one, because Airflow runs no other's lifespan."""
    from fastapi import FastAPI

    app = FastAPI(title="SVOps", openapi_url=None, docs_url=None, redoc_url=None, lifespan=_lifespan)
    app.mount("/api/v1", FlaskBridge("/svops/api/v1"))

    app.add_route("/{path:path}", nothing_here, methods=list(METHODS))
    return app


def nothing_here(request: Request) -> Response:
    """Answer for paths below ``/svops`` that nothing has."""
    from starlette.responses import JSONResponse

    body = {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": f"There is nothing at {request.url.path}; the API is below /svops/api/v1.",
        "instance": request.url.path,
    }
    return JSONResponse(body, 404, media_type=MEDIA_TYPE)
