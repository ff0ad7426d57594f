"""What the event of a write tells of what was written: its fields before and after."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from svops_plugin.domain.entities import Dataset, Json, Task, Workflow
from svops_plugin.domain.permissions import Actor

LONGEST = 1000  # characters of a value as JSON; every reader of events gets each
FIELDS: Mapping[type, tuple[str, ...]] = {
    Dataset: ("name", "description", "path", "data_type", "gt_path", "tags"),
    Task: (
        "name",
        "description",
        "customer",
        "log_out_path",
        "branch_name",
        "commit_id",
        "build_config",
        "build_config_customized",
        "build_config_custom_conf",
        "build_config_custom_ini",
        "dataset_id",
        "video_out_enabled",
        "video_out_path",
        "tags",
    ),
    Workflow: ("name", "description", "dag_id", "is_active"),
}


def made_by(actor: Actor) -> Json:
    """Return who makes something, as entities have it; an operator at the command line is nobody there."""
    known = actor.user_id is not None
    return {"created_by_id": actor.user_id, "created_by": actor.username if known else None}


def fields_of(entity: Dataset | Task | Workflow) -> Json:
    """Return what people may write of an entity."""
    return {name: getattr(entity, name) for name in FIELDS[type(entity)]}


def shown(values: Mapping[str, Any]) -> Json:
    """Return values as an event has them: of a long one, the beginning of its JSON."""
    return {name: _shortened(value) for name, value in values.items()}


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Json:
    """Return which fields differ, in order, and what they were and are."""
    changed = sorted(name for name in after if before[name] != after[name])
    return {
        "changed": changed,
        "before": shown({name: before[name] for name in changed}),
        "after": shown({name: after[name] for name in changed}),
    }


def _shortened(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= LONGEST else f"{text[:LONGEST]}…"
