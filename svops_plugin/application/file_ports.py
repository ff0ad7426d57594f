"""The places on disk that the use cases need, and what stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from svops_plugin.domain.entities import Dataset

ProbeDataset = Callable[[Dataset], list[str]]


class Completion(NamedTuple):
    """A file or folder that a path may be meant for."""

    path: str
    is_folder: bool


class Paths(Protocol):
    """Which places may be read and written."""

    def completions(self, typed: str, limit: int) -> list[Completion]:
        """Return what can be read whose path begins as what was typed: the roots, or what a folder holds."""

    def readable(self, field: str, path: str) -> None:
        """Refuse a path outside ``[svops] data_roots``.

        :raises InvalidInput: naming ``field``
        """

    def writable(self, field: str, path: str) -> None:
        """Refuse a path outside ``[svops] output_roots``.

        :raises InvalidInput: naming ``field``
        """


class Outputs(Protocol):
    """The files that pipelines left."""

    def existing(self, path: str) -> Path:
        """Return where a file really is, links followed.

        :raises PermissionDenied: if that is outside ``[svops] output_roots``
        :raises Gone: if there is no such file any more
        """

    def remove(self, folder: str) -> None:
        """Delete a folder with all that is in it; nothing where there is none.

        :raises PermissionDenied: if it is outside ``[svops] output_roots``
        :raises Unavailable: if it cannot be deleted
        """


class Sample(NamedTuple):
    """A sample of a dataset.

    :param has_picture: whether it is a file of its own, of which a picture can be made at little cost
    """

    name: str
    label: str
    has_picture: bool


class Names(NamedTuple):
    """How many files, and some of their names."""

    total: int
    names: Sequence[str]


NO_NAMES = Names(0, ())


@dataclass(frozen=True)
class Changes:
    """What has become of a dataset's files since a pipeline last read them.

    :param changed: none if it is not known
    :param certain: whether each file with another time was read; else its time alone speaks for a change
    :param reason: why it is not known, if so
    """

    changed: bool | None
    certain: bool = False
    added: Names = NO_NAMES
    removed: Names = NO_NAMES
    modified: Names = NO_NAMES
    reason: str | None = None


class DatasetFiles(Protocol):
    """What the files of datasets hold.

    :raises Gone: at every call, if they cannot be read any more
    """

    def samples(self, dataset: Dataset, number: int) -> list[Sample]:
        """Return some samples, of each class in turn."""

    def picture(self, dataset: Dataset, sample: str) -> bytes:
        """Return a small picture of a sample as PNG.

        :raises NotFound: if there is no such sample, or it is no file of its own
        """

    def changes(self, dataset: Dataset, listing: Path) -> Changes:
        """Compare the files with a listing of them that a pipeline left."""
