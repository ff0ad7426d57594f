"""Every page, once: its address, its title, its tab, and what one must be allowed to do to see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svops_plugin.domain.permissions import MENU, Actor


@dataclass(frozen=True)
class Page:
    """A page of the desk.

    :param module: the script that fills it
    :param title: in English
    :param tab: the entry of the menu that it belongs to
    :param needs: resource and action; none where the tab's will do
    """

    module: str
    title: str
    tab: str
    needs: tuple[str, str] | None = None

    def open_to(self, actor: Actor) -> bool:
        """Tell whether somebody may see it."""
        return actor.may(*(self.needs or MENU[self.tab]))


TABS: Mapping[str, str] = {
    "Board": "board",
    "Tasks": "tasks",
    "Datasets": "datasets",
    "Workflows": "workflows",
    "Notifications": "notifications",
    "Records": "records/tasks/",
}
PAGES: Mapping[str, Page] = {
    "/board": Page("board", "Board", "Board"),
    "/tasks": Page("tasks", "Tasks", "Tasks"),
    "/tasks/new": Page("task_form", "New task", "Tasks", ("task", "create")),
    "/tasks/<int:task_id>": Page("task", "Task", "Tasks"),
    "/tasks/<int:task_id>/edit": Page("task_form", "Edit task", "Tasks"),
    "/compare": Page("compare", "Compare", "Tasks"),
    "/run": Page("run", "About this run", "Board"),
    "/datasets": Page("datasets", "Datasets", "Datasets"),
    "/datasets/new": Page("dataset_form", "New dataset", "Datasets", ("dataset", "create")),
    "/datasets/<int:dataset_id>": Page("dataset", "Dataset", "Datasets"),
    "/datasets/<int:dataset_id>/edit": Page("dataset_form", "Edit dataset", "Datasets"),
    "/workflows": Page("workflows", "Workflows", "Workflows"),
    "/workflows/new": Page("workflow_form", "New workflow", "Workflows", ("workflow", "create")),
    "/workflows/<workflow_id>": Page("workflow", "Workflow", "Workflows"),
    "/workflows/<workflow_id>/edit": Page("workflow_form", "Edit workflow", "Workflows"),
    "/workflows/<workflow_id>/runs/new": Page(
        "run_form", "Run a workflow", "Workflows", ("workflow", "execute")
    ),
    "/workflows/<workflow_id>/runs/<run_id>": Page("workflow_run", "Run of a workflow", "Workflows"),
    "/notifications": Page("notifications", "Notifications", "Notifications"),
    "/notifications/new": Page(
        "notification_form", "New notification", "Notifications", ("notification", "create")
    ),
    "/notifications/<config_name>": Page("notification", "Notification", "Notifications"),
}


def tabs_for(actor: Actor) -> list[str]:
    """Return the entries of the menu that somebody may use."""
    return [name for name, needs in MENU.items() if actor.may(*needs)]
