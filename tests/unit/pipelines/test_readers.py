"""Reading datasets: what every type has in common, and sets of descriptors."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from svops_plugin.domain.entities import DataType
from svops_plugin.pipelines import files
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.files import TooManyFiles
from svops_plugin.pipelines.readers import reader_for

TYPES = [kind.value for kind in DataType]


def check(path: Path, gt_path: Path | None, data_type: str) -> list[str]:
    return reader_for(data_type).check(path, gt_path)


@pytest.mark.parametrize("data_type", TYPES)
def test_a_sound_dataset_is_read_in_the_order_of_its_names(tiny, read, data_type):
    dataset = tiny(data_type)
    recording = read(dataset)
    assert list(zip(recording.samples.tolist(), recording.labels.tolist(), strict=True)) == dataset.labels()
    assert check(dataset.path, dataset.gt_path, data_type) == []
    assert check(dataset.path, None, data_type) == []


@pytest.mark.parametrize("data_type", TYPES)
def test_ground_truth_may_stand_elsewhere_or_under_another_name(tiny, read, data_type, tmp_path):
    dataset = tiny(data_type)
    for place in (tmp_path / "elsewhere.csv", dataset.path / "truth.csv"):
        dataset.gt_path = dataset.gt_path.rename(place)
        assert len(read(dataset).samples) == 60


@pytest.mark.parametrize("data_type", TYPES)
def test_labels_without_data_and_data_without_labels_are_both_named(tiny, problems, data_type):
    dataset = tiny(data_type)
    labels = dataset.labels()
    dataset.write_labels([*labels[:-2], ("ghost", "1")])
    assert problems(dataset) == [
        *(f"{sample!r} has no label in the ground truth" for sample, _ in labels[-2:]),
        "'ghost' is labelled, but there are no data of it",
    ]


@pytest.mark.parametrize("data_type", TYPES)
def test_a_missing_and_an_empty_folder_are_named(tiny, problems, data_type, tmp_path):
    dataset = tiny(data_type)
    dataset.path = tmp_path / "nowhere"
    assert "nowhere' does not exist or is not a folder" in problems(dataset)[0]
    assert "nowhere" in check(dataset.path, dataset.gt_path, data_type)[0]
    dataset.path.mkdir()
    assert "is empty: no file ends in ." in problems(dataset)[0]
    assert "is empty" in check(dataset.path, dataset.gt_path, data_type)[0]


@pytest.mark.parametrize("data_type", TYPES)
def test_missing_ground_truth_is_named(tiny, problems, data_type):
    dataset = tiny(data_type)
    dataset.gt_path.unlink()
    assert "labels.csv' cannot be read" in problems(dataset)[0]
    assert check(dataset.path, None, data_type) == [
        f"ground truth {str(dataset.gt_path)!r} does not exist or is not a file"
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,class\na,b\n", "must have the columns sample and label, not ['name', 'class']"),
        (b"", "must have the columns"),
        (b"sample,label\n", "holds no labels"),
        (b"sample,label\n\xff,1\n", "cannot be read"),
        (b"sample,label\na,1\na,2\nb,2\n", "line 3: sample 'a' was labelled before"),
        (b"sample,label\na,\n", "line 2: sample and label need 1 to 250 characters"),
        (b"sample,label\na\n", "line 2: sample and label need 1 to 250 characters"),
        (b"sample,label\na," + b"x" * 251 + b"\n", "line 2: sample and label need"),
        (b"sample,label\na,1\nb,1\n", "all labels are '1'; at least two classes"),
    ],
)
def test_bad_ground_truth_is_named(tiny, problems, content, message):
    dataset = tiny("Jetson")
    dataset.gt_path.write_bytes(content)
    assert any(message in problem for problem in problems(dataset))


def test_the_message_shows_twenty_problems_and_counts_the_rest(tiny, read):
    dataset = tiny("Surf")
    dataset.write_labels([*dataset.labels(), *((f"ghost{number}", "1") for number in range(23))])
    with pytest.raises(DataError, match=r"; and 3 more$") as caught:
        read(dataset)
    assert len(caught.value.problems) == 23


def test_each_type_has_a_reader_and_no_other_has():
    with pytest.raises(DataError) as caught:
        reader_for("Lidar")
    assert caught.value.problems == [f"unknown data type 'Lidar'; known: {', '.join(sorted(TYPES))}"]


def test_hidden_files_do_not_count(tiny, read):
    dataset = tiny("Jetson")
    (dataset.path / ".cache").mkdir()
    for name in (".thumb.png", ".cache/a.png"):
        (dataset.path / name).write_bytes(b"")
    assert len(read(dataset).samples) == 60


def test_subfolders_count_with_their_path(tiny, read):
    dataset = tiny("Jetson")
    labels = dataset.labels()
    (dataset.path / "camera 1").mkdir()
    (dataset.path / labels[0][0]).rename(dataset.path / "camera 1" / "first.png")
    dataset.write_labels([("camera 1/first.png", labels[0][1]), *labels[1:]])
    assert read(dataset).samples[0] == "camera 1/first.png"


def test_a_link_out_of_the_folder_is_not_read(tiny, problems, tmp_path):
    dataset = tiny("Jetson")
    name = dataset.labels()[0][0]
    (dataset.path / name).rename(tmp_path / "secret.png")
    (dataset.path / name).symlink_to(tmp_path / "secret.png")
    assert problems(dataset) == [f"{name!r} is a link that leads out of the dataset's folder"]
    assert check(dataset.path, None, "Jetson") == problems(dataset)


def test_of_very_many_files_some_are_looked_at(tiny, monkeypatch):
    dataset, looked_at = tiny("Jetson"), []
    is_file = Path.is_file

    def noted(path):
        looked_at.append(path)
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", noted)
    reader = reader_for("Jetson")
    assert reader.check(dataset.path, dataset.gt_path, at_most=5) == []
    assert len(looked_at) == 5 + 1  # and the ground truth
    with pytest.raises(TooManyFiles):
        reader.files(dataset.path, dataset.gt_path, at_most=5)
    assert len(reader.files(dataset.path, dataset.gt_path, at_most=len(list(dataset.path.iterdir())))) == 60


def test_ground_truth_that_links_out_of_its_folder_is_not_read(tiny, problems, tmp_path):
    dataset = tiny("Surf")
    dataset.gt_path.rename(tmp_path / "secret.csv")
    dataset.gt_path.symlink_to(tmp_path / "secret.csv")
    assert "labels.csv' is a link that leads out of its folder" in problems(dataset)[0]


def test_ground_truth_that_links_to_itself_is_not_read(tiny, problems):
    dataset = tiny("Surf")
    dataset.gt_path.unlink()
    dataset.gt_path.symlink_to(dataset.gt_path)
    (problem,) = problems(dataset)
    assert "labels.csv' cannot be read: " in problem


def test_a_gt_path_that_links_to_itself_is_no_file_of_the_dataset(tiny, tmp_path):
    dataset = tiny("Vector")
    truth = tmp_path / "digits.csv"  # called as a file of the data is
    truth.symlink_to(truth)
    assert check(dataset.path, truth, "Vector") == [
        f"ground truth {str(truth)!r} does not exist or is not a file"
    ]


def test_a_link_to_a_folder_is_not_followed(tiny, problems):
    dataset = tiny("Jetson")
    (dataset.path / "again").symlink_to(dataset.path)
    assert problems(dataset) == ["'again' is a link to a folder, which is not followed"]


def test_a_pipe_is_not_waited_for(tiny, read):
    dataset = tiny("Jetson")
    os.mkfifo(dataset.path / "pipe.png")
    assert len(read(dataset).samples) == 60


def test_too_much_is_refused_before_it_is_read(tiny, monkeypatch):
    dataset = tiny("Jetson")
    monkeypatch.setattr(files, "MAX_FILES", 59)
    monkeypatch.setattr(files, "MAX_TOTAL_BYTES", 1000)
    monkeypatch.setattr(files, "MAX_FILE_BYTES", (dataset.path / "digit-0000.png").stat().st_size - 1)
    reasons = "\n".join(check(dataset.path, None, "Jetson"))
    assert "'digit-0000.png' has" in reasons
    assert "holds 60 files; at most 59 are read" in reasons
    assert "bytes; at most 1,000 are read" in reasons


def test_a_single_file_that_is_too_large_is_refused_before_it_is_read(tiny, monkeypatch):
    dataset = tiny("Vector")
    table = dataset.path / "digits.csv"
    monkeypatch.setattr(files, "MAX_FILE_BYTES", table.stat().st_size - 1)
    (reason,) = check(table, dataset.gt_path, "Vector")
    assert reason.startswith("'digits.csv' has ")


def test_what_cannot_be_looked_at_is_named(tiny):
    dataset = tiny("Vector")
    (reason,) = check(dataset.path / ("x" * 300), dataset.gt_path, "Vector")
    assert "cannot be read: " in reason


def sound() -> dict[str, np.ndarray]:
    return {
        "descriptors": np.ones((3, 64), np.float32),
        "keypoints": np.ones((3, 3)),
        "image_size": np.array([8, 8]),
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"descriptors": np.ones((3, 65))}, "must have 64 columns, not 65"),
        ({"descriptors": np.ones(64)}, "must have 64 columns, not 1 dimensions"),
        ({"descriptors": np.ones((0, 64))}, "holds no descriptors"),
        ({"descriptors": np.full((3, 64), np.nan)}, "'descriptors' holds nan at [0, 0]"),
        ({"descriptors": np.full((3, 64), 1e300)}, "'descriptors' holds 1e+300"),
        ({"descriptors": np.full((3, 64), "x")}, "must hold numbers"),
        ({"descriptors": None}, "lacks the array 'descriptors'"),
        ({"keypoints": np.ones((2, 3))}, "'keypoints' must be (3, 3)"),
        ({"keypoints": np.full((3, 3), 9)}, "keypoints outside of the image"),
        ({"keypoints": np.zeros((3, 3))}, "without scale"),
        ({"image_size": None}, "lacks the array 'image_size'"),
        ({"image_size": np.array([8, 0])}, "must hold width and height"),
        ({"keypoints": None}, "some images have keypoints and some have none"),
    ],
)
def test_bad_descriptor_sets_are_named(tiny, problems, change, message):
    dataset = tiny("Surf")
    arrays = {name: array for name, array in {**sound(), **change}.items() if array is not None}
    np.savez(dataset.path / "digit-0004.npz", **arrays)
    (problem,) = problems(dataset)
    assert message in problem
    assert problem.startswith("'digit-0004.npz'") or "some images" in problem


def test_descriptor_sets_without_keypoints_are_read(tiny, read):
    dataset = tiny("Surf")
    for sample, _ in dataset.labels():
        np.savez(dataset.path / sample, descriptors=sound()["descriptors"])
    recording = read(dataset)
    assert recording.positions is None
    assert recording.offsets.tolist() == list(range(0, 183, 3))


def test_parts_of_a_recording_keep_their_descriptors(tiny, read):
    whole = read(tiny("Surf"))
    part = whole.take([40, 3])
    for index, origin in enumerate((40, 3)):
        here = slice(*part.offsets[index : index + 2])
        there = slice(*whole.offsets[origin : origin + 2])
        assert np.array_equal(part.values[here], whole.values[there])
        assert np.array_equal(part.positions[here], whole.positions[there])


def damaged_npz(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


def lying_npz(shape: tuple[int, ...], dtype: str = "<f4") -> bytes:
    """An NPZ file whose header claims an array that its content does not hold."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": dtype, "fortran_order": False, "shape": shape})
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("descriptors.npy", header.getvalue())
    return content.getvalue()


def npz_with_header(text: str) -> bytes:
    """An NPZ file whose member has a header that is no description of an array."""
    header = io.BytesIO()
    header.write(np.lib.format.magic(1, 0) + struct.pack("<H", len(text)) + text.encode())
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("descriptors.npy", header.getvalue())
    return content.getvalue()


def npz_with_damaged_lzma() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("descriptors.npy", bytes(1000))
    damaged = bytearray(content.getvalue())
    damaged[30 + len("descriptors.npy") + 4] = 0xFF  # LZMA's properties, which follow the member's header
    return bytes(damaged)


@pytest.mark.parametrize(
    "content",
    [
        lambda _: b"",
        lambda _: b"not a zip file",
        damaged_npz,
        lambda _: lying_npz((10**12, 64)),
        lambda _: lying_npz((10**12, 0)),
        lambda _: lying_npz((10**12,), "<U0"),
        lambda _: npz_with_header("{'descr': ('<f4', 'shape': ("),
        lambda _: npz_with_header("{'descr': (), 'fortran_order': False, 'shape': (3, 64)}"),
        lambda _: npz_with_header("{'descr': 'f4,(', 'fortran_order': False, 'shape': (3, 64)}"),
        lambda _: npz_with_header("{1: 2, 'a': 3}"),
        lambda _: npz_with_header("-" * 9000),
        lambda _: npz_with_damaged_lzma(),
    ],
)
def test_damaged_npz_files_are_named(tiny, problems, content):
    dataset = tiny("Surf")
    path = dataset.path / "digit-0004.npz"
    path.write_bytes(content(path))
    (problem,) = problems(dataset)
    assert problem.startswith("'digit-0004.npz' ")


def test_an_npz_file_is_never_unpickled(tiny, problems, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    dataset = tiny("Surf")
    np.savez(dataset.path / "digit-0004.npz", descriptors=np.array([[Trap()] * 64], object))
    assert "allow_pickle=False" in problems(dataset)[0]
    assert not (tmp_path / "sprung").exists()


def test_an_npz_bomb_is_not_unpacked(tiny, problems, monkeypatch):
    dataset = tiny("Surf")
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 100_000)
    np.savez_compressed(dataset.path / "digit-0004.npz", descriptors=np.zeros((1000, 64)))
    assert problems(dataset) == ["'digit-0004.npz' unpacks to more than 100,000 bytes"]


@pytest.mark.parametrize("data_type", ["Vector", "Surf"])
def test_many_small_npz_bombs_are_not_all_unpacked(tiny, problems, monkeypatch, data_type):
    dataset, unpacked = tiny(data_type), []
    (dataset.path / "digits.csv").unlink(missing_ok=True)
    for number in range(60):
        content = {"descriptors": np.zeros((1000, 64), np.float32)}
        if data_type == "Vector":
            content = {"sample": np.arange(1000) + 1000 * number, "features": np.zeros((1000, 32))}
        np.savez_compressed(dataset.path / f"digit-{number:04}.npz", **content)
    monkeypatch.setattr(files, "MAX_TOTAL_BYTES", 10 * 256_000)
    assert check(dataset.path, None, data_type) == []
    read_npz = files.read_npz

    def noted(path, *names):
        unpacked.append(path.name)
        return read_npz(path, *names)

    monkeypatch.setattr(files, "read_npz", noted)
    assert problems(dataset) == ["the files unpack to more than 2,560,000 bytes"]
    assert len(unpacked) == 11


def digest(dataset) -> str:
    found = reader_for(dataset.data_type).files(dataset.path, dataset.gt_path)
    digest = files.fingerprint(files.listing(found, dataset.gt_path))
    assert files.fingerprint(files.listing(found[::-1], dataset.gt_path)) == digest
    return digest


@pytest.mark.parametrize("data_type", TYPES)
def test_the_fingerprint_is_of_names_and_contents_wherever_they_stand(tiny, data_type, tmp_path):
    dataset = tiny(data_type)
    before = digest(dataset)
    dataset.path = dataset.path.rename(tmp_path / "moved")
    dataset.gt_path = (dataset.path / "labels.csv").rename(tmp_path / "truth.csv")
    assert digest(dataset) == before
    (dataset.path / "notes.txt").write_text("not data")
    assert digest(dataset) == before

    first = min(path for path in dataset.path.iterdir() if path.suffix != ".txt")
    first = first.rename(first.with_name(f"z{first.name}"))
    renamed = digest(dataset)
    first.write_bytes(first.read_bytes() + b"\0")
    changed = digest(dataset)
    dataset.write_labels(dataset.labels()[1:])
    assert len({before, renamed, changed, digest(dataset)}) == 4
