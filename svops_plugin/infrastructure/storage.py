"""The places on disk that SVOps reads and writes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from svops_plugin.domain.errors import InvalidInput


class ConfinedPaths:
    """Paths below the configured roots and nowhere else, symbolic links followed.

    See :class:`svops_plugin.application.ports.Paths`.
    """

    def __init__(self, data_roots: Sequence[str], output_roots: Sequence[str]) -> None:
        self._data_roots = data_roots
        self._output_roots = output_roots

    def readable(self, field: str, path: str) -> None:
        """Refuse a path outside the data roots."""
        _confine(field, path, self._data_roots, "data_roots")

    def writable(self, field: str, path: str) -> None:
        """Refuse a path outside the output roots."""
        _confine(field, path, self._output_roots, "output_roots")


def _confine(field: str, path: str, roots: Sequence[str], setting: str) -> None:
    if not roots:
        raise InvalidInput.field(
            field,
            f"no folder is allowed yet; an administrator sets [svops] {setting} (a comma-separated list).",
        )
    given = Path(path)
    if "\0" in path or not given.is_absolute() or ".." in given.parts:
        raise InvalidInput.field(field, f"{path!r} is not an absolute path without '..'.")
    try:
        real = given.resolve()
        real.exists()
    except (OSError, RuntimeError) as error:  # too long a name, or links in circles
        raise InvalidInput.field(field, f"{path!r} cannot be followed: {error}") from error
    if not any(real.is_relative_to(Path(root).resolve()) for root in roots):
        allowed = ", ".join(roots)
        raise InvalidInput.field(
            field, f"{path!r} is outside the allowed folders ([svops] {setting}: {allowed})."
        )


def copy_outputs(source: str, target: str) -> None:
    """Copy what an attempt left into the next one's folder. Safe to repeat."""
    if Path(source).is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
