"""The HTML report: one file that needs nothing else and runs nothing."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
POLICY = ("default-src 'none'", "img-src data:", "base-uri 'none'", "form-action 'none'")
SHADES = 8
MATRIX_CLASSES = 40
CHART_WIDTH, CHART_HEIGHT, CHART_LEFT, CHART_BOTTOM = 520, 220, 44, 28


def render(content: Mapping[str, Any]) -> bytes:
    """Return the report in UTF-8.

    Whatever comes from outside is escaped, and the page's own Content-Security-Policy lets nothing run or
    load.

    :param content: what ``templates/report.html`` names
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template("report.html").render(
        # This style is a file of ours: no input is part of it.
        style=Markup(style),  # noqa: S704
        policy="; ".join([*POLICY, f"style-src 'sha256-{digest}'"]),
        **content,
    )
    return page.encode("utf-8", "backslashreplace")


def data_uri(content: bytes, media_type: str) -> str:
    """Return a file as an address that contains it."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def wilson_interval(right: int, total: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927)."""
    z = 1.959964
    share = right / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    spread = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return max(0.0, centre - spread), min(1.0, centre + spread)


def matrix(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> list[dict[str, Any]] | None:
    """Return the confusion matrix's rows with a shade for each cell, or none if there are too many classes.

    A hit is shaded by its share of the row, an error by its share of the most frequent error.
    """
    if len(labels) > MATRIX_CLASSES:
        return None
    worst = max((n for i, row in enumerate(counts) for j, n in enumerate(row) if i != j), default=0)
    return [
        {
            "label": labels[i],
            "cells": [
                {
                    "count": count,
                    "predicted": labels[j],
                    "shade": _shade("hit", count, sum(row)) if i == j else _shade("miss", count, worst),
                }
                for j, count in enumerate(row)
            ],
        }
        for i, row in enumerate(counts)
    ]


def _shade(kind: str, count: int, most: int) -> str:
    return f"{kind}-{math.ceil(SHADES * count / most)}" if count else "blank"


def fold_chart(folds: Sequence[Mapping[str, float]], held_out: float) -> dict[str, Any]:
    """Return the coordinates of a chart with each fold's accuracy, their mean, and the held-out accuracy."""
    values = [fold["accuracy"] for fold in folds]
    low = math.floor(min([*values, held_out]) * 20 - 1e-9) / 20
    low = max(0.0, min(low, 0.95))

    def y(value: float) -> float:
        return round(10 + (1 - value) / (1 - low) * (CHART_HEIGHT - CHART_BOTTOM - 10), 1)

    step = (CHART_WIDTH - CHART_LEFT) / len(values)
    mean = sum(values) / len(values)
    return {
        "width": CHART_WIDTH,
        "height": CHART_HEIGHT,
        "left": CHART_LEFT,
        "floor": y(low),
        "ticks": [
            {"y": y(low + (1 - low) * part / 5), "value": low + (1 - low) * part / 5} for part in range(6)
        ],
        "points": [
            {
                "x": round(CHART_LEFT + step * (number + 0.5), 1),
                "y": y(value),
                "value": value,
                "name": f"fold {number + 1}",
            }
            for number, value in enumerate(values)
        ],
        "mean": {"y": y(mean), "value": mean},
        "held_out": {"y": y(held_out), "value": held_out},
    }
