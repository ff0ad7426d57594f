"""No module and no function is too long to be read in one go; see CONTRIBUTING.md, "Lint"."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST_MODULE, LONGEST_FUNCTION = 400, 50  # lines


def too_long(source: str) -> Iterator[str]:
    """Return what is too long in a module, and how long it is."""
    if (lines := len(source.splitlines())) > LONGEST_MODULE:
        yield f"the module: {lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > LONGEST_FUNCTION:
                yield f"{node.name}: {lines} lines"


@pytest.mark.parametrize("folder", ["svops_plugin", "dags", "tests", "benchmarks"])
def test_nothing_is_too_long(folder: str) -> None:
    modules = sorted((ROOT / folder).rglob("*.py"))
    assert modules
    found = {str(path.relative_to(ROOT)): list(too_long(path.read_text("utf-8"))) for path in modules}
    assert {path: what for path, what in found.items() if what} == {}


def test_what_is_too_long_is_named() -> None:
    body = "    pass\n" * LONGEST_FUNCTION
    assert list(too_long(f"def f():\n{body}")) == ["f: 51 lines"]
    assert list(too_long("\n" * LONGEST_MODULE)) == []
    assert list(too_long("\n" * LONGEST_MODULE + f"class C:\n  async def g():\n{body}")) == [
        "the module: 452 lines",
        "g: 51 lines",
    ]
