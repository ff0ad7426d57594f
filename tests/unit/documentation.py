"""The blocks of code in README and docs, and what stands before each: who runs it, or why nobody does.

A comment on the line before a block says one of::

    <!-- run by tests/unit/test_one.py::test_this -->
    <!-- checked by tests/unit/test_one.py::test_this -->
    <!-- not run: the reason -->

*Run* is a block that the test executes as it stands, but for ports, folders and passwords. *Checked* is one
that is not executed, but held against what it speaks of. CONTRIBUTING.md says more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"docs/api.md"}  # `make docs`; tests/integration/test_openapi.py looks at its examples
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)$")
MARK = re.compile(r"^ *<!-- (?:(?P<how>run|checked) by (?P<test>\S+)|not run: (?P<reason>.+)) -->$")


@dataclass(frozen=True)
class Block:
    """A block of code in a document, with the mark before it.

    :param test: the test that its mark names
    :param reason: why none runs it, as its mark says
    """

    document: str
    line: int
    language: str
    text: str
    test: str | None
    reason: str | None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[str]:
    """Return the documents that people write."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted({str(path.relative_to(ROOT)) for path in found} - GENERATED)


def blocks(document: str) -> list[Block]:
    """Return the blocks of a document in their order."""
    lines = (ROOT / document).read_text(encoding="utf-8").splitlines()
    found, number = [], 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        end = lines.index(f"{fence['indent']}```", number + 1)
        text = "\n".join(line.removeprefix(fence["indent"]) for line in lines[number + 1 : end])
        mark = MARK.match(lines[number - 1]) if number else None
        test, reason = (mark["test"], mark["reason"]) if mark else (None, None)
        found.append(Block(document, number + 1, fence["language"], text, test, reason))
        number = end + 1
    return found


def all_blocks() -> list[Block]:
    """Return the blocks of all documents."""
    return [block for document in documents() for block in blocks(document)]


def for_each_block(module: str, name: str) -> pytest.MarkDecorator:
    """Return what runs a test with each block that names it.

    :param module: the test's own file
    """
    test = f"{Path(module).relative_to(ROOT)}::{name}"
    named = [block for block in all_blocks() if block.test == test]
    return pytest.mark.parametrize("block", named, ids=str)


def the_block(document: str, language: str, saying: str = "") -> str:
    """Return the one block of a document that is of a language and says something."""
    (found,) = (one for one in blocks(document) if one.language == language and saying in one.text)
    return found.text
