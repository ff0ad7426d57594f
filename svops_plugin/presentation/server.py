"""What Airflow 3's API server mounts at ``/svops``, and what runs with it in the background."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from svops_plugin.bootstrap import services
from svops_plugin.presentation.background import Background, jobs
from svops_plugin.presentation.rest.bridge import METHODS, nothing_here
from svops_plugin.presentation.rest.wsgi import FlaskBridge
from svops_plugin.presentation.websocket.starlette import Sockets

if TYPE_CHECKING:
    from fastapi import FastAPI

GC_THRESHOLD = 50_000  # more new objects than the largest crowd of sockets makes at once


def _calm_garbage_collector() -> None:
    """Keep the garbage collector from halting the process while it tells events to thousands of sockets.

    Each event lets every socket's writer wait anew, and a few thousand objects that come and go at once make
    the collector run with its usual threshold, and go through everything every few seconds. What the server
    has loaded never becomes garbage, and is over a million objects: it is set aside, once.
    """
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])


def application() -> FastAPI:
    """Return the application for ``/svops``. A FastAPI one, because Airflow runs no other's lifespan."""
    from fastapi import FastAPI

    sockets = Sockets()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        own = services(pooled=True)
        _calm_garbage_collector()
        async with sockets.serving(own.hub):
            background = Background(jobs(own), own.transactions)
            try:
                yield
            finally:
                await asyncio.to_thread(background.stop)

    app = FastAPI(title="SVOps", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.mount("/api/v1", FlaskBridge("/svops/api/v1"))
    app.router.routes.extend(sockets.routes())
    app.add_route("/{path:path}", nothing_here, methods=list(METHODS))
    return app
