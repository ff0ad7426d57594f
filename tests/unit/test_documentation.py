"""README and docs: every block of code has its test or says why not, and both READMEs say the same."""

from __future__ import annotations

import ast
import re
from itertools import zip_longest

import pytest

from tests.unit.documentation import ROOT, Block, all_blocks, blocks

PATH = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.\w+)?|[\w-]+\.(?:py|cfg|md))`")
HEADING = re.compile(r"^(#+) ", re.MULTILINE)
BOTH = ("README.md", "README.ko.md")


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_a_block_has_a_test_or_says_why_not(block: Block) -> None:
    assert block.test or block.reason, f"{block}: no comment before it says who runs it, or why nobody does"


@pytest.mark.parametrize("block", [block for block in all_blocks() if block.test], ids=str)
def test_the_test_that_a_block_names_is_there_and_knows_of_it(block: Block) -> None:
    file, _, name = str(block.test).partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    inside: list[ast.stmt] = ast.parse(source).body
    for part in name.split("::"):
        (found,) = (node for node in inside if getattr(node, "name", None) == part)
        assert part.startswith("test_" if isinstance(found, ast.FunctionDef) else "Test")
        inside = getattr(found, "body", [])
    assert block.document.rpartition("/")[2] in source or f'for_each_block(__file__, "{name}")' in source


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_map_names_are_there(document: str) -> None:
    named = set(PATH.findall((ROOT / document).read_text(encoding="utf-8")))
    assert len(named) > 5
    made = {"dist/", "build/"}
    places = (ROOT, ROOT / "svops_plugin")
    assert [one for one in sorted(named - made) if not any((place / one).exists() for place in places)] == []


def test_both_readmes_have_the_same_headings() -> None:
    levels = [HEADING.findall((ROOT / readme).read_text(encoding="utf-8")) for readme in BOTH]
    assert levels[0] == levels[1]


def test_both_readmes_have_the_same_blocks() -> None:
    """Pictures, which have words in them, are of no language."""
    for one, other in zip_longest(*map(blocks, BOTH)):
        assert one, f"{other} is one more"
        assert other, f"{one} is one more"
        assert (one.language, one.test) == (other.language, other.test)
        assert (one.reason is None) == (other.reason is None)
        if one.language:
            assert one.text == other.text, f"{one} and {other} differ"


def test_both_readmes_have_the_same_pictures_and_tables() -> None:
    def shape(readme: str) -> tuple[list[str], list[int]]:
        text = (ROOT / readme).read_text(encoding="utf-8")
        rows = [line.count("|") for line in text.splitlines() if line.startswith("|")]
        return re.findall(r'src(?:set)?="([^"]+)"', text), rows

    assert shape(BOTH[0]) == shape(BOTH[1])
