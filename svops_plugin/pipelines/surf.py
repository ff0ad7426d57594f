"""Upright SURF descriptors on a regular grid.

H. Bay, A. Ess, T. Tuytelaars, L. Van Gool: Speeded-Up Robust Features (SURF). Computer Vision and Image
Understanding 110 (2008) 346-359, section 4.2 (descriptor) and 4.3 (upright version, without orientation).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

DESCRIPTOR_SIZE = 64
SUBREGIONS = 4
SAMPLES_PER_SUBREGION = 5
WINDOW = SUBREGIONS * SAMPLES_PER_SUBREGION
GAUSSIAN_SIGMA = 3.3
FAINT = 0.1
FLAT = 1e-6

Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]


def integral_image(image: npt.ArrayLike) -> Floats:
    """Return the summed-area table, ``(height + 1, width + 1)``, whose first row and column are zero."""
    return np.pad(np.asarray(image, float).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))


def haar_responses(image: npt.ArrayLike, scale: int = 1) -> tuple[Floats, Floats]:
    """Return the responses dx and dy of Haar wavelets with side ``2 * scale``, each of the image's shape.

    :param image: ``(height, width)`` grey values; beyond its border the nearest value counts
    """
    height, width = np.shape(image)
    table = integral_image(np.pad(np.asarray(image, float), scale, mode="edge"))
    y, x = np.ogrid[scale : height + scale, scale : width + scale]

    def box(top: int, left: int, bottom: int, right: int) -> Floats:
        below, right_of = table[y + bottom, x + right], table[y + bottom, x + left]
        result: Floats = below - right_of - table[y + top, x + right] + table[y + top, x + left]
        return result

    dx = box(-scale, 0, scale, scale) - box(-scale, -scale, scale, 0)
    dy = box(0, -scale, scale, scale) - box(-scale, -scale, 0, scale)
    return dx, dy


def describe(image: npt.ArrayLike, step: int, scale: int = 1) -> tuple[Floats32, Floats32]:
    """Return the descriptors of an image and its keypoints.

    Each window of ``20 * scale`` pixels is split into 4 x 4 subregions of 5 x 5 samples; each gives the sums
    of dx, dy, abs(dx) and abs(dy), weighted by a Gaussian (sigma ``3.3 * scale``) around the centre. A
    descriptor is brought to unit length. Windows with less than a tenth of the strongest one's contrast give
    none.

    :param image: ``(height, width)`` grey values from 0 to 1
    :param step: distance of the grid's points, in pixels
    :returns: ``(rows, 64)`` descriptors and ``(rows, 3)`` keypoints: x, y and scale in pixels
    """
    height, width = np.shape(image)
    dx, dy = haar_responses(image, scale)
    offsets = (np.arange(WINDOW) - (WINDOW - 1) / 2) * scale
    weights = np.exp(-(offsets**2) / (2 * (GAUSSIAN_SIGMA * scale) ** 2))
    rows, columns = np.mgrid[step // 2 : height : step, step // 2 : width : step].reshape(2, -1)
    # Not rint: it rounds halves to even numbers, and would take every other sample twice.
    y = np.floor(rows[:, None] + offsets + 0.5).astype(int)
    x = np.floor(columns[:, None] + offsets + 0.5).astype(int)
    inside = ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
    window = inside * np.outer(weights, weights)
    at = (y.clip(0, height - 1)[:, :, None], x.clip(0, width - 1)[:, None, :])
    wx, wy = dx[at] * window, dy[at] * window
    responses = np.stack([wx, wy, abs(wx), abs(wy)], axis=-1)
    shape = (len(rows), SUBREGIONS, SAMPLES_PER_SUBREGION, SUBREGIONS, SAMPLES_PER_SUBREGION, 4)
    descriptors = responses.reshape(shape).sum(axis=(2, 4)).reshape(len(rows), DESCRIPTOR_SIZE)
    norms = np.linalg.norm(descriptors, axis=1)
    kept = norms > max(FAINT * norms.max(), FLAT)
    keypoints = np.stack([columns, rows, np.full_like(rows, scale)], axis=1)[kept]
    return (descriptors[kept] / norms[kept, None]).astype(np.float32), keypoints.astype(np.float32)
