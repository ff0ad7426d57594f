"""Pictures of samples, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from svops_plugin.pipelines.descriptors import DescriptorSet
from svops_plugin.pipelines.surf import GAUSSIAN_SIGMA, SAMPLES_PER_SUBREGION, SUBREGIONS

CANVAS = 96
MAX_PAINTED = 2_000

Array = npt.NDArray[Any]


def of_vectors(features: npt.NDArray[np.float64], rows: Sequence[int]) -> list[Image.Image]:
    """Return the features of the given rows as grey cells of a square, filled row by row.

    As many features as a square has cells are taken for pixels and share one scale; else each feature has its
    own. A scale goes from the least to the greatest value in all rows.
    """
    columns = features.shape[1]
    side = math.isqrt(columns - 1) + 1
    axis = None if side * side == columns else 0
    low, high = features.min(axis=axis), features.max(axis=axis)
    chosen = (features[list(rows)] - low) / np.where(high > low, high - low, 1)
    cells = np.pad(chosen, ((0, 0), (0, side * side - columns))).reshape(-1, side, side)
    return [_grey(square) for square in cells]


def of_descriptors(one: DescriptorSet) -> Image.Image:
    """Return the gradients that SURF descriptors tell of: the brighter, the stronger.

    Each descriptor is painted as its 4 x 4 subregions, where its keypoint stands and as large as its window
    was; the mean counts where they overlap. Without keypoints they stand side by side, in the file's order.
    Of very many only the strongest are painted, as somebody waits.
    """
    strength = one.values.reshape(-1, SUBREGIONS, SUBREGIONS, 4)[..., 2:].sum(axis=-1)
    painted = np.sort(np.argsort(strength.sum(axis=(1, 2)), kind="stable")[-MAX_PAINTED:])
    if one.keypoints is None or one.image_size is None:
        cells = _mosaic(strength[painted])
    else:
        cells = _painted(strength[painted], one.keypoints[painted], one.image_size)
    return _grey(cells / max(cells.max(), 1e-9))


def _mosaic(tiles: Array) -> Array:
    side = math.isqrt(len(tiles) - 1) + 1
    square = np.zeros((side * side, SUBREGIONS, SUBREGIONS))
    square[: len(tiles)] = tiles
    rows = square.reshape(side, side, SUBREGIONS, SUBREGIONS).swapaxes(1, 2)
    return rows.reshape(side * SUBREGIONS, side * SUBREGIONS)


def _painted(strength: Array, keypoints: Array, image_size: Array) -> Array:
    zoom = CANVAS / image_size.max()
    width, height = np.maximum(np.rint(image_size * zoom), 1).astype(int)
    total, weight = np.zeros((2, height, width))
    centres = (np.arange(SUBREGIONS) - (SUBREGIONS - 1) / 2) * SAMPLES_PER_SUBREGION
    falloff = np.exp(-(centres**2) / (2 * GAUSSIAN_SIGMA**2))
    for tile, (x, y, scale) in zip(strength, keypoints, strict=True):
        half = SAMPLES_PER_SUBREGION * scale / 2
        for row, column in np.ndindex(SUBREGIONS, SUBREGIONS):
            top, left = y + centres[row] * scale - half, x + centres[column] * scale - half
            edges = np.array([top, top + 2 * half, left, left + 2 * half]) * zoom
            a, b, c, d = np.rint(edges).astype(int).clip(0)
            total[a:b, c:d] += tile[row, column]
            # The descriptor's Gaussian has made the outer subregions weaker than they were.
            weight[a:b, c:d] += falloff[row] * falloff[column]
    mean: Array = total / np.maximum(weight, 1e-9)
    return mean


def _grey(cells: Array) -> Image.Image:
    """Return values from 0 to 1 as an image of about 96 pixels, whose cells keep their edges."""
    image = Image.fromarray((cells * 255).astype(np.uint8))
    factor = max(1, CANVAS // max(image.size))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
