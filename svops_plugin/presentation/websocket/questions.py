"""What clients ask over a socket, answered by the use cases."""

from __future__ import annotations

from typing import Any

from svops_plugin.application.event_ports import HubRow
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import Json
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.rest.workflows import dump_detail


class UseCaseQuestions:
    """See :class:`svops_plugin.presentation.websocket.protocol.Questions`."""

    def require_workflow(self, actor: Actor, workflow_id: int) -> None:
        """Refuse a workflow that does not exist."""
        services(pooled=True).workflows.get(actor, workflow_id)

    def run_status(self, actor: Actor, workflow_id: int, run_id: int) -> Json:
        """Return how a run stands."""
        return dump_detail(services(pooled=True).workflows.detail(actor, workflow_id, run_id))

    def stats(self, actor: Actor) -> Json:
        """Return who is connected to which process."""
        actor.require("event", "read")
        return dump_stats(services(pooled=True).hub.all_rows())


def dump_stats(rows: Any) -> Json:
    """Return what the hubs say as clients read it: sums over all processes, then each of them."""
    processes = [_dump_row(row) for row in rows]
    return {
        "total_connections": sum(one["connections"] for one in processes),
        "global_subscribers": sum(one["global_subscribers"] for one in processes),
        "user_subscribers": _added([one["user_subscribers"] for one in processes]),
        "workflow_subscribers": _added([one["workflow_subscribers"] for one in processes]),
        "sent": sum(one["sent"] for one in processes),
        "dropped": sum(one["dropped"] for one in processes),
        "lag": max(one["lag"] for one in processes),
        "processes": processes,
    }


def _dump_row(row: HubRow) -> Json:
    return {
        "host": row.host,
        "pid": row.pid,
        "heartbeat_at": row.heartbeat_at.isoformat(),
        "last_event_id": row.last_event_id,
        "connections": row.connections,
        "global_subscribers": row.subscribers.get("global", 0),
        "user_subscribers": row.subscribers.get("user", {}),
        "workflow_subscribers": row.subscribers.get("workflow", {}),
        "sent": row.sent,
        "dropped": row.dropped,
        "lag": row.lag,
    }


def _added(counts: list[dict[str, int]]) -> dict[str, int]:
    added: dict[str, int] = {}
    for count in counts:
        for key, number in count.items():
            added[key] = added.get(key, 0) + number
    return added
