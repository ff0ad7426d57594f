"""Plots of a dataset as SVG. They have no background, and a grey that is legible on white and on black."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#80868f"
TRAIN, TEST = "#4c8dd6", "#e0883a"
MAX_POINTS = 1500
MAX_LEGEND = 20
MAX_BARS = 60

STYLE = {
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "svops",
    "text.color": INK,
    "text.parse_math": False,
    "xtick.color": INK,
    "ytick.color": INK,
}


def class_balance(balance: Mapping[str, Mapping[str, int]]) -> bytes:
    """Return bars of how many samples of each class are trained on and held out; of many, the largest."""
    names = sorted(balance, key=lambda name: -sum(balance[name].values()))[:MAX_BARS]
    shown = {name: parts for name, parts in balance.items() if name in names}
    rows = range(len(shown))
    train, test = ([parts[part] for parts in shown.values()] for part in ("train", "test"))
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # the stub wants its own literal keys
        figure = Figure(figsize=(5, 0.8 + 0.24 * len(shown)), layout="constrained")
        axes: Axes = figure.subplots()
        axes.barh(rows, train, color=TRAIN, label="training")
        axes.barh(rows, test, left=train, color=TEST, label="held out")
        axes.set_yticks(rows, [_short(name) for name in shown])
        axes.invert_yaxis()
        axes.set_xlabel("samples")
        figure.legend(loc="outside upper right", ncols=2)
        return _svg(figure)


def projection(values: npt.NDArray[Any], labels: npt.NDArray[Any], seed: int) -> bytes:
    """Return the samples on the two directions in which their features vary most, a colour per class."""
    chosen = np.random.RandomState(seed).permutation(len(values))[:MAX_POINTS]
    points, share = _principal_components(values[chosen])
    classes = sorted(set(labels.tolist()))
    colours = mpl.colormaps["tab10" if len(classes) <= 10 else "turbo"]  # noqa: PLR2004
    with mpl.rc_context(STYLE):  # type: ignore[arg-type]  # as above
        figure = Figure(figsize=(5, 3.6), layout="constrained")
        axes: Axes = figure.subplots()
        for number, label in enumerate(classes):
            here = points[labels[chosen] == label]
            colour = colours(number if len(classes) <= 10 else number / (len(classes) - 1))  # noqa: PLR2004
            axes.scatter(
                here[:, 0], here[:, 1], s=7, color=colour, linewidths=0, alpha=0.8, label=_short(label)
            )
        axes.set_xlabel(f"first principal component ({share[0]:.0%} of the variance)")
        axes.set_ylabel(f"second ({share[1]:.0%})")
        if len(classes) <= MAX_LEGEND:
            figure.legend(loc="outside right upper", markerscale=2, handletextpad=0.1)
        return _svg(figure)


def _principal_components(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the ``(rows, 2)`` scores, and the share of the variance in each of both directions."""
    deviation = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    left, singular, _ = np.linalg.svd(standard, full_matrices=False)
    variance = singular**2
    scores = np.pad(left * singular, ((0, 0), (0, 1)))[:, :2]
    return scores, np.pad(variance / max(variance.sum(), 1e-12), (0, 1))[:2]


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"  # noqa: PLR2004


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return buffer.getvalue()
