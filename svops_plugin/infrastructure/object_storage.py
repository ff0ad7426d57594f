"""Places in object stores, reached with Airflow's connections and filesystems.

Airflow's ``ObjectStoragePath`` finds the connection and the filesystem. It is not handed on itself: each
Airflow has another, on 3.3 its text has lost the connection, and without one what it inherits goes past
Airflow. Pipelines get :class:`ObjectPath`, which has of :class:`pathlib.Path` what they use.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, cast

MARK = "://"


class Stat(NamedTuple):
    """Of an object, its size in bytes and when it was written, in nanoseconds."""

    st_size: int
    st_mtime_ns: int


class ObjectPath:
    """An object or a folder of objects, by its URL, as in ``s3://connection@bucket/key``.

    Whatever goes wrong is an :class:`OSError`, as it is with files. It has no links.

    :param url: without a slash at the end; the connection may be left out
    :param fs: the filesystem, where it is known; else what it remembers of listings is forgotten first, since
        a server lives long
    """

    def __init__(self, url: str, fs: Any = None) -> None:
        self._url = url
        self._known = fs
        scheme, _, rest = url.partition(MARK)
        place, slash, key = rest.partition("/")
        self._connection, _, bucket = place.rpartition("@")
        self._key = bucket + slash + key
        self._root = f"{scheme}{MARK}{place}"
        self._parts = PurePosixPath(key)

    @property
    def _fs(self) -> Any:
        if self._known is None:
            from airflow.providers.common.compat.sdk import BaseHook, ObjectStoragePath

            with _as_os_errors():
                if self._connection:  # providers go on without one that is missing, as whoever the machine is
                    BaseHook.get_connection(self._connection)
                self._known = ObjectStoragePath(self._url).fs
                self._known.invalidate_cache()
        return self._known

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and other._url == self._url

    def __hash__(self) -> int:
        return hash(self._url)

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(f"{self._url}/{name}", self._fs)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self._parts.name

    @property
    def suffix(self) -> str:
        """The end of the name, from its last dot on."""
        return self._parts.suffix

    @property
    def parent(self) -> ObjectPath:
        """The folder that it is in; of a bucket, the bucket."""
        folder = str(self._parts.parent)
        return ObjectPath(self._root if folder == "." else f"{self._root}/{folder}", self._fs)

    @property
    def anchor(self) -> str:
        """The bucket, by its URL."""
        return self._root

    def resolve(self) -> ObjectPath:
        """Return where it is."""
        return self

    def is_symlink(self) -> bool:
        """Tell that it is no link."""
        return False

    def is_file(self) -> bool:
        """Tell whether there is an object."""
        with _as_os_errors():
            return bool(self._fs.isfile(self._key))

    def is_dir(self) -> bool:
        """Tell whether there are objects below."""
        with _as_os_errors():
            return bool(self._fs.isdir(self._key))

    def iterdir(self) -> Iterator[ObjectPath]:
        """Return what is below, one level deep."""
        with _as_os_errors():
            keys = [str(key).rstrip("/") for key in self._fs.ls(self._key, detail=False)]
        return (self / PurePosixPath(key).name for key in keys if key != self._key)

    def stat(self) -> Stat:
        """Return the size and the time."""
        with _as_os_errors():
            return Stat(self._fs.size(self._key), int(self._fs.modified(self._key).timestamp() * 10**9))

    def open(self, mode: str = "r", **options: Any) -> Any:
        """Open the object; in text mode, ``options`` are those of files."""
        with _as_os_errors():
            return self._fs.open(self._key, mode, **options)

    def read_bytes(self) -> bytes:
        """Return the content."""
        with _as_os_errors():
            return bytes(self._fs.cat_file(self._key))

    def read_text(self, encoding: str) -> str:
        """Return the content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, content: bytes) -> None:
        """Write the object, which appears whole or not at all."""
        with _as_os_errors():
            self._fs.pipe_file(self._key, content)

    def unlink(self) -> None:
        """Delete the object."""
        with _as_os_errors():
            self._fs.rm_file(self._key)

    def remove_tree(self) -> None:
        """Delete all objects below."""
        with _as_os_errors():
            self._fs.rm(self._key, recursive=True)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Let what each store raises in its own words be what files raise."""
    try:
        yield
    except OSError:
        raise
    except ImportError as error:
        raise OSError(f"{error}; install svops-plugin[s3] for s3") from error
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def is_url(text: str) -> bool:
    """Tell whether a text names a place in an object store, if it names any."""
    return MARK in text


def location(text: str) -> Path:
    """Return a place on disk, or in an object store what answers as that would."""
    return cast("Path", ObjectPath(text.rstrip("/"))) if is_url(text) else Path(text)


def remove_folder(folder: Path | ObjectPath) -> None:
    """Delete a folder with all that is in it; what links in it lead to stays.

    :raises FileNotFoundError: if it is not there
    :raises OSError: if it cannot be deleted
    """
    if isinstance(folder, ObjectPath):
        folder.remove_tree()
    else:
        shutil.rmtree(folder)
