"""The report of the benchmarks, made of figures that nothing was measured for."""

from __future__ import annotations

import importlib
import json
import subprocess
from dataclasses import replace
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
def task_list(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("task_list")


@pytest.fixture
def outcomes(report: Any, figures: Any) -> list[Any]:
    found = [
        figures.Figure("list, SVOps to Airflow", 4.5, "x", at_least=3.0),
        figures.Figure("list, p99", 12.5, "ms", at_most=10.0),
        figures.Figure("events", 1_200_000, "", note="by the oldest first"),
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


def test_notes_stand_below_the_table_with_what_they_are_of(report: Any, outcomes: list[Any]) -> None:
    lines = report.text(MEASURED_ON, outcomes, "make bench").splitlines()
    last = lines.index("| events | 1,200,000 |  |  |")
    assert lines[last + 1 : last + 4] == ["", "- events: by the oldest first", ""]


def test_what_was_run_a_second_time_is_said(report: Any, outcomes: list[Any]) -> None:
    assert "second time" not in report.summary(outcomes)
    outcomes[0] = replace(outcomes[0], again=True)
    assert f"ran a second time: {report.PARTS[0].title}." in report.summary(outcomes)


def test_it_says_which_commit(report: Any) -> None:
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert next(report.facts()) == ("commit", said.stdout.strip() or "unknown")


def test_a_part_begins_when_the_machine_is_at_rest(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loads, slept = [3.0, 1.5, 1.4, 9.0], list[float]()
    monkeypatch.setattr(report.os, "getloadavg", lambda: (loads.pop(0), 0.0, 0.0))
    monkeypatch.setattr(report.time, "sleep", slept.append)
    report.calm_down(report.PATIENCE)
    assert (len(slept), loads) == (2, [9.0])


def test_it_begins_on_a_busy_machine_in_the_end(report: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    passed = [0.0]
    monkeypatch.setattr(report.os, "getloadavg", lambda: (9.0, 9.0, 9.0))
    monkeypatch.setattr(report.time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(report.time, "sleep", lambda seconds: passed.append(passed.pop() + seconds))
    report.calm_down(120)
    assert passed == [120]


@pytest.mark.parametrize(
    ("name", "size", "plan", "expected"),
    [
        ("newest", 1_000_000, "Index Scan using ix_a on svops_task", (0, True)),
        ("newest", 1_000_000, "Parallel Seq Scan on svops_task; Seq Scan on svops_dataset", (1, False)),
        ("newest", 2_000, "Seq Scan on svops_task", (1, None)),
        ("by name", 1_000_000, "Parallel Seq Scan on svops_task", (1, None)),
    ],
)
def test_lists_of_a_million_have_their_plans(
    task_list: Any, name: str, size: int, plan: str, expected: tuple[int, bool | None]
) -> None:
    cost = {"found": 1, "rows_p95_ms": 1, "total_p95_ms": 0, "plan": plan, "total_plan": ""}
    found = task_list.figures([(1_000, name, {**cost, "plan": "Seq Scan on svops_task"}), (size, name, cost)])
    (noted,) = (figure for figure in found if figure.note)
    assert noted.what == f"{name}: sequential scans of svops_task among {size:,}"
    assert ((noted.value, noted.met), noted.note) == (expected, f"rows by {plan}")


def test_what_was_missed_and_what_did_not_finish_is_said_first(report: Any, outcomes: list[Any]) -> None:
    told = report.text(MEASURED_ON, outcomes, "make bench").partition("## ")[0]
    assert f"Of 2 bars 1 are met. Missed: list, p99. Did not finish: {report.PARTS[1].title}." in told


def test_a_part_that_fails_is_not_taken_for_an_old_one_that_did_not(report: Any, tmp_path: Path) -> None:
    part = report.Part("None", "figures", "A module that measures nothing.")
    (tmp_path / "figures.json").write_text(json.dumps([{"what": "old", "value": 1}]))
    assert report.run(part, [], tmp_path).figures is None


def test_a_quick_run_is_one_that_the_lists_take(report: Any, task_list: Any) -> None:
    (part,) = (part for part in report.PARTS if part.script == "task_list")
    assert task_list.main.make_context("task_list", list(part.quick)).params["times"] == 10


def test_every_benchmark_is_a_part_or_says_that_it_needs_the_other_airflow(report: Any) -> None:
    named = {part.script for part in report.PARTS}
    there = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert there - named == {"connections", "figures", "listeners", "report", "websocket_threads"}
