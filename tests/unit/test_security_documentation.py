"""The threat model names tests, and each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py(?:::\w+)*)`", TEXT)))


@pytest.mark.parametrize("name", NAMED)
def test_it_exists(name: str) -> None:
    file, *parts = name.split("::")
    inside: list[ast.stmt] = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in parts:
        (found,) = (node for node in inside if getattr(node, "name", None) == part)
        assert part.startswith("test_" if isinstance(found, ast.FunctionDef) else "Test")
        inside = getattr(found, "body", [])


def test_every_threat_has_one() -> None:
    threats = [
        line
        for line in TEXT.splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
    ]
    assert len(threats) > 20
    assert not [line for line in threats if "`tests/" not in line.split("|")[3]]
