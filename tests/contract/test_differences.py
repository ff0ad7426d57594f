"""What the hosts do not have in common is written down for their users."""

from __future__ import annotations

import re
from pathlib import Path

from tests.hosts import DIFFERENCES, OF_THE_TESTS, airflow2, airflow3

ROOT = Path(__file__).parents[2]
MARK = re.compile(r"only_on\(([^)]*)\)")


def rows() -> set[str]:
    """Return what the README's table of compatibility is about."""
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("| | Airflow 3.3 | Airflow 2.11 |") :].partition("\n\n")[0]
    return set(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE))


def test_a_constant_of_the_tests_that_differs_is_a_row_of_the_readme() -> None:
    older, newer = (
        {name: value for name, value in vars(module).items() if name.isupper()}
        for module in (airflow2, airflow3)
    )
    differing = {name for name in {*older, *newer} if older.get(name) != newer.get(name)}
    assert differing == DIFFERENCES.keys() | OF_THE_TESTS
    assert not DIFFERENCES.keys() & OF_THE_TESTS
    assert set(DIFFERENCES.values()) <= rows()


def test_a_difference_between_the_hosts_is_a_row_of_the_readme() -> None:
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
        assert said[1] in rows(), f"{name}: the README has no row {said[1]!r}"
