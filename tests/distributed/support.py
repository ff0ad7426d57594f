"""What the tests of a deployment ask of its REST API."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from svops_plugin.pipelines.samples import SampleDataset, create

BUCKET = "svops"
STORE = f"s3://store@{BUCKET}"
ENDED = {"completed", "failed", "cancelled"}


def ask(api: httpx.Client, method: str, path: str, **parts: Any) -> dict[str, Any]:
    answer = api.request(method, path, **parts)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def vectors(folder: Path) -> SampleDataset:
    """Make the sample set of feature vectors below a folder."""
    return next(one for one in create(folder) if one.data_type == "Vector")


def keep_tasks(api: httpx.Client, path: str, output: str, names: Sequence[str]) -> list[int]:
    """Keep the sample set of feature vectors, which is at a path, and tasks for it."""
    dataset = {
        "name": f"digits of {names[0]}",
        "data_type": "Vector",
        "path": path,
        "gt_path": f"{path}/labels.csv",
    }
    dataset_id = ask(api, "POST", "datasets", json=dataset)["id"]
    body = {
        "customer": "tests",
        "dataset_id": dataset_id,
        "build_config": "test-config-e2e",
        "log_out_path": output,
    }
    return [ask(api, "POST", "tasks", json={**body, "name": name})["id"] for name in names]


def all_ended(api: httpx.Client, task_ids: Sequence[int]) -> bool:
    standing = api.get("tasks/standing", params={"ids": ",".join(map(str, task_ids))})
    if not standing.is_success:
        return False
    return all(one["overall_status"] in ENDED for one in standing.json()["items"])
