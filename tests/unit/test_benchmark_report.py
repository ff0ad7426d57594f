"""The report of the benchmarks, made of figures that nothing was measured for."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.documentation import ROOT

MEASURED_ON = [("processor", "Abacus, 2 cores"), ("load at the start", "0.10")]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("figures")


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("report")


@pytest.fixture
def outcomes(report: Any, figures: Any) -> list[Any]:
    found = [
        figures.Figure("list, SVOps to Airflow", 4.5, "x", at_least=3.0),
        figures.Figure("list, p99", 12.5, "ms", at_most=10.0),
        figures.Figure("events", 1_200_000, ""),
    ]
    first, second = report.PARTS[:2]
    return [report.Outcome(first, 0.25, 61.4, found), report.Outcome(second, 1.5, 3, None)]


@pytest.mark.parametrize(
    ("value", "bars", "met"),
    [
        (1.25, {"at_most": 1.25}, True),
        (1.26, {"at_most": 1.25}, False),
        (0, {"at_most": 0}, True),
        (1, {"at_most": 0}, False),
        (3.0, {"at_least": 3.0}, True),
        (2.99, {"at_least": 3.0}, False),
        (7, {}, None),
    ],
)
def test_a_bar_is_met_up_to_itself(figures: Any, value: float, bars: dict[str, float], met: bool) -> None:
    assert figures.Figure("anything", value, **bars).met is met


def test_figures_come_back_as_they_were_kept(figures: Any, outcomes: list[Any], tmp_path: Path) -> None:
    figures.keep(tmp_path / "part.json", outcomes[0].figures)
    assert figures.kept(tmp_path / "part.json") == outcomes[0].figures


def test_nothing_is_kept_without_a_path(figures: Any, outcomes: list[Any]) -> None:
    figures.keep(None, outcomes[0].figures)


def test_each_figure_stands_beside_its_bar(report: Any, outcomes: list[Any]) -> None:
    lines = report.text(MEASURED_ON, outcomes, "make bench").splitlines()
    assert "| list, SVOps to Airflow | 4.5 x | at least 3 x | met |" in lines
    assert "| list, p99 | 12.5 ms | at most 10 ms | **missed** |" in lines
    assert "| events | 1,200,000 |  |  |" in lines


def test_it_says_on_what_and_how_long(report: Any, outcomes: list[Any]) -> None:
    lines = report.text(MEASURED_ON, outcomes, "make bench").splitlines()
    first = report.PARTS[0]
    assert "| processor | Abacus, 2 cores |" in lines
    assert f"| {first.title} | `{first.script}.py` | 61 s | 0.25 |" in lines


def test_what_was_missed_and_what_did_not_finish_is_said_first(report: Any, outcomes: list[Any]) -> None:
    told = report.text(MEASURED_ON, outcomes, "make bench").partition("## ")[0]
    assert f"Of 2 bars 1 are met. Missed: list, p99. Did not finish: {report.PARTS[1].title}." in told


def test_a_part_that_fails_is_not_taken_for_an_old_one_that_did_not(report: Any, tmp_path: Path) -> None:
    part = report.Part("None", "figures", "A module that measures nothing.")
    (tmp_path / "figures.json").write_text(json.dumps([{"what": "old", "value": 1}]))
    assert report.run(part, [], tmp_path).figures is None


def test_every_benchmark_is_a_part_or_says_that_it_needs_the_other_airflow(report: Any) -> None:
    named = {part.script for part in report.PARTS}
    there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert there - named == {"figures", "listeners", "report", "websocket_threads"}
