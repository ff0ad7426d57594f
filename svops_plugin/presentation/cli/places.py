"""Where something is, as an argument of a command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from svops_plugin.bootstrap import location


class Place(click.ParamType):  # type: ignore[type-arg]  # generic in recent versions of click only
    """A path, made absolute, or a URL of an object store as it is."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ARG002
        """Return it as text."""
        place = location(value)
        return str(place.resolve() if isinstance(place, Path) else place)
