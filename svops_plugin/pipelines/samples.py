"""Sample datasets, one of each type, made from the 1,797 handwritten digits that come with scikit-learn.

E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from svops_plugin.pipelines import state, surf

BRIGHTEST = 16
FRAME_SIDE = 64
SURF_SIDE = 32
SURF_STEP = 4


@dataclass(frozen=True)
class SampleDataset:
    """A dataset that was written, in the words of SVOps' datasets."""

    name: str
    data_type: str
    path: Path
    gt_path: Path


def create(directory: Path) -> list[SampleDataset]:
    """Write the three datasets below a folder and return them; what is there already is written anew.

    ``digits-vectors`` has the 64 pixels of each image as columns, ``digits-surf`` upright-SURF descriptors on
    a grid of 8 x 8 points, ``digits-frames`` pictures of 64 x 64 pixels.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    digits = load_digits()
    names = [f"digit-{number:04d}" for number in range(len(digits.images))]
    labels = [str(label) for label in digits.target]
    vectors, descriptors, frames = (
        directory / name for name in ("digits-vectors", "digits-surf", "digits-frames")
    )

    columns = [f"pixel_{row}_{column}" for row, column in np.ndindex(8, 8)]
    rows = ([name, *map(int, pixels)] for name, pixels in zip(names, digits.data, strict=True))
    state.write(vectors / "digits.csv", _csv(["sample", *columns], rows))
    for name, pixels in zip(names, digits.images, strict=True):
        state.write(descriptors / f"{name}.npz", _surf(pixels))
        state.write(frames / f"{name}.png", _png(pixels))
    return [
        _labelled("Sample digits: feature vectors", "Vector", vectors, names, labels),
        _labelled(
            "Sample digits: SURF descriptors", "Surf", descriptors, [f"{name}.npz" for name in names], labels
        ),
        _labelled(
            "Sample digits: camera frames", "Jetson", frames, [f"{name}.png" for name in names], labels
        ),
    ]


def _labelled(
    name: str, data_type: str, folder: Path, samples: Sequence[str], labels: Sequence[str]
) -> SampleDataset:
    truth = state.write(folder / "labels.csv", _csv(["sample", "label"], zip(samples, labels, strict=True)))
    return SampleDataset(name, data_type, folder, truth)


def _csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue().encode()


def _enlarged(pixels: Any, side: int) -> Image.Image:
    """Return an 8 x 8 digit of values 0 to 16 as a smooth grey picture."""
    grey = Image.fromarray((np.asarray(pixels) * (255 / BRIGHTEST)).round().astype(np.uint8))
    return grey.resize((side, side), Image.Resampling.BICUBIC)


def _png(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    _enlarged(pixels, FRAME_SIDE).save(buffer, format="PNG")
    return buffer.getvalue()


def _surf(pixels: Any) -> bytes:
    image = np.asarray(_enlarged(pixels, SURF_SIDE)) / 255
    descriptors, keypoints = surf.describe(image, SURF_STEP)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        descriptors=descriptors,
        keypoints=keypoints,
        image_size=np.array([SURF_SIDE, SURF_SIDE], np.int32),
    )
    return buffer.getvalue()
