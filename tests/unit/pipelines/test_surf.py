from __future__ import annotations

import numpy as np
import pytest

from svops_plugin.pipelines import surf


def haar_by_hand(image: np.ndarray, y: int, x: int, scale: int) -> tuple[float, float]:
    window = image[y - scale : y + scale, x - scale : x + scale]
    dx = window[:, scale:].sum() - window[:, :scale].sum()
    dy = window[scale:].sum() - window[:scale].sum()
    return dx, dy


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_haar_responses_are_differences_of_window_halves(scale: int):
    image = np.random.RandomState(0).rand(20, 24)
    dx, dy = surf.haar_responses(image, scale)
    assert dx.shape == dy.shape == image.shape
    for y, x in ((4, 5), (10, 12), (16, 20)):
        assert (dx[y, x], dy[y, x]) == pytest.approx(haar_by_hand(image, y, x, scale))


def test_the_integral_image_sums_rectangles():
    image = np.arange(12.0).reshape(3, 4)
    table = surf.integral_image(image)
    assert table.shape == (4, 5)
    assert table[3, 4] - table[1, 4] - table[3, 1] + table[1, 1] == image[1:3, 1:4].sum()


def by_hand(image: np.ndarray, y: int, x: int) -> np.ndarray:
    """The descriptor at a point, scale 1, in plain loops."""
    dx, dy = surf.haar_responses(image)
    values = np.zeros((4, 4, 4))
    for row in range(20):
        for column in range(20):
            at = y - 9 + row, x - 9 + column
            if not (0 <= at[0] < image.shape[0] and 0 <= at[1] < image.shape[1]):
                continue
            distance = (row - 9.5) ** 2 + (column - 9.5) ** 2
            weight = np.exp(-distance / (2 * 3.3**2))
            sums = np.array([dx[at], dy[at], abs(dx[at]), abs(dy[at])]) * weight
            values[row // 5, column // 5] += sums
    return values.ravel() / np.linalg.norm(values)


def test_descriptors_are_what_plain_loops_give():
    image = np.random.RandomState(1).rand(40, 40)
    values, keypoints = surf.describe(image, step=8)
    assert values.shape == (25, 64)
    for value, (x, y, scale) in zip(values, keypoints, strict=True):
        assert scale == 1
        assert value == pytest.approx(by_hand(image, int(y), int(x)), abs=1e-6)


def test_descriptors_have_unit_length_and_ignore_contrast_and_brightness():
    image = np.random.RandomState(2).rand(32, 32)
    values, _ = surf.describe(image, step=4)
    assert np.linalg.norm(values, axis=1) == pytest.approx(1)
    assert surf.describe(image * 0.4 + 0.3, step=4)[0] == pytest.approx(values, abs=1e-5)


def test_a_vertical_edge_has_horizontal_gradients_only():
    image = np.zeros((40, 40))
    image[:, 20:] = 1
    values, _ = surf.describe(image, step=8)
    dx, dy, abs_dx, abs_dy = values.reshape(-1, 16, 4).sum(axis=1).T
    assert (dx > 0).all()
    assert dx == pytest.approx(abs_dx)
    assert dy == pytest.approx(0, abs=1e-6)
    assert abs_dy == pytest.approx(0, abs=1e-6)


def test_windows_without_contrast_give_no_descriptor():
    assert surf.describe(np.full((32, 32), 0.5), step=4)[0].shape == (0, 64)
    corner = np.zeros((64, 64))
    corner[:10, :10] = np.random.RandomState(3).rand(10, 10)
    _, keypoints = surf.describe(corner, step=8)
    assert 0 < len(keypoints) < 64
    assert keypoints[:, :2].max() < 24
