"""Readers of datasets, one per data type, found through the entry-point group ``svops.dataset_readers``.

========  ==================================================================================================
Vector    feature tables: a folder of CSV, NPZ or Parquet files, or one such file. CSV and Parquet have a
          column ``sample`` and numbers in all others; NPZ has ``sample`` (n) and ``features`` (n, columns)
Surf      local descriptors: a folder with an NPZ file per image, with ``descriptors`` (rows, 64) and, if
          known, ``keypoints`` (rows, 3: x, y, scale in pixels) and ``image_size`` (width, height)
Jetson    camera frames: a folder of PNG and JPEG files, subfolders included
========  ==================================================================================================

A sample is called by its row's ``sample`` (Vector) or by its file's path relative to the folder, suffix
included (``camera1/0001.png``). Importing this module imports neither numpy nor Pillow: the preflight needs
neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from svops_plugin.pipelines import files, ground_truth
from svops_plugin.pipelines.configuration import BuildConfig
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.files import DataFile, TooManyFiles
from svops_plugin.pipelines.recording import Recording
from svops_plugin.pipelines.run import DatasetSource

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

ENTRY_POINT_GROUP = "svops.dataset_readers"

T = TypeVar("T")


class DatasetReader(Protocol):
    """What is registered for a data type, a value of :class:`svops_plugin.domain.entities.DataType`."""

    def check(self, path: Path, gt_path: Path | None, at_most: int | None = None) -> list[str]:
        """Return, at little cost, why the dataset cannot be read; nothing if nothing speaks against it.

        :param at_most: how many files to look at; of more, nothing is said
        """

    def files(self, path: Path, gt_path: Path | None, at_most: int | None = None) -> list[DataFile]:
        """Return the files that make up the dataset, without the ground truth.

        :raises TooManyFiles: if there are more than ``at_most`` to look at
        """

    def file(self, path: Path, gt_path: Path | None, sample: str) -> DataFile | None:
        """Return the file that is a sample, without looking at others; none if it is no file of its own."""

    def read(self, source: DatasetSource, config: BuildConfig) -> Recording:
        """Return the whole dataset.

        :raises DataError: naming everything that does not fit
        """

    def pictures(self, source: DatasetSource, samples: Sequence[str]) -> list[Image.Image]:
        """Return for each sample a small picture that helps a person to see what it is."""


def reader_for(data_type: str) -> DatasetReader:
    """Return the reader registered for a data type.

    :raises DataError: naming the known types, if there is none
    """
    known = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if data_type not in known:
        raise DataError([f"unknown data type {data_type!r:.80}; known: {', '.join(sorted(known))}"])
    reader: DatasetReader = known[data_type].load()()
    return reader


class FileReader:
    """What the readers of files have in common."""

    suffixes: ClassVar[tuple[str, ...]]
    single_file: ClassVar[bool] = False

    def check(self, path: Path, gt_path: Path | None, at_most: int | None = None) -> list[str]:
        """Return why the dataset cannot be read: missing, empty, or without ground truth."""
        try:
            self.files(path, gt_path, at_most)
        except DataError as error:
            return error.problems
        except TooManyFiles:
            pass  # what was looked at is good
        if gt_path is None and path.is_file():
            return [f"dataset {str(path)!r} is a single file and needs a gt_path"]
        truth = ground_truth.locate(path, gt_path)
        if not truth.is_file():
            return [f"ground truth {str(truth)!r} does not exist or is not a file"]
        return []

    def files(self, path: Path, gt_path: Path | None, at_most: int | None = None) -> list[DataFile]:
        """Return the data files in the order of their names.

        :raises DataError: if there are none, or some cannot or must not be read
        :raises TooManyFiles: if there are more than ``at_most`` files and folders to look at
        """
        problems: list[str] = []
        try:
            if self.single_file and path.is_file() and path.suffix.lower() in self.suffixes:
                found = [DataFile(path.name, path)]
                files.check_sizes(found, problems)
            elif path.is_dir():
                found = files.find(path, self.suffixes, problems, at_most)
            else:
                raise DataError([f"dataset {str(path)!r} does not exist or is not {self._kind()}"])
        except OSError as error:
            raise DataError([f"dataset {str(path)!r} cannot be read: {error}"]) from None
        found = [file for file in found if not ground_truth.is_ground_truth(file, gt_path)]
        if not found and not problems:
            problems.append(f"dataset {str(path)!r} is empty: no file ends in {', '.join(self.suffixes)}")
        if problems:
            raise DataError(problems)
        return found

    def _kind(self) -> str:
        ending = ", ".join(self.suffixes)
        return f"a folder or a file ending in {ending}" if self.single_file else "a folder"

    def file(self, path: Path, gt_path: Path | None, sample: str) -> DataFile | None:
        """Return the file that is a sample; none if there is no such file, or it must not be read."""
        found = files.named(path, sample, self.suffixes)
        return None if found is None or ground_truth.is_ground_truth(found, gt_path) else found

    def labels(self, source: DatasetSource, problems: list[str]) -> dict[str, str]:
        """Return the ground truth."""
        return ground_truth.read(ground_truth.locate(source.path, source.gt_path), problems)

    def _read_some(self, source: DatasetSource, samples: Sequence[str], read: Callable[[Path], T]) -> list[T]:
        located = [(sample, self.file(source.path, source.gt_path, sample)) for sample in samples]
        problems = [f"{sample!r} is no longer there" for sample, file in located if file is None]
        _, contents = _read_each([file for _, file in located if file is not None], read, problems)
        if problems:
            raise DataError(problems)
        return contents


class VectorReader(FileReader):
    """Feature tables."""

    suffixes = (".csv", ".npz", ".parquet")
    single_file = True

    def file(self, path: Path, gt_path: Path | None, sample: str) -> DataFile | None:  # noqa: ARG002
        """Return none: samples are rows."""
        return None

    def read(self, source: DatasetSource, config: BuildConfig) -> Recording:  # noqa: ARG002
        """Return the tables as one.

        :raises DataError: naming everything that does not fit
        """
        from svops_plugin.pipelines import tables

        problems: list[str] = []
        labels = self.labels(source, problems)
        samples, features = tables.read_all(self.files(source.path, source.gt_path), problems)
        return _recording(labels, samples, features, problems)

    def pictures(self, source: DatasetSource, samples: Sequence[str]) -> list[Image.Image]:
        """Return the features as the cells of a square, row by row: the image, if they are its pixels.

        :raises DataError: if the dataset no longer has the samples
        """
        from svops_plugin.pipelines import pictures, tables

        problems: list[str] = []
        names, features = tables.read_all(self.files(source.path, source.gt_path), problems)
        index = {name: row for row, name in enumerate(names)}
        problems += [f"{sample!r} is no longer there" for sample in samples if sample not in index]
        if problems:
            raise DataError(problems)
        return pictures.of_vectors(features, [index[sample] for sample in samples])


class SurfReader(FileReader):
    """Sets of local descriptors."""

    suffixes = (".npz",)

    def read(self, source: DatasetSource, config: BuildConfig) -> Recording:  # noqa: ARG002
        """Return all descriptors, image after image.

        :raises DataError: naming everything that does not fit
        """
        import numpy as np

        from svops_plugin.pipelines import descriptors

        problems: list[str] = []
        labels = self.labels(source, problems)
        unpacked = files.Unpacked()

        def read(path: Path) -> descriptors.DescriptorSet:
            one = descriptors.read(path)
            unpacked.add(*one)
            return one

        names, sets = _read_each(self.files(source.path, source.gt_path), read, problems)
        located = [one.positions for one in sets if one.positions is not None]
        if located and len(located) < len(sets):
            problems.append("some images have keypoints and some have none; it must be all or none")
        if not sets:
            raise DataError(problems)
        return _recording(
            labels,
            names,
            np.concatenate([one.values for one in sets]),
            problems,
            offsets=np.cumsum([0, *(len(one.values) for one in sets)]),
            positions=np.concatenate(located) if located else None,
        )

    def pictures(self, source: DatasetSource, samples: Sequence[str]) -> list[Image.Image]:
        """Return the gradients that the descriptors tell of.

        :raises DataError: if the dataset no longer has the samples
        """
        from svops_plugin.pipelines import descriptors, pictures

        found = self._read_some(source, samples, descriptors.read)
        return [pictures.of_descriptors(one) for one in found]


class JetsonReader(FileReader):
    """Camera frames."""

    suffixes = (".png", ".jpg", ".jpeg")

    def read(self, source: DatasetSource, config: BuildConfig) -> Recording:
        """Return all frames, grey and at the configuration's ``image_size``.

        :raises DataError: naming everything that does not fit
        """
        import numpy as np

        from svops_plugin.pipelines import frames

        problems: list[str] = []
        labels = self.labels(source, problems)
        found = self.files(source.path, source.gt_path)
        names, images = _read_each(found, lambda path: frames.read_grey(path, config.image_size), problems)
        return _recording(labels, names, np.array(images), problems)

    def pictures(self, source: DatasetSource, samples: Sequence[str]) -> list[Image.Image]:
        """Return the frames as they are, only smaller.

        :raises DataError: if the dataset no longer has the samples
        """
        from svops_plugin.pipelines import frames

        return self._read_some(source, samples, frames.read_thumbnail)


def _read_each(
    found: Sequence[DataFile], read: Callable[[Path], T], problems: list[str]
) -> tuple[list[str], list[T]]:
    """Return names and contents of the files; one that cannot be read is a problem, and still has a name."""
    contents: list[T] = []
    for name, path in found:
        try:
            contents.append(read(path))
        except (OSError, ValueError) as error:
            problems.append(f"{name!r} {error}")
    return [name for name, _ in found], contents


def _recording(
    labels: Mapping[str, str],
    samples: Sequence[str],
    values: npt.NDArray[Any],
    problems: list[str],
    *,
    offsets: npt.NDArray[Any] | None = None,
    positions: npt.NDArray[Any] | None = None,
) -> Recording:
    import numpy as np

    ground_truth.compare(labels, samples, problems)
    if problems:
        raise DataError(problems)
    classes = np.array([labels[sample] for sample in samples])
    return Recording(np.array(samples), classes, values, offsets, positions)
