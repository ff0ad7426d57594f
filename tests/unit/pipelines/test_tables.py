"""Reading tables of features."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from svops_plugin.pipelines import files
from svops_plugin.pipelines.readers import VectorReader


@pytest.mark.parametrize("cell", ["nan", "inf", "-inf", "1e200"])
def test_vector_values_that_are_not_usable_are_named(tiny, problems, cell, rewrite_csv):
    dataset = tiny("Vector")
    rewrite_csv(dataset.path / "digits.csv", lambda rows: rows[3].__setitem__(2, cell))
    (problem,) = problems(dataset)
    assert problem.startswith("'digits.csv' sample 'digit-0002': 'pixel_0_1' is ")
    assert "not a finite number of usable size" in problem


def test_many_unusable_values_are_counted(tiny, problems, rewrite_csv):
    dataset = tiny("Vector")

    def spoil(rows):
        rows[1][1:31] = ["nan"] * 30

    rewrite_csv(dataset.path / "digits.csv", spoil)
    assert len(problems(dataset)) == 21
    assert problems(dataset)[-1] == "'digits.csv' has 10 more such values"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[3].pop(), "line 4: 64 values where 65 are expected"),
        (lambda rows: rows[3].append("1"), "line 4: 66 values where 65 are expected"),
        (lambda rows: rows[3].__setitem__(5, "x"), "line 4: could not convert string to float: 'x'"),
        (lambda rows: rows[3].__setitem__(0, ""), "row 3: a sample's name has 1 to 250 characters"),
        (lambda rows: rows.append(rows[3]), "sample 'digit-0002' stands in more than one row"),
        (lambda rows: rows[0].__setitem__(0, "id"), "has no column 'sample'"),
        (lambda rows: rows[0].__setitem__(1, "label"), "has a column 'label'"),
        (lambda rows: rows[0].__setitem__(1, "pixel_0_1"), "two columns of the same name"),
        (lambda rows: rows.__delitem__(slice(1, None)), "has no rows"),
        (lambda rows: [row.__delitem__(slice(1, None)) for row in rows], "has no columns of features"),
    ],
)
def test_bad_tables_are_named(tiny, problems, change, message, rewrite_csv):
    dataset = tiny("Vector")
    rewrite_csv(dataset.path / "digits.csv", change)
    assert any(message in problem for problem in problems(dataset))


def test_tables_must_have_the_same_columns(tiny, problems):
    dataset = tiny("Vector")
    (dataset.path / "more.csv").write_text("sample,pixel_0_0,other\nx,1,2\n")
    (problem,) = problems(dataset)
    assert problem.startswith("'more.csv' has other columns than the files before it: other, pixel_")


def test_tables_in_several_files_and_formats_are_one(tiny, read):
    dataset = tiny("Vector")
    whole = read(dataset)
    (dataset.path / "digits.csv").unlink()
    np.savez(dataset.path / "a.npz", sample=whole.samples[30:], features=whole.values[30:])
    np.savez(dataset.path / "b.npz", sample=whole.samples[:30], features=whole.values[:30].astype(np.int16))
    parts = read(dataset)
    assert parts.samples.tolist() == whole.samples.tolist()
    assert np.array_equal(parts.values, whole.values)


def test_one_file_may_be_the_dataset_if_it_has_a_gt_path(tiny, read):
    dataset = tiny("Vector")
    dataset.path = dataset.path / "digits.csv"
    assert len(read(dataset).samples) == 60
    check = VectorReader().check
    assert check(dataset.path, dataset.gt_path) == []
    assert "needs a gt_path" in check(dataset.path, None)[0]
    assert "a folder or a file ending in .csv" in check(dataset.gt_path.with_suffix(".txt"), None)[0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.ones((2, 2))}, "lacks the array 'sample'; it holds ['features']"),
        ({"sample": np.array(["a", "b"]), "features": np.ones(2)}, "must be (2, columns) numbers"),
        ({"sample": np.array(["a"]), "features": np.ones((2, 2))}, "must be (1, columns) numbers"),
        ({"sample": np.array([["a"]]), "features": np.ones((1, 2))}, "one text or whole number per row"),
        ({"sample": np.array(["a"]), "features": np.array([["x"]])}, "numbers, not (1, 1) of <U1"),
        ({"sample": np.array(["a"], object), "features": np.ones((1, 2))}, "allow_pickle=False"),
    ],
)
def test_bad_npz_tables_are_named(tiny, problems, arrays, message):
    dataset = tiny("Vector")
    np.savez(dataset.path / "digits.npz", **arrays)
    (dataset.path / "digits.csv").unlink()
    (problem,) = problems(dataset)
    assert problem.startswith("'digits.npz' ")
    assert message in problem


def test_parquet_without_pyarrow_says_what_to_do(tiny, problems, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)  # as where it is not installed
    dataset = tiny("Vector")
    (dataset.path / "digits.csv").rename(dataset.path / "digits.parquet")
    assert problems(dataset) == [
        "'digits.parquet' is a Parquet file; install pyarrow to read it, or save it as CSV or NPZ"
    ]


def test_parquet_is_read_like_csv(tiny, read, problems):
    dataset = tiny("Vector")
    whole = read(dataset)
    (dataset.path / "digits.csv").unlink()
    columns = {f"pixel_{row}_{column}": whole.values[:, row * 8 + column] for row, column in np.ndindex(8, 8)}
    table = pyarrow.table({"sample": whole.samples.tolist(), **columns})
    parquet.write_table(table, dataset.path / "digits.parquet")
    assert np.array_equal(read(dataset).values, whole.values)
    parquet.write_table(table.append_column("note", [["x"] * 60]), dataset.path / "digits.parquet")
    assert "does not hold numbers" in problems(dataset)[0]
    (dataset.path / "digits.parquet").write_bytes(b"PAR1 not really")
    assert "'digits.parquet'" in problems(dataset)[0]


def test_a_parquet_bomb_is_not_unpacked(tiny, problems, monkeypatch):
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100_000)
    dataset = tiny("Vector")
    (dataset.path / "digits.csv").unlink()
    path = dataset.path / "digits.parquet"
    refused = ["'digits.parquet' unpacks to more than 100,000 bytes"]
    samples = [str(number) for number in range(1000)]
    parquet.write_table(
        pyarrow.table({"sample": samples, **dict.fromkeys("abcdefghijklmn", [0.0] * 1000)}), path
    )
    assert problems(dataset) == refused
    parquet.write_table(pyarrow.table({"sample": ["a"], "lists": [[0.0] * 20_000]}), path)
    assert problems(dataset) == refused


def test_parquet_with_two_columns_of_one_name_is_named(tiny, problems):
    dataset = tiny("Vector")
    (dataset.path / "digits.csv").unlink()
    table = pyarrow.Table.from_arrays(
        [pyarrow.array(["a"]), *[pyarrow.array([1.0])] * 2], ["sample", "x", "x"]
    )
    parquet.write_table(table, dataset.path / "digits.parquet")
    assert "'digits.parquet' has two columns of the same name" in problems(dataset)
