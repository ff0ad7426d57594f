"""What one step of a pipeline is told: the task, its dataset and where its outputs go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from svops_plugin.pipelines.configuration import BuildConfig, resolve


@dataclass(frozen=True)
class DatasetSource:
    """Where the data are.

    :param path: the folder (or, for feature tables, the file) that holds them
    :param gt_path: the ground truth; none if it is ``labels.csv`` in the folder
    :param data_type: a value of :class:`svops_plugin.domain.entities.DataType`
    """

    id: int
    name: str
    path: Path
    gt_path: Path | None
    data_type: str


@dataclass(frozen=True)
class PipelineRun:
    """One attempt at a task, or one run alone, as each of its steps sees it.

    Every step is a process of its own.

    :param execution_id: none in a run alone, like ``attempt``
    :param workflow_run_id: SVOps' number of the DAG run
    :param configuration: the resolved build configuration
    :param branch_name: provenance, like ``commit_id`` and ``customer``
    :param output: the folder that belongs to this attempt, or to this run alone
    :param reused_from: the folder of the finished run that a run alone goes on from; none if it is the first
        pipeline that runs alone, and in a chain, whose pipelines share one folder
    :param video_output: the folder for the animation; none if it is not wanted
    :param parameters: what whoever executed the task passed along. SVOps' own pipelines only report it;
        others may go by it
    """

    execution_id: int | None
    workflow_run_id: int
    task_id: int
    attempt: int | None
    task_name: str
    customer: str
    configuration: BuildConfig
    branch_name: str | None
    commit_id: str | None
    dataset: DatasetSource
    output: Path
    video_output: Path | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    reused_from: Path | None = None

    @property
    def name(self) -> str:
        """What tells this attempt or run from the others of its task."""
        return f"run_{self.workflow_run_id}" if self.attempt is None else f"attempt_{self.attempt}"

    @property
    def work(self) -> Path:
        """The folder through which the steps pass state to each other."""
        return self.output / "work"

    @classmethod
    def from_snapshot(
        cls,
        snapshot: Mapping[str, Any],
        preset_dirs: Sequence[Path] = (),
        place: Callable[[str], Path] = Path,
    ) -> PipelineRun:
        """Return the run that JSON values describe.

        :param snapshot: the fields of this class; paths as text, ``dataset`` as in
            :class:`DatasetSource`, and as ``configuration`` a task's six fields of that name
        :param preset_dirs: folders of presets beside SVOps' own
        :param place: returns the place that a text names
        :raises ConfigurationError: if the build configuration cannot be used
        """

        def optional(text: str | None) -> Path | None:
            return place(text) if text else None

        configuration = snapshot["configuration"]
        dataset = snapshot["dataset"]
        return cls(
            execution_id=snapshot["execution_id"],
            workflow_run_id=snapshot["workflow_run_id"],
            task_id=snapshot["task_id"],
            attempt=snapshot["attempt"],
            task_name=snapshot["task_name"],
            customer=snapshot["customer"],
            configuration=resolve(
                configuration.get("build_config"),
                customized=configuration.get("build_config_customized", False),
                custom_conf=configuration.get("build_config_custom_conf"),
                custom_ini=configuration.get("build_config_custom_ini"),
                preset_dirs=preset_dirs,
            ),
            branch_name=configuration.get("branch_name"),
            commit_id=configuration.get("commit_id"),
            dataset=DatasetSource(
                id=dataset["id"],
                name=dataset["name"],
                path=place(dataset["path"]),
                gt_path=optional(dataset.get("gt_path")),
                data_type=dataset["data_type"],
            ),
            output=place(snapshot["output"]),
            video_output=optional(snapshot.get("video_output")),
            parameters=snapshot.get("parameters") or {},
            note=snapshot.get("note") or "",
            reused_from=optional(snapshot.get("reused_from")),
        )
