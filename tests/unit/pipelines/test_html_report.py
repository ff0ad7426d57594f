from __future__ import annotations

import numpy as np
import pytest

from svops_plugin.pipelines import html_report


def test_the_interval_is_wilsons():
    # The worked example of Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263.
    assert html_report.wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    low, high = html_report.wilson_interval(20, 20)
    assert 0.8 < low < high == 1


def test_cells_of_the_matrix_are_shaded_by_their_share():
    rows = html_report.matrix(["a", "b"], [[9, 1], [0, 4]])
    assert [[cell["shade"] for cell in row["cells"]] for row in rows] == [
        ["hit-8", "miss-8"],
        ["blank", "hit-8"],
    ]


def test_a_matrix_of_very_many_classes_is_left_out():
    names = [str(number) for number in range(41)]
    assert html_report.matrix(names, np.eye(41, dtype=int).tolist()) is None


@pytest.mark.parametrize("accuracies", [[1.0, 1.0], [0.0, 0.5], [0.93, 0.97, 0.99]])
def test_points_of_the_chart_lie_within_it(accuracies):
    chart = html_report.fold_chart([{"accuracy": one} for one in accuracies], accuracies[0])
    heights = [point["y"] for point in chart["points"]]
    assert all(0 < y <= chart["floor"] < chart["height"] for y in heights)
    assert sorted(heights) == [
        point["y"] for point in sorted(chart["points"], key=lambda point: -point["value"])
    ]
