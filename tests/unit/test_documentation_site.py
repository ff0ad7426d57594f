"""The site of README and docs: it builds without a warning, and asks no other host for anything."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.e2e.test_chain import CHROMIUM
from tests.unit.documentation import ROOT, documents

ASSET = re.compile(
    r"""<(?:(?:script|img|source|iframe)\b[^>]*\bsrc(?:set)?|link\b[^>]*\bhref)=["']?([^"'\s>]+)"""
)
DIAGRAMS = 3


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make site` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(
        [*command, "--config-file", str(ROOT / "docs" / "site" / "mkdocs.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_document_is_a_page(site: Path) -> None:
    for document in documents():
        name = document.removeprefix("docs/").removesuffix(".md")
        name = {"README": "index", "adr/README": "adr/index"}.get(name, name)
        assert (site / f"{name}.html").is_file(), document


def test_every_asset_is_its_own_and_there(site: Path) -> None:
    for page in site.rglob("*.html"):
        found = ASSET.findall(page.read_text(encoding="utf-8"))
        assert found
        for asset in found:
            assert not re.match(r"(\w+:)?//", asset), f"{page.name} asks another host for {asset}"
            path = asset.partition("?")[0]
            base = site if page.name == "404.html" else page.parent
            assert (base / path.lstrip("/")).exists(), f"{page.name} asks for {asset}, which is not there"


def test_diagrams_are_drawn(site: Path) -> None:
    """The diagrams of docs/architecture.md, in a browser."""
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "architecture.html").as_uri())
        page.wait_for_function(
            """(number) => [...document.querySelectorAll("div.mermaid")]
                .filter((one) => one.clientHeight > 100).length === number""",
            arg=DIAGRAMS,
        )
        assert page.locator("pre.mermaid").count() == 0
        browser.close()
    assert [url for url in asked if not url.startswith(site.as_uri()) and not url.startswith("data:")] == []
