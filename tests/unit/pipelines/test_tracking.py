from __future__ import annotations

import logging
from pathlib import Path

import pytest

from svops_plugin.pipelines import tracking

FINGERPRINT = "0f" * 32


class Recorder:
    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    def log_metric(self, *arguments: object) -> None:
        self.calls.append(("metric", *arguments))

    def log_artifact(self, *arguments: object) -> None:
        self.calls.append(("artifact", *arguments))

    def progress(self, *arguments: object) -> None:
        self.calls.append(("progress", *arguments))

    def dataset_profile(self, *arguments: object) -> None:
        self.calls.append(("profile", *arguments))


@pytest.fixture
def recorder():
    recorder = Recorder()
    with tracking.use(recorder):
        yield recorder


def test_reports_go_to_the_tracker_in_use(recorder: Recorder, tmp_path: Path):
    plot = tmp_path / "plot.svg"
    plot.write_text("<svg/>")
    tracking.log_metric("accuracy", 1)
    tracking.log_metric("loss", 0.5, step=3)
    tracking.log_artifact(plot)
    tracking.log_artifact(plot, "other", "text/plain")
    tracking.progress(1, 2, "half")
    tracking.dataset_profile({"samples": 3}, FINGERPRINT)
    assert recorder.calls == [
        ("metric", "accuracy", 1.0, None),
        ("metric", "loss", 0.5, 3),
        ("artifact", plot, "plot.svg", "image/svg+xml"),
        ("artifact", plot, "other", "text/plain"),
        ("progress", 1, 2, "half"),
        ("profile", {"samples": 3}, FINGERPRINT),
    ]


def test_the_tracker_before_is_back_after_an_error(recorder: Recorder):
    inner = Recorder()
    with pytest.raises(RuntimeError), tracking.use(inner):
        raise RuntimeError
    tracking.progress(0, 1)
    assert inner.calls == []
    assert recorder.calls == [("progress", 0, 1, "")]


def test_without_a_tracker_reports_are_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path):
    (tmp_path / "a.txt").touch()
    with caplog.at_level(logging.INFO, logger=tracking.__name__):
        tracking.log_metric("accuracy", 0.5)
        tracking.log_artifact(tmp_path / "a.txt")
        tracking.progress(1, 4, "quarter")
        tracking.dataset_profile({"samples": 3}, FINGERPRINT)
    assert "metric accuracy=0.5" in caplog.text
    assert "a.txt (text/plain)" in caplog.text
    assert "progress 1 of 4 quarter" in caplog.text
    assert f"dataset {FINGERPRINT}: 3 samples" in caplog.text


@pytest.mark.parametrize(
    "report",
    [
        lambda: tracking.log_metric("", 1),
        lambda: tracking.log_metric("n" * 251, 1),
        lambda: tracking.log_metric("n", float("nan")),
        lambda: tracking.log_metric("n", float("inf")),
        lambda: tracking.log_metric("n", 1, step=-1),
        lambda: tracking.log_artifact(Path(__file__), "n" * 251),
        lambda: tracking.progress(2, 1),
        lambda: tracking.progress(-1, 1),
        lambda: tracking.progress(0, 0),
        lambda: tracking.dataset_profile({}, "0f"),
        lambda: tracking.dataset_profile({}, "0F" * 32),
    ],
)
def test_what_makes_no_sense_is_refused(recorder: Recorder, report):
    with pytest.raises(ValueError, match=r"must|characters|needs|fingerprint"):
        report()
    assert recorder.calls == []


def test_a_missing_artifact_is_refused(recorder: Recorder, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="nothing"):
        tracking.log_artifact(tmp_path / "nothing")
    assert recorder.calls == []
