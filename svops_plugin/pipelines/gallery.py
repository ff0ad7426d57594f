"""What people see of a dataset between runs: some samples, and what has become of its files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, zip_longest
from pathlib import Path

from svops_plugin.pipelines import files, ground_truth
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.files import GROUND_TRUTH, Listed, Listing, TooManyFiles
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.pipelines.run import DatasetSource

LISTING = "dataset_files.json"
MAX_ROWS = 20_000
MAX_COMPARED = 20_000  # files, while somebody waits
MAX_LISTING_BYTES = 64 * 1024**2
MAX_READ_BYTES = 64 * 1024**2


def some(source: DatasetSource, number: int) -> list[tuple[str, str, bool]]:
    """Return samples, their labels, and whether each is a file of its own: of each class in turn.

    Of a very long ground truth only the beginning is looked at.

    :raises DataError: if the files cannot be read
    """
    by_label: dict[str, list[str]] = {}
    truth = ground_truth.locate(source.path, source.gt_path)
    for _, sample, label in islice(ground_truth.rows(truth), MAX_ROWS):
        by_label.setdefault(label, []).append(sample)
    labels = sorted(by_label)
    turns = zip_longest(*(by_label[label] for label in labels))
    shown = [(sample, label) for turn in turns for label, sample in zip(labels, turn, strict=True) if sample]
    try:
        is_there = source.path.is_dir() or source.path.is_file()
    except OSError as error:
        raise DataError([f"dataset {str(source.path)!r} cannot be read: {error}"]) from None
    if not is_there:
        raise DataError([f"dataset {str(source.path)!r} does not exist"])
    reader = reader_for(source.data_type)
    return [
        (sample, label, reader.file(source.path, source.gt_path, sample) is not None)
        for sample, label in shown[:number]
    ]


def picture(source: DatasetSource, sample: str) -> bytes | None:
    """Return a small picture of a sample as PNG; none unless it is a file of its own.

    :raises DataError: if the files cannot be read
    """
    reader = reader_for(source.data_type)
    if reader.file(source.path, source.gt_path, sample) is None:
        return None
    (image,) = reader.pictures(source, [sample])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Difference:
    """The names of the files that are not as they were listed.

    :param certain: whether each file with another time was read; else its time alone speaks for a change
    """

    added: list[str]
    removed: list[str]
    modified: list[str] = field(default_factory=list)
    certain: bool = True


def load_listing(path: Path) -> Listing:
    """Return a listing that a pipeline has written.

    :raises DataError: if the file is not one
    """
    try:
        if path.stat().st_size > MAX_LISTING_BYTES:
            raise DataError([f"{path} has more than {MAX_LISTING_BYTES:,} bytes"])
        return {name: Listed(*listed) for name, listed in json.loads(path.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError([f"{path} cannot be read: {error}"]) from None


def compare(source: DatasetSource, listed: Listing) -> Difference:
    """Compare a dataset's files with a listing of them.

    A file of another size has changed; one of the same size and another time is read, as long as there are
    not too many bytes of such files.

    :raises DataError: if the files cannot be read
    :raises TooManyFiles: if there are more than are compared
    """
    if len(listed) > MAX_COMPARED:
        raise TooManyFiles
    found = dict(reader_for(source.data_type).files(source.path, source.gt_path, MAX_COMPARED))
    found[GROUND_TRUTH] = truth = ground_truth.locate(source.path, source.gt_path)
    try:
        suspects = list(_suspects(found, listed))
        certain = sum(size for name, size in suspects if size == listed[name].size) <= MAX_READ_BYTES
        modified = [
            name
            for name, size in suspects
            if size != listed[name].size or not certain or files.digest(found[name]) != listed[name].digest
        ]
    except OSError as error:
        raise DataError([f"dataset {str(source.path)!r} cannot be read: {error}"]) from None

    def named(names: Iterable[str]) -> list[str]:
        return sorted(truth.name if name == GROUND_TRUTH else name for name in names)

    return Difference(
        added=named(found.keys() - listed.keys()),
        removed=named(listed.keys() - found.keys()),
        modified=named(modified),
        certain=certain,
    )


def _suspects(found: dict[str, Path], listed: Listing) -> Iterator[tuple[str, int]]:
    """Return the files of another size or time, with their size now."""
    for name in found.keys() & listed.keys():
        stat = found[name].stat()
        if (stat.st_size, stat.st_mtime_ns) != (listed[name].size, listed[name].time):
            yield name, stat.st_size
