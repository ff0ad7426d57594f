"""Ground truth: what each sample of a dataset really is, and whether it fits the data.

A CSV file in UTF-8 with a header that has the columns ``sample`` and ``label``; further columns are
ignored. It is the dataset's ``gt_path``, else ``labels.csv`` in the dataset's folder.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.files import DataFile, resolved

DEFAULT_NAME = "labels.csv"
MAX_NAME_LENGTH = 250
MAX_BYTES = 256 * 1024**2


def locate(path: Path, gt_path: Path | None) -> Path:
    """Return where the ground truth of the dataset at ``path`` has to be."""
    return path / DEFAULT_NAME if gt_path is None else gt_path


def is_ground_truth(file: DataFile, gt_path: Path | None) -> bool:
    """Tell whether a file among the data is the ground truth, or would be if there were no ``gt_path``."""
    if file.name == DEFAULT_NAME:
        return True
    return gt_path is not None and file.path.name == gt_path.name and file.path.resolve() == resolved(gt_path)


def read(file: Path, problems: list[str]) -> dict[str, str]:
    """Return the label of each sample; what is wrong goes to ``problems``, with line numbers.

    :raises DataError: if the file cannot or must not be read
    """
    labels: dict[str, str] = {}
    for line, sample, label in rows(file):
        where = f"ground truth line {line}"
        if not 0 < len(sample) <= MAX_NAME_LENGTH or not 0 < len(label) <= MAX_NAME_LENGTH:
            problems.append(f"{where}: sample and label need 1 to {MAX_NAME_LENGTH} characters each")
        elif sample in labels:
            problems.append(f"{where}: sample {sample!r} was labelled before")
        else:
            labels[sample] = label
    if not labels and not problems:
        problems.append(f"ground truth {file.name!r} holds no labels")
    classes = set(labels.values())
    if len(classes) == 1:
        problems.append(f"all labels are {classes.pop()!r}; at least two classes are needed")
    return labels


def rows(file: Path) -> Iterator[tuple[int, str, str]]:
    """Return the line number, the sample and the label of each row.

    :raises DataError: if the file cannot or must not be read
    """
    if file.is_symlink() and file.parent.resolve() not in resolved(file).parents:
        raise DataError([f"ground truth {str(file)!r} is a link that leads out of its folder"])
    try:
        if file.stat().st_size > MAX_BYTES:
            raise DataError([f"ground truth {file.name!r} has more than {MAX_BYTES:,} bytes"])
        with file.open("r", encoding="utf-8-sig", newline="") as stream:
            yield from _rows(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError([f"ground truth {str(file)!r} cannot be read: {error}"]) from None


def _rows(reader: csv.DictReader[str]) -> Iterator[tuple[int, str, str]]:
    if not {"sample", "label"} <= set(reader.fieldnames or ()):
        raise csv.Error(f"its header must have the columns sample and label, not {reader.fieldnames!r:.200}")
    for row in reader:
        yield reader.line_num, (row["sample"] or "").strip(), (row["label"] or "").strip()


def compare(labels: Mapping[str, str], samples: Collection[str], problems: list[str]) -> None:
    """Add a problem for each sample without label and each label without data."""
    known = set(samples)
    problems += [f"{sample!r} has no label in the ground truth" for sample in sorted(known - set(labels))]
    problems += [
        f"{sample!r} is labelled, but there are no data of it" for sample in sorted(set(labels) - known)
    ]
