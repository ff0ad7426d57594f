"""What is shown of a chain's progress: lines, or bars on a terminal."""

from __future__ import annotations

import re
import sys

import pytest

from svops_plugin.presentation.cli.progress import view

QUEUED = {"id": "run_1", "dag_id": "own", "status": "queued", "start_date": None, "end_date": None}
BEGUN = {**QUEUED, "status": "running", "start_date": "2026-11-28T13:00:00+00:00"}
ENDED = {**BEGUN, "status": "success", "end_date": "2026-11-28T13:01:00+00:00"}
SEEN = [
    {**QUEUED, "progress": {"done": 0, "total": 0, "message": ""}},
    {**QUEUED, "progress": {"done": 0, "total": 5, "message": ""}},
    {**BEGUN, "progress": {"done": 0, "total": 0, "message": ""}},
    {**BEGUN, "progress": {"done": 1, "total": 5, "message": "one"}},
    {**BEGUN, "progress": {"done": 1, "total": 5, "message": "two"}},
    {**ENDED, "progress": {"done": 5, "total": 5, "message": "[all] done"}},
]


def test_each_change_is_a_line_and_how_far_it_is_once_it_has_begun(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with view(print) as show:
        for run in SEEN:
            show(run)
    assert capsys.readouterr().out.splitlines() == [
        "own: queued",
        "own: running",
        "own: running, 1 of 5 done",
        "own: success, 5 of 5 done",
    ]


def test_on_a_terminal_each_run_is_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")
    other = {**QUEUED, "id": "run_2", "dag_id": "next", "progress": {"done": 0, "total": 3, "message": ""}}
    with view(pytest.fail) as show:
        for run in [*SEEN, other]:
            show(run)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().out)  # no colours
    last = [line for line in shown.splitlines() if "own" in line or "next" in line][-2:]
    own, following = (" ".join(line.split()) for line in last)
    assert own.startswith("own ")
    assert "5/5" in own
    assert own.endswith("success [all] done")
    assert "next" in following
    assert "0/3" in following
    assert following.rstrip().endswith("queued")
