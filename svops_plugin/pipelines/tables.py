"""Feature tables from CSV, NPZ and Parquet files."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from svops_plugin.pipelines import files
from svops_plugin.pipelines.errors import SHOWN_PROBLEMS, DataError
from svops_plugin.pipelines.files import DataFile
from svops_plugin.pipelines.ground_truth import MAX_NAME_LENGTH

SAMPLE = "sample"
LARGEST = 1e100
FLOAT_BYTES = 8

Features = npt.NDArray[np.float64]


class Table(NamedTuple):
    """The rows of one file: sample names, column names, and ``(rows, columns)`` features."""

    samples: list[str]
    columns: list[str]
    features: Features


def read_all(found: Sequence[DataFile], problems: list[str]) -> tuple[list[str], Features]:
    """Return the sample names, sorted, and their ``(samples, columns)`` features from all files together.

    :param problems: gets a line for each sample and value that is not as it should be
    :raises DataError: with those lines too, if a file is no table or the tables do not fit together
    """
    tables: list[Table] = []
    broken = []
    unpacked = files.Unpacked()
    for name, path in found:
        try:
            table = _READERS[path.suffix.lower()](path, name, problems)
            unpacked.add(table.features)
            _check_shape(table, tables)
        except (OSError, ValueError, csv.Error) as error:
            broken.append(f"{name!r} {error}")
            continue
        _check_values(table, name, problems)
        tables.append(table)
    if broken:
        raise DataError([*broken, *problems])
    samples = [sample for table in tables for sample in table.samples]
    order = sorted(range(len(samples)), key=samples.__getitem__)
    ordered = [samples[row] for row in order]
    repeated = sorted({one for one, other in pairwise(ordered) if one == other})
    problems += [f"sample {sample!r} stands in more than one row" for sample in repeated]
    return ordered, np.concatenate([table.features for table in tables])[order]


def _check_shape(table: Table, earlier: Sequence[Table]) -> None:
    if not table.samples:
        raise ValueError("has no rows")
    if not table.columns:
        raise ValueError("has no columns of features")
    if "label" in table.columns:
        raise ValueError("has a column 'label'; labels belong into the ground truth, not among the features")
    if earlier and table.columns != earlier[0].columns:
        raise ValueError(f"has other columns than the files before it: {_difference(table, earlier[0])}")


def _difference(table: Table, other: Table) -> str:
    names = sorted(set(table.columns) ^ set(other.columns))
    return ", ".join(names[:10]) if names else "the order differs"


def _check_values(table: Table, name: str, problems: list[str]) -> None:
    for row, sample in enumerate(table.samples):
        if not 0 < len(sample) <= MAX_NAME_LENGTH:
            problems.append(f"{name!r} row {row + 1}: a sample's name has 1 to {MAX_NAME_LENGTH} characters")
    # Beyond this, squares and their sums leave the range of numbers.
    bad = np.argwhere(~(np.abs(table.features) <= LARGEST))
    problems += [
        f"{name!r} sample {table.samples[row]!r}: {table.columns[column]!r} is "
        f"{table.features[row, column]:g}, not a finite number of usable size"
        for row, column in bad[:SHOWN_PROBLEMS]
    ]
    if len(bad) > SHOWN_PROBLEMS:
        problems.append(f"{name!r} has {len(bad) - SHOWN_PROBLEMS:,} more such values")


def _read_csv(path: Path, name: str, problems: list[str]) -> Table:
    samples: list[str] = []
    rows: list[list[float]] = []
    with path.open("r", encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        if SAMPLE not in header:
            raise ValueError(f"has no column {SAMPLE!r}")
        if len(set(header)) < len(header):
            raise ValueError("has two columns of the same name")
        at = header.index(SAMPLE)
        columns = header[:at] + header[at + 1 :]
        for row in reader:
            if not row:
                continue
            try:
                values = _numbers(row, at, len(header))
            except ValueError as error:
                problems.append(f"{name!r} line {reader.line_num}: {error}")
                values = [0.0] * len(columns)
            samples.append(row[at].strip() if at < len(row) else "")
            rows.append(values)
    return Table(samples, columns, np.array(rows, float).reshape(len(rows), len(columns)))


def _numbers(row: Sequence[str], sample: int, expected: int) -> list[float]:
    if len(row) != expected:
        raise ValueError(f"{len(row)} values where {expected} are expected")
    return [float(cell) for index, cell in enumerate(row) if index != sample]


def _read_npz(path: Path, name: str, problems: list[str]) -> Table:  # noqa: ARG001
    arrays = files.read_npz(path, [SAMPLE, "features"])
    samples, features = arrays[SAMPLE], arrays["features"]
    if samples.ndim != 1 or samples.dtype.kind not in "Uiu":
        raise ValueError(f"array 'sample' must hold one text or whole number per row, not {_kind(samples)}")
    if features.ndim != 2 or features.dtype.kind not in "fiu" or len(features) != len(samples):  # noqa: PLR2004
        raise ValueError(f"array 'features' must be ({len(samples)}, columns) numbers, not {_kind(features)}")
    columns = [f"column {number}" for number in range(1, features.shape[1] + 1)]
    return Table([str(sample) for sample in samples], columns, features.astype(float))


def _read_parquet(path: Path, name: str, problems: list[str]) -> Table:  # noqa: ARG001
    try:
        parquet = import_module("pyarrow.parquet")
    except ImportError:
        raise ValueError("is a Parquet file; install pyarrow to read it, or save it as CSV or NPZ") from None
    with files.readable("Parquet"), path.open("rb") as stream:
        file = parquet.ParquetFile(stream)
        if _values(file.metadata) * FLOAT_BYTES > files.MAX_FILE_BYTES:
            raise ValueError(f"unpacks to more than {files.MAX_FILE_BYTES:,} bytes")
        table = file.read()
    if SAMPLE not in table.column_names:
        raise ValueError(f"has no column {SAMPLE!r}")
    if len(set(table.column_names)) < len(table.column_names):
        raise ValueError("has two columns of the same name")
    columns = [column for column in table.column_names if column != SAMPLE]
    try:
        values = [np.asarray(table[column].to_numpy(), dtype=float) for column in columns]
    except (TypeError, ValueError) as error:
        raise ValueError(f"has a column that does not hold numbers: {error}") from None
    features = np.column_stack(values) if values else np.empty((table.num_rows, 0))
    return Table([str(sample) for sample in table[SAMPLE].to_pylist()], columns, features)


def _values(metadata: Any) -> int:
    """Return how many values a Parquet file says it holds; in a column of lists, they are more than rows."""
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    return sum(group.column(number).num_values for group in groups for number in range(group.num_columns))


def _kind(array: npt.NDArray[Any]) -> str:
    return f"{array.shape} of {array.dtype}"


_READERS: dict[str, Callable[[Path, str, list[str]], Table]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
