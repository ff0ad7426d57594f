"""The figures that a benchmark hands to the report: each with its bar, and whether it is met."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class Figure:
    """Something that was measured.

    :param what: in words, for a row of the report
    :param unit: of the value and its bar
    :param at_most: the bar, where less is better
    :param at_least: the bar, where more is better; a figure without any bar is for information
    :param note: what there is to say of it below the table
    """

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; none without one."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None


def keep(path: Path | None, figures: Iterable[Figure]) -> None:
    """Write figures where the report reads them; nowhere without a path."""
    if path is not None:
        path.write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


def kept(path: Path) -> list[Figure]:
    """Read what was written."""
    return [Figure(**figure) for figure in json.loads(path.read_text())]


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option ``--json``, whose value is a path or nothing."""
    kind = click.Path(dir_okay=False, path_type=Path)
    return click.option("--json", "report", type=kind, help="Write the figures to this file.")(command)
