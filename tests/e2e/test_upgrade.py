"""From Airflow 2.11 to 3.3 in one home, as `make run AIRFLOW=2.11` and then `make run` do it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import standing

NEWER = Path(__file__).parents[2] / ".venv" / "bin" / "python"
NEWEST_FIRST = (
    "datasets",
    "tasks/1/executions",
    "workflows",
    "workflows/wf_1/runs",
    "workflows/wf_2/runs",
    "workflows/wf_3/runs",
)


def history(api: httpx.Client) -> dict[str, list[dict[str, Any]]]:
    """Return what SVOps tells of what has been, the oldest first."""

    def items(path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get(path).raise_for_status().json()["items"]
        return found

    told = {path: items(path)[::-1] for path in NEWEST_FIRST}
    for dataset in told["datasets"]:  # where the newest run's list of files is, which the second start makes
        (dataset["profile"] or {}).pop("listing", None)
    return {**told, "events": items("events?since=0&limit=1000")}


@pytest.mark.only_on("airflow2", "Upgrade")
@pytest.mark.skipif(not NEWER.exists(), reason="Airflow 3.3 is not installed here too; `make lint` does that")
def test_an_upgrade_keeps_the_history_and_the_tasks() -> None:
    """Each start executes the home's sample task: the second start does so with the other Airflow."""
    with tempfile.TemporaryDirectory(prefix="svops-e2e-") as folder:
        home = Path(folder, "home")
        with standing(home) as (api, _):
            before = history(api)
        with standing(home, str(NEWER)) as (api, _):
            after = history(api)
            results = api.get("tasks/1").raise_for_status().json()["result"]
    for path, items in before.items():
        assert after[path][: len(items)] == items, path
    assert [one["overall_status"] for one in after["tasks/1/executions"]] == ["completed"] * 2
    assert results["metrics"]["accuracy"] >= 0.95
