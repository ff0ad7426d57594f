"""The metrics in the code, in docs/metrics.md and on the dashboard are the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

from svops_plugin.domain.metrics import METRICS

DOCS = Path(__file__).parents[2] / "docs"
PARTS = ("_sum", "_count", "_bucket")


def documented() -> list[tuple[str, ...]]:
    """Return the rows of the table, the name without its backquotes."""
    lines = (DOCS / "metrics.md").read_text(encoding="utf-8").splitlines()
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines]
    return [(row[0].strip("`"), *row[1:]) for row in rows if row[0].startswith("`svops.") and len(row) == 5]


def test_the_page_tells_what_the_code_does() -> None:
    assert documented() == [
        (name, metric.kind.value, metric.unit, ", ".join(metric.tags), metric.meaning)
        for name, metric in METRICS.items()
    ]


def test_the_dashboard_shows_what_there_is() -> None:
    dashboard = json.loads((DOCS / "grafana" / "svops.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    known = {f"airflow_{name.replace('.', '_')}" for name, *_ in documented()}
    asked = {name for query in queries for name in re.findall(r"airflow_\w+", query)}
    assert asked
    assert {re.sub(rf"({'|'.join(PARTS)})$", "", name) for name in asked} <= known
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in dashboard["panels"])
