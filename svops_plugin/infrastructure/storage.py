"""The places that SVOps reads and writes, on disk and in object stores."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from svops_plugin.application.file_ports import Completion
from svops_plugin.domain.errors import Gone, InvalidInput, PermissionDenied, Unavailable
from svops_plugin.infrastructure.object_storage import is_url, location, remove_folder
from svops_plugin.pipelines.files import is_local
from svops_plugin.pipelines.state import write

MAX_ENTRIES = 10_000
URL = re.compile(r"([a-z][a-z0-9+.-]*)://((?:[^/@]+@)?[^/@]+)((?:/[^/]+)*)/?")
NOT_IN_URLS = ("::", "?", "#", "\\")  # filesystems give these meanings of their own
ON_DISK = ("file", "local")


class ConfinedPaths:
    """Paths below the configured roots and nowhere else, symbolic links followed.

    See :class:`svops_plugin.application.file_ports.Paths`.
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

    def completions(self, typed: str, limit: int) -> list[Completion]:
        """Return what stands below the data roots whose path begins as what was typed; hidden files do not.

        Of a folder with very many entries only some are looked at.
        """
        folder, _, start = typed.rpartition("/")
        try:
            real = _confine("path", folder, self._data_roots, "data_roots")
            found = sorted(
                (not is_folder, name, is_link)
                for name, is_folder, is_link in _entries(real)
                if name.startswith(start) and name[0] != "." and name.isprintable()
            )
        except (InvalidInput, OSError):
            return [Completion(root, True) for root in self._data_roots if root.startswith(typed)][:limit]
        inside = (
            Completion(f"{folder}/{name}", not is_file)
            for is_file, name, is_link in found
            if not is_link or self._is_readable(f"{folder}/{name}")
        )
        return list(islice(inside, limit))

    def _is_readable(self, path: str) -> bool:
        try:
            self.readable("path", path)
        except InvalidInput:
            return False
        return True

    def existing(self, path: str) -> Path:
        """Return where a file below the output roots really is.

        See :class:`svops_plugin.application.file_ports.Outputs`.
        """
        try:
            real = _confine("path", path, self._output_roots, "output_roots")
        except InvalidInput as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        try:
            if real.is_file():
                return real
        except OSError as error:
            raise Gone(f"{path} cannot be read: {error.strerror or error}.") from error
        raise Gone(f"{path} is not there any more.")

    def remove(self, folder: str) -> None:
        """Delete a folder below the output roots, but nothing that links in it lead to."""
        try:
            real = _confine("path", folder, self._output_roots, "output_roots")
        except InvalidInput as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        try:
            remove_folder(real)
        except FileNotFoundError:
            return
        except OSError as error:
            raise Unavailable(f"{folder} cannot be deleted: {error.strerror or error}.") from error


def _entries(folder: Path) -> Iterator[tuple[str, bool, bool]]:
    """Return names in a folder, whether each is a folder, and whether it is a link; of many only some."""
    if not is_local(folder):
        yield from ((entry.name, entry.is_dir(), False) for entry in islice(folder.iterdir(), MAX_ENTRIES))
        return
    with os.scandir(folder) as entries:
        for entry in islice(entries, MAX_ENTRIES):
            yield entry.name, _is_folder(entry), entry.is_symlink()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False


def _confine(field: str, path: str, roots: Sequence[str], setting: str) -> Path:
    """Return where a path leads, links followed."""
    if not roots:
        raise InvalidInput.field(
            field,
            f"no folder is allowed yet; an administrator sets [svops] {setting} (a comma-separated list).",
        )
    if is_url(path):
        return _confine_url(field, path, roots, setting)
    given = Path(path)
    if "\0" in path or not given.is_absolute() or ".." in given.parts:
        raise InvalidInput.field(field, f"{path!r} is not an absolute path without '..'.")
    try:
        real = given.resolve()
        real.exists()
    except (OSError, RuntimeError) as error:  # too long a name, or links in circles
        raise InvalidInput.field(field, f"{path!r} cannot be followed: {error}") from error
    if not any(real.is_relative_to(Path(root).resolve()) for root in roots if not is_url(root)):
        raise _outside(field, path, roots, setting)
    return real


def _confine_url(field: str, url: str, roots: Sequence[str], setting: str) -> Path:
    parts = _parts(url)
    if parts is None:
        raise InvalidInput.field(
            field, f"{url!r} is not an absolute path nor the URL of an object store without '..'."
        )
    if not any(parts[: len(root)] == root for root in map(_parts, roots) if root):
        raise _outside(field, url, roots, setting)
    return location(url)


def _parts(url: str) -> tuple[str, ...] | None:
    """Return what a URL consists of: scheme, bucket with its connection, keys; none if it is not one."""
    found = URL.fullmatch(url)
    if not found or found[1] in ON_DISK or not url.isprintable() or any(one in url for one in NOT_IN_URLS):
        return None
    parts = (found[1], found[2], *found[3].split("/")[1:])
    return None if {".", ".."} & set(parts) else parts


def _outside(field: str, path: str, roots: Sequence[str], setting: str) -> InvalidInput:
    allowed = ", ".join(roots)
    return InvalidInput.field(
        field, f"{path!r} is outside the allowed folders ([svops] {setting}: {allowed})."
    )


def copy_outputs(source: str, target: str) -> None:
    """Copy what an attempt left into the next one's folder, but no files half written. Safe to repeat."""
    left, place = location(source), location(target)
    if not left.is_dir():
        return
    if is_local(left) and is_local(place):
        shutil.copytree(left, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    else:
        _copy(left, place)


def _copy(source: Path, target: Path) -> None:
    for entry in source.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            _copy(entry, target / entry.name)
        else:
            write(target / entry.name, entry.read_bytes())
