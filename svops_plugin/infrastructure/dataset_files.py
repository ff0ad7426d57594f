"""What the files of datasets hold, as the pipelines' readers find it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from svops_plugin.application.file_ports import Changes, Names, Sample
from svops_plugin.domain.entities import Dataset
from svops_plugin.domain.errors import Gone, NotFound, NotSupported
from svops_plugin.infrastructure.object_storage import location
from svops_plugin.pipelines import gallery
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.files import TooManyFiles
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.pipelines.run import DatasetSource

GLANCED_AT = 2_000  # files
SHOWN_NAMES = 20


def dataset_problems(dataset: Dataset) -> list[str]:
    """Tell what is wrong with a dataset's files, without reading them whole."""
    return _problems(dataset)


def glance_at_dataset(dataset: Dataset) -> list[str]:
    """Tell what is wrong with a dataset's files, as far as it can be seen while somebody types."""
    return _problems(dataset, GLANCED_AT)


def _problems(dataset: Dataset, at_most: int | None = None) -> list[str]:
    truth = location(dataset.gt_path) if dataset.gt_path else None
    try:
        return reader_for(dataset.data_type.value).check(location(dataset.path), truth, at_most)
    except DataError as error:
        return error.problems
    except OSError as error:
        return [f"dataset {dataset.path!r} cannot be read: {error}"]


class ReadDatasetFiles:
    """See :class:`svops_plugin.application.file_ports.DatasetFiles`."""

    def samples(self, dataset: Dataset, number: int) -> list[Sample]:
        """Return some samples, of each class in turn."""
        with _refusing():
            return [Sample(*one) for one in gallery.some(_source(dataset), number)]

    def picture(self, dataset: Dataset, sample: str) -> bytes:
        """Return a small picture of a sample as PNG."""
        with _refusing():
            content = gallery.picture(_source(dataset), sample)
        if content is None:
            raise NotFound(f"Dataset {dataset.id} has no file {sample!r}.")
        return content

    def changes(self, dataset: Dataset, listing: Path) -> Changes:
        """Compare the files with a listing of them."""
        try:
            listed = gallery.load_listing(listing)
        except DataError as refusal:
            return Changes(None, reason=str(refusal))
        try:
            with _refusing():
                found = gallery.compare(_source(dataset), listed)
        except TooManyFiles:
            return Changes(None, reason=f"There are more than {gallery.MAX_COMPARED:,} files to compare.")
        return Changes(
            changed=bool(found.added or found.removed or found.modified),
            certain=found.certain,
            added=_shown(found.added),
            removed=_shown(found.removed),
            modified=_shown(found.modified),
        )


def _shown(names: Sequence[str]) -> Names:
    return Names(len(names), names[:SHOWN_NAMES])


def _source(dataset: Dataset) -> DatasetSource:
    return DatasetSource(
        id=dataset.id,
        name=dataset.name,
        path=location(dataset.path),
        gt_path=location(dataset.gt_path) if dataset.gt_path else None,
        data_type=dataset.data_type.value,
    )


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except DataError as refusal:
        raise Gone(f"The dataset cannot be read any more: {refusal}") from refusal
    except ImportError as missing:
        raise NotSupported(
            f"This server lacks {missing.name}; install svops-plugin[pipelines] there."
        ) from missing
