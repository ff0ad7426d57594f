"""Local descriptors of an image, read from an NPZ file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from svops_plugin.pipelines import files
from svops_plugin.pipelines.surf import DESCRIPTOR_SIZE

Floats = npt.NDArray[np.float32]


class DescriptorSet(NamedTuple):
    """The descriptors of one image.

    :param values: (rows, 64)
    :param keypoints: (rows, 3) x, y and scale in pixels, where they are known
    :param image_size: width and height in pixels, where keypoints are known
    """

    values: Floats
    keypoints: Floats | None = None
    image_size: Floats | None = None

    @property
    def positions(self) -> Floats | None:
        """The places of the keypoints, ``(rows, 2)`` from 0 to 1."""
        if self.keypoints is None or self.image_size is None:
            return None
        return self.keypoints[:, :2] / self.image_size


def read(path: Path) -> DescriptorSet:
    """Return the descriptors in a file.

    :raises ValueError: with what is wrong
    """
    arrays = files.read_npz(path, ["descriptors"], ["keypoints", "image_size"])
    values = _numbers(arrays, "descriptors")
    if values.shape[1:] != (DESCRIPTOR_SIZE,):
        raise ValueError(f"array 'descriptors' must have {DESCRIPTOR_SIZE} columns, not {_columns(values)}")
    if not len(values):
        raise ValueError("holds no descriptors")
    if "keypoints" not in arrays:
        return DescriptorSet(values)
    keypoints = _numbers(arrays, "keypoints")
    if keypoints.shape != (len(values), 3):
        raise ValueError(f"array 'keypoints' must be ({len(values)}, 3), not {keypoints.shape}")
    if "image_size" not in arrays:
        raise ValueError("lacks the array 'image_size', which keypoints need")
    size = _numbers(arrays, "image_size")
    if size.shape != (2,) or not (size > 0).all():
        raise ValueError("array 'image_size' must hold width and height")
    if (keypoints < 0).any() or (keypoints[:, :2] > size).any() or (keypoints[:, 2] == 0).any():
        raise ValueError("has keypoints outside of the image, or without scale")
    return DescriptorSet(values, keypoints, size)


def _numbers(arrays: dict[str, npt.NDArray[Any]], name: str) -> Floats:
    """Return an array as numbers of 32 bits, all of them finite."""
    array = arrays[name]
    if array.dtype.kind not in "fiu":
        raise ValueError(f"array {name!r} must hold numbers, not {array.dtype}")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    bad = np.argwhere(~np.isfinite(numbers))
    if len(bad):
        at = tuple(bad[0])
        raise ValueError(f"array {name!r} holds {array[at]} at {[int(index) for index in at]}")
    return numbers


def _columns(array: npt.NDArray[Any]) -> str:
    return f"{array.shape[1]}" if array.ndim == 2 else f"{array.ndim} dimensions"  # noqa: PLR2004
