"""The files through which the steps of a run pass state to each other.

A file appears whole or not at all, and a step that is run again replaces what it wrote before. Arrays are
never pickled.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Collection
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from svops_plugin.pipelines.errors import StateError
from svops_plugin.pipelines.files import is_local
from svops_plugin.pipelines.run import PipelineRun

if TYPE_CHECKING:
    import numpy.typing as npt

PRODUCERS = {
    "recording.npz": "extract_data",
    "extraction.json": "extract_data",
    "features.npz": "transform_data",
    "features.json": "transform_data",
    "train.npz": "load_data",
    "test.npz": "load_data",
    "profile.json": "generate_report",
    "training.npz": "prepare_training_data",
    "model.joblib": "train_model",
    "cross_validation.json": "train_model",
    "predictions.npz": "evaluate_model",
    "evaluation.json": "evaluate_model",
    "gallery.json": "process_data",
}
SHOWN = {
    "dataset_files.json": "extract_data",
    "profile.json": "generate_report",
    "plots/class_balance.svg": "generate_report",
    "plots/projection.svg": "generate_report",
    "confusion_matrix.json": "evaluate_model",
    "model/model.joblib": "save_model_artifacts",
    "model/vocabulary.npz": "save_model_artifacts",
    "model/manifest.json": "save_model_artifacts",
}  # outside the work folder, and who leaves it


def write(path: Path, content: bytes) -> Path:
    """Write a file at once, with the folders it needs, and return its path.

    What a process left that was killed while it wrote the same file is removed.
    """
    if not is_local(path):  # an object store has no folders, and shows an object whole or not at all
        path.write_bytes(content)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{escape(path.name)}.*"):
        left.unlink(missing_ok=True)
    try:
        _replace(path, content)
    except FileNotFoundError:  # another process writes it, too, and took this one for killed
        _replace(path, content)
    return path


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def take_over(run: PipelineRun, source: Path, steps: Collection[str]) -> None:
    """Copy what these steps left in another run's folder into this run's. Safe to repeat at any time.

    Nothing that other steps make is copied, so that it never takes the place of what this run has made, and
    a step that fails leaves nothing of another run that could be taken for its own.
    """
    left = {f"{run.work.name}/{name}": step for name, step in PRODUCERS.items()} | SHOWN
    for name, step in left.items():
        if step in steps and (source / name).is_file():
            write(run.output / name, (source / name).read_bytes())


def write_json(path: Path, content: object) -> Path:
    """Write JSON for people and machines to read.

    :raises ValueError: for a number that is not finite
    """
    return write(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n")


def save_json(run: PipelineRun, name: str, content: object) -> Path:
    """Write JSON into the run's work folder."""
    return write_json(run.work / name, content)


def load_json(run: PipelineRun, name: str) -> Any:
    """Return what :func:`save_json` wrote.

    :raises StateError: if it is not there or is damaged
    """
    path = existing(run, name)
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise StateError(f"{path} is damaged ({error}); run {PRODUCERS[name]} again") from None


def save_arrays(run: PipelineRun, name: str, **arrays: npt.NDArray[Any]) -> Path:
    """Write arrays into the run's work folder.

    :raises TypeError: for an array of objects, which could only be pickled
    """
    import numpy as np

    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"array {key!r} holds objects")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # the stub takes an array's name for allow_pickle
    return write(run.work / name, buffer.getvalue())


def load_arrays(run: PipelineRun, name: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays that :func:`save_arrays` wrote.

    :raises StateError: if the file is not there or is damaged
    """
    import numpy as np

    path = existing(run, name)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise StateError(f"{path} is damaged ({error}); run {PRODUCERS[name]} again") from None


def existing(run: PipelineRun, name: str) -> Path:
    """Return the path of a file in the work folder.

    :raises StateError: naming the step to run first, if it is not there
    """
    path = run.work / name
    if not path.is_file():
        raise StateError(f"{path} is missing; run {PRODUCERS[name]} first")
    return path
