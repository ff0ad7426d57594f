"""The REST API: a blueprint and schemas per resource, below ``/svops/api/v1``."""

from __future__ import annotations

from flask import Blueprint, Flask


def blueprints() -> list[Blueprint]:
    """Return every blueprint of the API; the last two answer what the others do not know."""
    from svops_plugin.presentation.rest import (
        auth,
        dags,
        datasets,
        docs,
        events,
        executions,
        health,
        notifications,
        presets,
        tasks,
        users,
        workflows,
    )
    from svops_plugin.presentation.rest.api import fallback, outside

    resources = (
        auth,
        dags,
        datasets,
        docs,
        events,
        executions,
        health,
        notifications,
        presets,
        tasks,
        users,
        workflows,
    )
    return [*(resource.blueprint for resource in resources), fallback, outside]


def documented_app() -> Flask:
    """Return an application of the API alone, for whoever wants to know its routes; it serves nobody."""
    app = Flask(__name__, static_folder=None)
    for blueprint in blueprints():
        app.register_blueprint(blueprint, serves=False)
    return app
