"""Whether all that a task names is there: looked at before its chain is claimed, whoever asks for it."""

from __future__ import annotations

from dataclasses import dataclass

from svops_plugin.application.file_ports import Paths, ProbeDataset
from svops_plugin.application.ports import CheckConfiguration
from svops_plugin.domain.entities import Task
from svops_plugin.domain.errors import InvalidInput


@dataclass(frozen=True)
class Preflight:
    """What looks at a task.

    Its files were looked at when it was kept, but folders go away, links are put elsewhere, roots narrowed.
    """

    paths: Paths
    probe: ProbeDataset
    check_configuration: CheckConfiguration

    def __call__(self, task: Task) -> None:
        """Look at the dataset, the configuration and the folders for outputs.

        :raises InvalidInput: for the first that is unusable
        """
        if task.dataset is None:
            raise InvalidInput.field("dataset_id", f"task {task.id} has no dataset; give it one first.")
        self.check_configuration(task)
        self.paths.readable("dataset", task.dataset.path)
        if task.dataset.gt_path:
            self.paths.readable("dataset", task.dataset.gt_path)
        self.paths.writable("log_out_path", task.log_out_path)
        if task.video_out_path:
            self.paths.writable("video_out_path", task.video_out_path)
        if problems := self.probe(task.dataset):
            raise InvalidInput(
                f"Dataset {task.dataset.id} ({task.dataset.name}) cannot be read: {problems[0]}",
                {"dataset": problems},
            )
