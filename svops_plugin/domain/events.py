"""Every type of event, and a JSON Schema of the ``data`` that each carries.

The fields around ``data`` are the same for all and stand in the wire contract. ``docs/events.md`` says the
same for people, and a test holds the two together. Fields may be added to a type; none is taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
INTEGER: Schema = {"type": "integer"}
INTEGER_OR_NONE: Schema = {"type": ["integer", "null"]}
OBJECT: Schema = {"type": "object"}
NAMES: Schema = {"type": "array", "items": TEXT}


def _data(required: Mapping[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


ERROR = _data(
    {"message": TEXT, "dag_id": TEXT_OR_NONE, "task_id": TEXT_OR_NONE, "log_url": TEXT_OR_NONE},
    log_tail=NAMES,
)
PROGRESS = _data({"done": INTEGER, "total": INTEGER, "message": TEXT})

_FROM: Mapping[str, Schema] = {"address": TEXT_OR_NONE}  # of who asked
_MADE, _REMOVED = {**_FROM, "after": OBJECT}, {**_FROM, "before": OBJECT}
_CHANGED = {**_MADE, **_REMOVED, "changed": NAMES}
_TASK: Mapping[str, Schema] = {
    "name": TEXT,
    "status": TEXT,
    "customer": TEXT,
    "branch_name": TEXT_OR_NONE,
    "commit_id": TEXT_OR_NONE,
}
_ATTEMPT: Mapping[str, Schema] = {**_TASK, "attempt": INTEGER}
_RUN = _data(
    {
        "dag_id": TEXT,
        "dag_run_id": TEXT,
        "status": TEXT,
        "position": INTEGER_OR_NONE,
        "progress": PROGRESS,
    },
    error=ERROR,
    **_FROM,
)
_WORKFLOW: Mapping[str, Schema] = {"name": TEXT, "dag_id": TEXT}
_DATASET: Mapping[str, Schema] = {"dataset_id": INTEGER, "name": TEXT}
_USER = _data({"username": TEXT, "address": TEXT_OR_NONE}, changed=NAMES, before=OBJECT, after=OBJECT)
_CONFIG = _data(
    {"name": TEXT, "channel": TEXT, "address": TEXT_OR_NONE}, changed=NAMES, before=OBJECT, after=OBJECT
)
_DELIVERY: Mapping[str, Schema] = {"name": TEXT, "channel": TEXT, "event_id": INTEGER_OR_NONE}

EVENT_TYPES: Mapping[str, Schema] = {
    "task.created": _data(_TASK, **_MADE),
    "task.updated": _data(
        _TASK, attempt=INTEGER, stop_requested={"type": "boolean"}, error=ERROR, **_CHANGED
    ),
    "task.deleted": _data(_TASK, **_REMOVED),
    "task.queued": _data(_ATTEMPT),
    "task.started": _data(_ATTEMPT, **_FROM),
    "task.completed": _data({**_ATTEMPT, "result": OBJECT}),
    "task.failed": _data({**_ATTEMPT, "error": ERROR}),
    "task.cancelled": _data(_ATTEMPT),
    "workflow.created": _data({**_WORKFLOW, **_MADE}),
    "workflow.updated": _data({**_WORKFLOW, **_CHANGED}),
    "workflow.triggered": _RUN,
    "workflow.retried": _RUN,
    "workflow.started": _RUN,
    "workflow.progress": _RUN,
    "workflow.completed": _RUN,
    "workflow.failed": _RUN,
    "workflow.stopped": _RUN,
    "workflow.skipped": _RUN,
    "dataset.created": _data(_DATASET, **_MADE),
    "dataset.updated": _data({**_DATASET, "changed": NAMES}, **_FROM, before=OBJECT, after=OBJECT),
    "dataset.deleted": _data(_DATASET, **_REMOVED),
    "notification.created": _CONFIG,
    "notification.updated": _CONFIG,
    "notification.deleted": _CONFIG,
    "notification.requested": _data(
        {"name": TEXT, "title": TEXT, "message": TEXT, "log_url": TEXT_OR_NONE}, test={"type": "boolean"}
    ),
    "notification.sent": _data(_DELIVERY),
    "notification.failed": _data({**_DELIVERY, "message": TEXT}),
    "user.created": _USER,
    "user.updated": _USER,
    "user.deleted": _USER,
    "webhook.received": _data({"source": TEXT, "payload": OBJECT}),
    "system.error": _data({"message": TEXT, "component": TEXT}),
}
