"""What MkDocs' configuration cannot say: pages outside of docs/, and Mermaid where there is a diagram."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils import get_relative_url

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "README.ko.md": "README.ko.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
MERMAID = "site/mermaid/mermaid.tiny.js"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top of the repository."""
    for source, name in OUTSIDE.items():
        content = (ROOT / source).read_text(encoding="utf-8").replace('"docs/', '"').replace("](docs/", "](")
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Let links to those pages lead to where they stand on the site."""
    for source, name in OUTSIDE.items():
        markdown = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}(?=[)#])", f"]({name}", markdown)
    return markdown


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001
    """Load Mermaid from the site itself; the theme would take it from another host where there is none."""
    if 'class="mermaid"' not in output:
        return output
    address = get_relative_url(MERMAID, page.url)
    return output.replace("</head>", f'<script src="{address}"></script></head>', 1)
