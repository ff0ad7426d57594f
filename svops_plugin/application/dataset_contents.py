"""Looking at what datasets hold, between runs."""

from __future__ import annotations

from svops_plugin.application.datasets import found_dataset
from svops_plugin.application.file_ports import Changes, DatasetFiles, Outputs, Paths, Sample
from svops_plugin.application.ports import Transactions
from svops_plugin.domain.entities import Dataset
from svops_plugin.domain.errors import Gone, InvalidInput, PermissionDenied
from svops_plugin.domain.permissions import Actor

SHOWN_SAMPLES = 24


class DatasetContents:
    """Use cases of looking into datasets' files.

    :param outputs: finds the list of files that a pipeline left
    """

    def __init__(
        self, transactions: Transactions, paths: Paths, outputs: Outputs, files: DatasetFiles
    ) -> None:
        self._transactions = transactions
        self._paths = paths
        self._outputs = outputs
        self._files = files

    def samples(self, actor: Actor, dataset_id: int) -> list[Sample]:
        """Return up to 24 samples, of each class in turn.

        :raises Gone: if the dataset cannot be read any more
        """
        return self._files.samples(self._dataset(actor, dataset_id), SHOWN_SAMPLES)

    def picture(self, actor: Actor, dataset_id: int, sample: str) -> bytes:
        """Return a small picture of a sample as PNG.

        :raises NotFound: if there is no such sample, or it is no file of its own
        :raises Gone: if the dataset cannot be read any more
        :raises NotSupported: where what makes pictures is not installed
        """
        return self._files.picture(self._dataset(actor, dataset_id), sample)

    def changes(self, actor: Actor, dataset_id: int) -> Changes:
        """Compare a dataset's files with those that a pipeline last read.

        :raises Gone: if the dataset cannot be read any more
        """
        dataset = self._dataset(actor, dataset_id)
        if dataset.profile is None:
            return Changes(None, reason="No pipeline has read the dataset, as it is described now.")
        try:
            listing = self._outputs.existing(str(dataset.profile.get("listing", "")))
        except (Gone, PermissionDenied) as refusal:
            return Changes(None, reason=f"The list of files that the last run left is gone: {refusal}")
        return self._files.changes(dataset, listing)

    def _dataset(self, actor: Actor, dataset_id: int) -> Dataset:
        """Return a dataset whose paths may be read still; a link may have been swapped in."""
        actor.require("dataset", "read")
        with self._transactions() as uow:
            dataset = found_dataset(uow.datasets.get(dataset_id), dataset_id)
        try:
            self._paths.readable("path", dataset.path)
            if dataset.gt_path is not None:
                self._paths.readable("gt_path", dataset.gt_path)
        except InvalidInput as refusal:
            raise PermissionDenied(str(refusal)) from refusal
        return dataset
