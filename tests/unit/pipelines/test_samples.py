from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from svops_plugin.domain.entities import DataType
from svops_plugin.pipelines import samples as module
from svops_plugin.pipelines.readers import reader_for


def state_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_there_is_a_full_dataset_of_each_type(samples):
    assert set(samples) == {kind.value for kind in DataType}
    for sample in samples.values():
        assert reader_for(sample.data_type).check(sample.path, sample.gt_path) == []
        assert len(sample.gt_path.read_text().splitlines()) == 1798


def test_frames_are_pictures_of_the_digits(samples):
    with Image.open(samples["Jetson"].path / "digit-0000.png") as image:
        assert (image.format, image.size, image.mode) == ("PNG", (64, 64), "L")
        assert image.getextrema()[1] > 200


def test_descriptor_sets_differ_in_size(samples):
    sizes = set()
    for number in range(200):
        with np.load(samples["Surf"].path / f"digit-{number:04d}.npz", allow_pickle=False) as arrays:
            assert arrays["descriptors"].shape[1] == 64
            sizes.add(len(arrays["descriptors"]))
    assert len(sizes) > 1


def test_no_name_gives_the_label_away(samples):
    labels = dict(line.split(",") for line in samples["Jetson"].gt_path.read_text().splitlines()[1:])
    assert len({label for sample, label in labels.items() if "-000" in sample}) == 10


def test_creating_again_repairs_what_was_damaged(samples, tmp_path: Path):
    folder = samples["Vector"].path.parent
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "digits-frames" / "digit-0007.png").write_bytes(b"damaged")
    (tmp_path / "copy" / "digits-surf" / "digit-0008.npz").unlink()
    created = module.create(tmp_path / "copy")
    assert {one.name for one in created} == {one.name for one in samples.values()}
    assert state_of(tmp_path / "copy") == state_of(folder)
