from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.samples import SampleDataset, create
from svops_plugin.pipelines.steps import STEPS, run_step

TINY = 60


@dataclass
class Dataset:
    """A dataset on disk that a test may damage."""

    data_type: str
    path: Path
    gt_path: Path

    def labels(self) -> list[tuple[str, str]]:
        with self.gt_path.open(newline="") as stream:
            return [(row["sample"], row["label"]) for row in csv.DictReader(stream)]

    def write_labels(self, labels: list[tuple[str, str]]) -> None:
        with self.gt_path.open("w", newline="") as stream:
            csv.writer(stream).writerows([("sample", "label"), *labels])


MakeRun = Callable[..., PipelineRun]


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SampleDataset]:
    return {sample.data_type: sample for sample in create(tmp_path_factory.mktemp("samples"))}


@pytest.fixture
def tiny(samples: Mapping[str, SampleDataset], tmp_path: Path) -> Callable[[str], Dataset]:
    """Return a function that copies the first 60 digits of a sample set to where a test may damage them."""

    def copy(data_type: str) -> Dataset:
        source = samples[data_type]
        folder = tmp_path / f"tiny-{data_type}"
        folder.mkdir()
        dataset = Dataset(data_type, folder, folder / "labels.csv")
        labels = Dataset(data_type, source.path, source.gt_path).labels()[:TINY]
        dataset.write_labels(labels)
        if data_type == "Vector":
            lines = (source.path / "digits.csv").read_text().splitlines(keepends=True)
            (folder / "digits.csv").write_text("".join(lines[: TINY + 1]))
        else:
            for sample, _ in labels:
                shutil.copy(source.path / sample, folder / sample)
        return dataset

    return copy


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Return a function that makes the run of a dataset; the output is ``tmp_path / output``."""

    def make(
        dataset: Dataset | SampleDataset,
        *,
        preset: str = "test-config-e2e",
        conf: Mapping[str, Any] | None = None,
        ini: Mapping[str, Any] | None = None,
        output: str = "output",
        **fields: Any,
    ) -> PipelineRun:
        return PipelineRun.from_snapshot(
            {
                "execution_id": 11,
                "workflow_run_id": 7,
                "task_id": 3,
                "attempt": 2,
                "task_name": "Night shift",
                "customer": "ACME",
                "configuration": {
                    "branch_name": "main",
                    "commit_id": "3f2a9c1",
                    "build_config": preset,
                    "build_config_customized": bool(conf or ini),
                    "build_config_custom_conf": conf or {},
                    "build_config_custom_ini": ini or {},
                },
                "dataset": {
                    "id": 5,
                    "name": "Digits",
                    "path": str(dataset.path),
                    "gt_path": str(dataset.gt_path),
                    "data_type": dataset.data_type,
                },
                "output": str(tmp_path / output),
                **fields,
            }
        )

    return make


@pytest.fixture
def chain() -> Callable[..., dict[str, Any]]:
    """Return a function that runs the whole chain, or its steps up to one, and returns the last summary."""

    def run_all(run: PipelineRun, until: str = "finalize_workflow") -> dict[str, Any]:
        for dag_id, steps in STEPS.items():
            for step in steps:
                summary = run_step(dag_id, step, run)
                if step == until:
                    return summary
        raise AssertionError(f"no step {until}")

    return run_all


@pytest.fixture
def read(make_run):
    def read_dataset(dataset, **options):
        run = make_run(dataset, **options)
        return reader_for(dataset.data_type).read(run.dataset, run.configuration)

    return read_dataset


@pytest.fixture
def problems(read):
    """Return a function that reads a dataset which must be refused, and returns why."""

    def refused(dataset) -> list[str]:
        with pytest.raises(DataError) as caught:
            read(dataset)
        return caught.value.problems

    return refused


@pytest.fixture
def rewrite_csv():
    """Return a function that lets a change be made to the rows of a CSV file."""

    def rewrite(path: Path, change) -> None:
        rows = [line.split(",") for line in path.read_text().splitlines()]
        change(rows)
        path.write_text("\n".join(",".join(row) for row in rows) + "\n")

    return rewrite
