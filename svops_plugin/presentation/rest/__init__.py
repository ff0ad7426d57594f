"""The REST API: a blueprint and schemas per resource, below ``/svops/api/v1``."""

from __future__ import annotations

from flask import Blueprint


def blueprints() -> list[Blueprint]:
    """Return every blueprint of the API; the last one answers what the others do not know."""
    from svops_plugin.presentation.rest import auth, datasets, tasks, workflows
    from svops_plugin.presentation.rest.api import fallback, system

    return [auth.blueprint, datasets.blueprint, tasks.blueprint, workflows.blueprint, system, fallback]
