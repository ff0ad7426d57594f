"""Reading frames of a camera, and the pictures of samples."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from svops_plugin.domain.entities import DataType
from svops_plugin.pipelines import frames, pictures
from svops_plugin.pipelines.descriptors import DescriptorSet
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.readers import reader_for

TYPES = [kind.value for kind in DataType]


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def bomb(_: bytes) -> bytes:
    """A PNG file that claims 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def gif(content: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(content)).save(buffer, format="GIF")
    return buffer.getvalue()


def turned(tag: int, kind: int, count: int, value: bytes) -> bytes:
    """A PNG file whose EXIF turns it, and has a tag that is not of its type."""
    tags = struct.pack("<HHII", 0x0112, 3, 1, 3) + struct.pack("<HHI", tag, kind, count) + value
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + tags + bytes(4)
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, format="PNG", exif=exif)
    return buffer.getvalue()


def description_that_is_a_number(_: bytes) -> bytes:
    return turned(0x010E, 11, 1, struct.pack("<f", 1))


def resolution_that_is_bytes(_: bytes) -> bytes:
    return turned(0x011A, 1, 4, b"abcd")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"not an image",
        truncated,
        bomb,
        gif,
        description_that_is_a_number,
        resolution_that_is_bytes,
    ],
)
def test_unreadable_images_are_named(tiny, problems, damage):
    dataset = tiny("Jetson")
    for name in ("digit-0003.png", "digit-0005.png"):
        path = dataset.path / name
        path.write_bytes(damage(path.read_bytes()))
    reasons = problems(dataset)
    assert [reason.split(" is ")[0] for reason in reasons] == ["'digit-0003.png'", "'digit-0005.png'"]
    assert all("is not a readable image: " in reason for reason in reasons)


def test_images_with_too_many_pixels_are_named(tiny, problems, monkeypatch):
    monkeypatch.setattr(frames, "MAX_PIXELS", 64 * 64 - 1)
    assert "it has 64 x 64 pixels; 4,095 are the limit" in problems(tiny("Jetson"))[0]


def test_frames_of_any_size_mode_and_format_are_brought_to_one(tiny, read):
    dataset = tiny("Jetson")
    labels = dataset.labels()
    ramp = np.linspace(0, 65535, 50 * 70).reshape(50, 70).astype(np.uint16)
    made = {
        "colour.jpg": Image.new("RGB", (90, 40), (255, 0, 0)),
        "clear.png": Image.new("RGBA", (10, 10), (0, 0, 0, 0)),
        "palette.png": Image.new("P", (33, 21)),
        "deep.png": Image.fromarray(ramp),
    }
    for name, image in made.items():
        image.save(dataset.path / name)
    dataset.write_labels([*labels, *((name, "0") for name in made)])
    recording = read(dataset)
    assert recording.values.shape == (64, 16, 16)
    assert recording.values.dtype == np.uint8
    deep = recording.values[recording.samples.tolist().index("deep.png")]
    assert deep[0].mean() < 16
    assert deep[-1].mean() > 240


def test_frames_stand_upright(tmp_path):
    image = Image.new("L", (16, 16))
    image.paste(255, (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = 3
    image.save(tmp_path / "turned.png", exif=exif)
    assert frames.read_grey(tmp_path / "turned.png", 16)[0].max() == 0


# Pictures and fingerprints


@pytest.mark.parametrize("data_type", TYPES)
def test_there_is_a_picture_of_each_sample(tiny, make_run, data_type):
    run = make_run(tiny(data_type))
    reader = reader_for(data_type)
    names = reader.read(run.dataset, run.configuration).samples.tolist()
    one, other = reader.pictures(run.dataset, [names[7], names[2]])
    assert min(one.size) >= 64
    assert len(set(one.convert("L").tobytes())) > 4
    assert one.tobytes() != other.tobytes()
    assert reader.pictures(run.dataset, [names[2]])[0].tobytes() == other.tobytes()


@pytest.mark.parametrize("data_type", TYPES)
def test_a_sample_that_has_gone_is_named(tiny, make_run, data_type):
    run = make_run(tiny(data_type))
    with pytest.raises(DataError, match="'ghost' is no longer there"):
        reader_for(data_type).pictures(run.dataset, ["ghost"])


def test_pictures_of_tables_that_are_no_square(tiny, make_run, rewrite_csv):
    dataset = tiny("Vector")
    rewrite_csv(dataset.path / "digits.csv", lambda rows: [row.__delitem__(slice(6, None)) for row in rows])
    run = make_run(dataset)
    (picture,) = reader_for("Vector").pictures(run.dataset, ["digit-0001"])
    assert picture.width == picture.height


@pytest.mark.parametrize("keypoints", [None, np.tile([5, 5, 1], (9, 1)) + np.arange(9)[:, None]])
def test_of_very_many_descriptors_the_strongest_are_painted(monkeypatch, keypoints):
    monkeypatch.setattr(pictures, "MAX_PAINTED", 4)
    values = np.random.RandomState(0).rand(9, 64) * np.array([1, 9, 1, 8, 1, 1, 7, 1, 9])[:, None]

    def painted(rows):
        places = None if keypoints is None else keypoints[rows]
        size = None if keypoints is None else np.array([40, 40])
        return pictures.of_descriptors(DescriptorSet(values[rows], places, size)).tobytes()

    assert painted(list(range(9))) == painted([1, 3, 6, 8])
    assert painted([1, 3, 6]) != painted([1, 3, 6, 8])


def test_descriptors_without_keypoints_have_a_picture(tiny, make_run):
    dataset = tiny("Surf")
    values = np.random.RandomState(0).rand(5, 64)
    np.savez(dataset.path / "digit-0000.npz", descriptors=values)
    run = make_run(dataset)
    (picture,) = reader_for("Surf").pictures(run.dataset, ["digit-0000.npz"])
    assert len(set(picture.tobytes())) > 8
