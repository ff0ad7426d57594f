"""All that Airflow loads of SVOps.

Every process loads it, so nothing is imported before it is asked for.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin


class SVOpsPlugin(AirflowPlugin):
    """Datasets, tasks and chains of pipelines in Airflow."""

    name = "svops"

    @property
    def flask_blueprints(self) -> list[Any]:  # type: ignore[override]  # evaluated by servers only
        """The REST API, and on Airflow 2.11 live events and what runs in the background."""
        from svops_plugin.bootstrap import host
        from svops_plugin.presentation.rest import blueprints

        if host().HAS_API_SERVER:
            return blueprints()
        from svops_plugin.presentation.webserver import blueprint

        return [*blueprints(), blueprint()]

    @property
    def fastapi_apps(self) -> list[Any]:  # type: ignore[override]  # evaluated by Airflow 3's API server only
        """The API's short address, live events, and what runs in the background."""
        from svops_plugin.presentation.server import application

        return [{"app": application(), "url_prefix": "/svops", "name": "SVOps"}]

    @property
    def listeners(self) -> list[Any]:  # type: ignore[override]  # as above
        """What makes tasks start quickly."""
        from svops_plugin.orchestration import listener

        return [listener]

    @property
    def appbuilder_views(self) -> list[Any]:  # type: ignore[override]  # evaluated by servers only
        """The pages."""
        from svops_plugin.presentation.views import views

        return views()

    @property
    def appbuilder_menu_items(self) -> list[Any]:  # type: ignore[override]  # as above
        """Where the pages stand in the bar of Airflow 2.11."""
        from svops_plugin.bootstrap import host
        from svops_plugin.presentation.views import menu

        return [] if host().HAS_API_SERVER else menu()

    @property
    def external_views(self) -> list[Any]:  # type: ignore[override]  # as above
        """Where the pages stand in Airflow 3."""
        from svops_plugin.presentation.views import frames

        return frames()
