"""Telling somebody through SVOps' notifications from any DAG."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseNotifier

from svops_plugin.bootstrap import services


class SVOpsNotifier(BaseNotifier):
    """Sends a message through one of SVOps' notifications, as a callback of a DAG or a task.

    The task only writes down what is to be told; SVOps' server alone knows the address and sends. ::

        on_failure_callback=SVOpsNotifier("oncall", "{{ dag.dag_id }} has failed")

    :param config: the name of the notification
    :param title: what is told first; a template
    :param message: more about it; a template
    :raises NotFound: at the callback, if there is no such notification
    :raises Conflict: at the callback, if it is disabled, or only receives
    """

    template_fields = ("title", "message")

    def __init__(self, config: str, title: str, message: str = "") -> None:
        super().__init__()
        self.config = config
        self.title = title
        self.message = message

    def notify(self, context: Any) -> None:
        """Write down what is to be told."""
        ti = context.get("task_instance")
        services().notifications.request(
            self.config,
            self.title,
            self.message,
            getattr(context.get("dag"), "dag_id", None) or "airflow",
            getattr(ti, "log_url", None),
        )
