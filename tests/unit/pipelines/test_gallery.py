"""What people see of a dataset between runs."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from svops_plugin.domain.entities import DataType
from svops_plugin.pipelines import files, gallery, ground_truth
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.files import GROUND_TRUTH, TooManyFiles
from svops_plugin.pipelines.readers import reader_for

TYPES = [kind.value for kind in DataType]


@pytest.fixture
def listed_folders(monkeypatch):
    """The folders whose entries are asked for."""
    folders = []
    iterdir = Path.iterdir

    def noted(folder):
        folders.append(folder)
        return iterdir(folder)

    monkeypatch.setattr(Path, "iterdir", noted)
    return folders


class TestSome:
    @pytest.mark.parametrize("data_type", TYPES)
    def test_each_class_in_turn(self, tiny, make_run, data_type):
        dataset = tiny(data_type)
        found = gallery.some(make_run(dataset).dataset, 24)
        assert [label for _, label, _ in found[:11]] == [*map(str, range(10)), "0"]
        assert len({sample for sample, _, _ in found}) == len(found) == 24
        labels = dict(dataset.labels())
        assert all(labels[sample] == label for sample, label, _ in found)
        assert {own for _, _, own in found} == {data_type != "Vector"}

    def test_as_many_as_there_are(self, tiny, make_run):
        dataset = tiny("Jetson")
        dataset.write_labels([("b", "1"), ("c", "0"), ("a", "1")])
        found = gallery.some(make_run(dataset).dataset, 24)
        assert found == [("c", "0", False), ("b", "1", False), ("a", "1", False)]

    def test_of_a_long_ground_truth_the_beginning(self, tiny, make_run, monkeypatch):
        monkeypatch.setattr(gallery, "MAX_ROWS", 5)
        assert len(gallery.some(make_run(tiny("Jetson")).dataset, 24)) == 5

    def test_what_cannot_be_read(self, tiny, make_run):
        dataset = tiny("Jetson")
        dataset.gt_path.write_text("nothing\n")
        with pytest.raises(DataError, match="header"):
            gallery.some(make_run(dataset).dataset, 24)
        dataset.gt_path.unlink()
        with pytest.raises(DataError, match="cannot be read"):
            gallery.some(make_run(dataset).dataset, 24)


class TestPicture:
    @pytest.mark.parametrize("data_type", ["Surf", "Jetson"])
    def test_a_small_png(self, tiny, make_run, data_type):
        dataset = tiny(data_type)
        sample = dataset.labels()[0][0]
        image = Image.open(io.BytesIO(gallery.picture(make_run(dataset).dataset, sample)))
        assert image.format == "PNG"
        assert max(image.size) <= 160

    def test_a_large_frame_in_a_folder(self, tiny, make_run):
        dataset = tiny("Jetson")
        (dataset.path / "camera").mkdir()
        Image.new("RGB", (1000, 500), "red").save(dataset.path / "camera" / "a.jpg")
        image = Image.open(io.BytesIO(gallery.picture(make_run(dataset).dataset, "camera/a.jpg")))
        assert image.size == (160, 80)

    def test_what_is_no_file_of_the_dataset(self, tiny, make_run):
        dataset = tiny("Jetson")
        (dataset.path.parent / "secret.png").write_bytes((dataset.path / dataset.labels()[0][0]).read_bytes())
        source = make_run(dataset).dataset
        for name in (
            "../secret.png",
            str(dataset.path.parent / "secret.png"),
            "labels.csv",
            "x.png",
            "",
            "a//b.png",
            "x" * 300 + ".png",
        ):
            assert gallery.picture(source, name) is None
        assert gallery.picture(make_run(tiny("Vector")).dataset, "digit-0000") is None

    def test_no_other_file_is_looked_at(self, tiny, make_run, listed_folders):
        dataset = tiny("Jetson")
        (dataset.path / "camera").mkdir()
        Image.new("L", (10, 10)).save(dataset.path / "camera" / "a.png")
        source = make_run(dataset).dataset
        for name in ("camera/a.png", dataset.labels()[0][0], "camera/b.png"):
            gallery.picture(source, name)
        gallery.some(source, 24)
        assert listed_folders == []

    def test_links(self, tiny, make_run, tmp_path):
        dataset = tiny("Jetson")
        secret, inside = tmp_path / "elsewhere" / "a.png", dataset.path / dataset.labels()[0][0]
        secret.parent.mkdir()
        secret.write_bytes(inside.read_bytes())
        (dataset.path / "out.png").symlink_to(secret)
        (dataset.path / "in.png").symlink_to(inside)
        (dataset.path / "folder").symlink_to(secret.parent)
        source = make_run(dataset).dataset
        shown = [
            name
            for name in ("out.png", "in.png", "folder/a.png")
            if gallery.picture(source, name) is not None
        ]
        assert shown == ["in.png"]

    def test_what_is_no_image(self, tiny, make_run):
        dataset = tiny("Jetson")
        sample = dataset.labels()[0][0]
        (dataset.path / sample).write_bytes(b"x")
        with pytest.raises(DataError, match="not a readable image"):
            gallery.picture(make_run(dataset).dataset, sample)


class TestCompare:
    @pytest.fixture
    def dataset(self, tiny):
        return tiny("Jetson")

    @pytest.fixture
    def listed(self, dataset):
        found = reader_for("Jetson").files(dataset.path, dataset.gt_path)
        return files.listing(found, ground_truth.locate(dataset.path, dataset.gt_path))

    def compare(self, dataset, make_run, listed):
        found = gallery.compare(make_run(dataset).dataset, listed)
        return found.added, found.removed, found.modified, found.certain

    def test_nothing(self, dataset, make_run, listed):
        assert self.compare(dataset, make_run, listed) == ([], [], [], True)

    def test_every_kind(self, dataset, make_run, listed):
        first, second, third, fourth = (dataset.path / dataset.labels()[index][0] for index in range(4))
        first.rename(dataset.path / "z.png")
        second.write_bytes(second.read_bytes() + b"\0")
        content = bytearray(third.read_bytes())
        content[-1] ^= 1
        third.write_bytes(content)
        os.utime(third, ns=(0, 0))
        os.utime(fourth, ns=(0, 0))
        dataset.write_labels(dataset.labels()[1:])
        assert self.compare(dataset, make_run, listed) == (
            ["z.png"],
            [first.name],
            sorted(["labels.csv", second.name, third.name]),
            True,
        )

    def test_too_much_to_read(self, dataset, make_run, listed, monkeypatch):
        monkeypatch.setattr(gallery, "MAX_READ_BYTES", 1)
        touched = dataset.path / dataset.labels()[0][0]
        os.utime(touched, ns=(0, 0))
        assert self.compare(dataset, make_run, listed) == ([], [], [touched.name], False)

    def test_too_many_to_look_at(self, dataset, make_run, listed, monkeypatch):
        monkeypatch.setattr(gallery, "MAX_COMPARED", len(listed))
        assert self.compare(dataset, make_run, listed) == ([], [], [], True)
        for name in ("a", "b"):
            (dataset.path / name).touch()
        with pytest.raises(TooManyFiles):
            self.compare(dataset, make_run, listed)
        with pytest.raises(TooManyFiles):
            self.compare(dataset, make_run, {**listed, "c": None, "d": None})

    def test_what_cannot_be_read(self, dataset, make_run, listed):
        dataset.gt_path.unlink()
        with pytest.raises(DataError, match="cannot be read"):
            self.compare(dataset, make_run, listed)

    def test_the_list_that_the_pipeline_leaves(self, dataset, make_run, chain, listed):
        run = make_run(dataset, conf={"test_size": 0.25, "cv_folds": 2})
        chain(run, until="extract_data")
        path = run.output / gallery.LISTING
        assert gallery.load_listing(path) == listed
        assert GROUND_TRUTH in listed
        for content in ("", "[]", '{"a": 1}', '{"a": [1, 2]}', "[" * 100_000, json.dumps({"a": [1] * 4})):
            path.write_text(content)
            with pytest.raises(DataError, match="cannot be read"):
                gallery.load_listing(path)
