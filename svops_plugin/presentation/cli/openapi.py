"""``svops openapi``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from svops_plugin.presentation.rest import documented_app
from svops_plugin.presentation.rest.openapi import describe
from svops_plugin.presentation.rest.reference import reference


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def openapi(folder: Path) -> None:
    """Write the REST API's description into FOLDER: openapi.json for programs, api.md for people."""
    described = describe(documented_app())
    text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
    (folder / "openapi.json").write_text(text, encoding="utf-8")
    (folder / "api.md").write_text(reference(described), encoding="utf-8")
