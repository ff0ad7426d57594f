"""What the hosts do not have in common is written down for their users."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"only_on\(([^)]*)\)")


def test_a_difference_between_the_hosts_is_a_row_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| | Airflow 3.3 | Airflow 2.11 |") :]
    rows = set(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))
    marks = {
        (mark, path.name)
        for path in (ROOT / "tests").rglob("test_*.py")
        if path != Path(__file__)
        for mark in MARK.findall(path.read_text())
    }
    assert marks
    for mark, name in marks:
        said = re.fullmatch(r'"airflow[23]", "([^"]+)"', mark)
        assert said, f"{name}: only_on({mark}) names no row"
        assert said[1] in rows, f"{name}: the README has no row {said[1]!r}"
