"""The pages: shells that Flask-AppBuilder serves, filled in the browser through the REST API."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from svops_plugin import __version__
from svops_plugin.bootstrap import host
from svops_plugin.domain.permissions import MENU
from svops_plugin.presentation.rest.api import ROOT
from svops_plugin.presentation.views.pages import TABS

CATEGORY = "SVOps"
RUN_PAGE = "run?dag_id={DAG_ID}&run_id={RUN_ID}"  # what is in braces is Airflow's to fill in


def views() -> list[dict[str, Any]]:
    """Return the views; without a name they stay out of Airflow 3's *Legacy Views*."""
    from svops_plugin.presentation.views.desk import Desk
    from svops_plugin.presentation.views.records import RECORDS

    return [{"view": view} for view in (Desk, *RECORDS)]


def menu() -> list[dict[str, str]]:
    """Return the entries of the native bar of Airflow 2.11."""
    root = urlsplit(host().pages_url()).path + ROOT
    return [{"name": name, "category": CATEGORY, "href": f"{root}/{TABS[name]}"} for name in MENU]


def frames() -> list[dict[str, Any]]:
    """Return what Airflow 3 shows in frames: the desk in its menu, and a tab of each DAG run."""
    root = urlsplit(host().pages_url()).path + ROOT
    files = f"{root}/static/{__version__}"
    icon = {"icon": f"{files}/svops.svg", "icon_dark_mode": f"{files}/svops-dark.svg"}
    return [
        {
            "name": CATEGORY,
            "href": f"{root}/board",
            "url_route": "svops",
            "nav_top_level": True,
            "destination": "nav",
            **icon,
        },
        {
            "name": CATEGORY,
            "href": f"{root}/{RUN_PAGE}",
            "url_route": "svops-run",
            "destination": "dag_run",
            **icon,
        },
    ]
