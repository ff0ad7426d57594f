"""What is said of a chain's progress where there is no terminal."""

from __future__ import annotations

import pytest

from svops_plugin.presentation.cli.progress import view


def test_each_change_is_a_line_and_how_far_it_is_once_it_has_begun(
    capsys: pytest.CaptureFixture[str],
) -> None:
    queued = {"id": "run_1", "dag_id": "own", "status": "queued", "start_date": None}
    begun = {**queued, "status": "running", "start_date": "2026-11-28T13:00:00+00:00"}
    seen = [
        {**queued, "progress": {"done": 0, "total": 0, "message": ""}},
        {**queued, "progress": {"done": 0, "total": 5, "message": ""}},
        {**begun, "progress": {"done": 0, "total": 0, "message": ""}},
        {**begun, "progress": {"done": 1, "total": 5, "message": "one"}},
        {**begun, "progress": {"done": 1, "total": 5, "message": "two"}},
    ]
    with view(print) as show:
        for run in seen:
            show(run)
    assert capsys.readouterr().out.splitlines() == [
        "own: queued",
        "own: running",
        "own: running, 1 of 5 done",
    ]
