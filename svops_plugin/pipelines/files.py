"""Finding and reading a dataset's files safely. The standard library only, until an array is read.

Paths may be places in an object store, which have a part of what :class:`pathlib.Path` has.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from svops_plugin.pipelines.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Header = tuple[tuple[int, ...], bool, np.dtype[Any]]

MAX_FILES = 1_000_000
MAX_FILE_BYTES = 1024**3
MAX_TOTAL_BYTES = 8 * 1024**3
READ_BLOCK = 1024**2


def is_local(path: object) -> bool:
    """Tell whether a place is on disk."""
    return isinstance(path, Path)


def resolved(path: Path) -> Path:
    """Return where links lead; of a link that leads round in circles, the link."""
    try:
        return path.resolve()
    except RuntimeError:  # until Python 3.12
        return path


class DataFile(NamedTuple):
    """A file of a dataset; ``name`` is its path relative to the dataset, with slashes."""

    name: str
    path: Path


class TooManyFiles(Exception):
    """There is more to look at than was wanted."""


def named(folder: Path, name: str, suffixes: Sequence[str]) -> DataFile | None:
    """Return the file that :func:`find` would find by this name, without looking at any other."""
    path, above = folder / name, [folder / parent for parent in Path(name).parents[:-1]]
    is_plain = all(part and part[0] != "." for part in name.split("/"))
    if not is_plain or path.suffix.lower() not in suffixes:
        return None
    try:
        if any(one.is_symlink() for one in above) or not path.is_file():
            return None
        leads_out = path.is_symlink() and folder.resolve() not in path.resolve().parents
        return None if leads_out or path.stat().st_size > MAX_FILE_BYTES else DataFile(name, path)
    except OSError:  # too long a name
        return None


def find(
    folder: Path, suffixes: Sequence[str], problems: list[str], at_most: int | None = None
) -> list[DataFile]:
    """Return the files below a folder that end so, in the order of their names; hidden ones are left out.

    :param at_most: how many files and folders to look at; all by default
    :raises TooManyFiles: if there are more
    :param problems: gets a line for each file that must not be read: too large, too many, or a link that
        leads out of the folder; and for each link to a folder, as those may lead round in circles
    """
    found = []
    for file in _walk(folder, problems, at_most):
        if file.path.suffix.lower() not in suffixes:
            continue
        if file.path.is_symlink() and folder.resolve() not in file.path.resolve().parents:
            problems.append(f"{file.name!r} is a link that leads out of the dataset's folder")
            continue
        found.append(file)
    check_sizes(found, problems)
    return sorted(found)


def check_sizes(found: Sequence[DataFile], problems: list[str]) -> None:
    """Add a problem for each file that is too large, and if all together are too many or too large."""
    total = 0
    for name, path in found:
        size = path.stat().st_size
        total += size
        if size > MAX_FILE_BYTES:
            problems.append(f"{name!r} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    if len(found) > MAX_FILES:
        problems.append(f"the folder holds {len(found):,} files; at most {MAX_FILES:,} are read")
    if total > MAX_TOTAL_BYTES:
        problems.append(f"the folder holds {total:,} bytes; at most {MAX_TOTAL_BYTES:,} are read")


class Unpacked:
    """How many bytes the files of a dataset have come to, which may be far more than they have."""

    def __init__(self) -> None:
        self._bytes = 0

    def add(self, *arrays: npt.NDArray[Any] | None) -> None:
        """Count what a file held.

        :raises DataError: if it is too much together with the files before it
        """
        self._bytes += sum(array.nbytes for array in arrays if array is not None)
        if self._bytes > MAX_TOTAL_BYTES:
            raise DataError([f"the files unpack to more than {MAX_TOTAL_BYTES:,} bytes"])


def _walk(folder: Path, problems: list[str], at_most: int | None) -> Iterator[DataFile]:
    folders, looked_at = [("", folder)], 0
    while folders:
        prefix, current = folders.pop()
        for entry in current.iterdir():
            looked_at += 1
            if at_most is not None and looked_at > at_most:
                raise TooManyFiles
            name = prefix + entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                yield DataFile(name, entry)
            elif entry.is_dir() and entry.is_symlink():
                problems.append(f"{name!r} is a link to a folder, which is not followed")
            elif entry.is_dir():
                folders.append((f"{name}/", entry))


class Listed(NamedTuple):
    """How a file was found: its size in bytes, its time in nanoseconds, and the SHA-256 of its content."""

    size: int
    time: int
    digest: str


Listing = Mapping[str, Listed]
GROUND_TRUTH = ""  # what the ground truth is called in a listing, wherever it is


def listing(files: Iterable[DataFile], ground_truth: Path) -> Listing:
    """Read every file whole, and return how each was found, in the order of the names."""
    found = {}
    for name, path in [*sorted(files), DataFile(GROUND_TRUTH, ground_truth)]:
        stat = path.stat()  # first, so that what is written meanwhile will be found changed
        found[name] = Listed(stat.st_size, stat.st_mtime_ns, digest(path))
    return found


def stamps(files: Iterable[DataFile], ground_truth: Path) -> dict[str, tuple[int, int] | None]:
    """Return the size and time of each file; none of what is not there, as reading it says why."""
    return {name: _stamp(path) for name, path in [*files, DataFile(GROUND_TRUTH, ground_truth)]}


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns


def afresh(path: Path) -> Path:
    """Return the same place without what it remembers, as one in an object store does of its listings."""
    return type(path)(str(path))


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    content = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(READ_BLOCK):
            content.update(block)
    return content.hexdigest()


def fingerprint(found: Listing) -> str:
    """Return the SHA-256, in hexadecimal, over the files' names and contents and the ground truth's content.

    Neither the order in which a file system lists files nor the place of the folder changes it.
    """
    total = hashlib.sha256()
    for name, listed in found.items():
        encoded = name.encode("utf-8", "surrogateescape")
        total.update(hashlib.sha256(encoded).digest() + bytes.fromhex(listed.digest))
    return total.hexdigest()


@contextmanager
def readable(kind: str) -> Iterator[None]:
    """Let whatever a library stumbles over in a damaged file be a ValueError that says so."""
    try:
        yield
    except (OSError, ValueError):
        raise
    except Exception as error:
        raise ValueError(f"is not a readable {kind} file: {str(error) or type(error).__name__}") from None


def read_npz(
    path: Path, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, npt.NDArray[Any]]:
    """Return arrays of an NPZ file, never unpickling, and never more bytes than the file says it holds.

    :raises ValueError: with what is wrong
    """
    with readable("NPZ"), path.open("rb") as stream, zipfile.ZipFile(stream) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in required if name not in members]
        if missing:
            raise ValueError(f"lacks the array {missing[0]!r}; it holds {sorted(members)}")
        wanted = [name for name in (*required, *optional) if name in members]
        if sum(members[name].file_size for name in wanted) > MAX_FILE_BYTES:
            raise ValueError(f"unpacks to more than {MAX_FILE_BYTES:,} bytes")
        return {name: _read_array(archive, members[name]) for name in wanted}


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[Any]:
    from numpy.lib import format as npy

    with archive.open(member) as stream:
        version = npy.read_magic(stream)
        shape, _, dtype = _read_header(npy, stream, version)
        # numpy allocates what the header claims before it reads: a claim beyond the content is a trap.
        if max(math.prod(shape) * dtype.itemsize, *shape, 0) > member.file_size:
            raise ValueError(f"array {member.filename!r} is shorter than its header says")
    with archive.open(member) as stream:
        array: npt.NDArray[Any] = npy.read_array(stream, allow_pickle=False)
    return array


def _read_header(npy: Any, stream: Any, version: tuple[int, int]) -> Header:
    header: Header
    header = npy.read_array_header_1_0(stream) if version == (1, 0) else npy.read_array_header_2_0(stream)
    return header
