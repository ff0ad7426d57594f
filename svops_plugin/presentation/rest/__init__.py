"""The REST API: a blueprint and schemas per resource, below ``/svops/api/v1``."""

from __future__ import annotations

from flask import Blueprint


def blueprints() -> list[Blueprint]:
    """Return every blueprint of the API; the last one answers what the others do not know."""
    from svops_plugin.presentation.rest import auth, datasets, events, tasks, workflows
    from svops_plugin.presentation.rest.api import fallback, system

    resources = (auth, datasets, events, tasks, workflows)
    return [*(resource.blueprint for resource in resources), system, fallback]
