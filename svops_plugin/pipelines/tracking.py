"""What a pipeline's author may tell the world while it runs: metrics, artifacts, progress, a data profile.

The functions hand their arguments, checked, to the ambient :class:`Tracker`. Without one they are logged, so
that a pipeline can be run and tested anywhere.
"""

from __future__ import annotations

import logging
import math
import mimetypes
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

MAX_NAME_LENGTH = 250

logger = logging.getLogger(__name__)


class Tracker(Protocol):
    """Where reports go. A second report of the same thing replaces the first: steps may be run again."""

    def log_metric(self, name: str, value: float, step: int | None) -> None:
        """Keep a measured number; ``step`` makes it a point of a curve."""

    def log_artifact(self, path: Path, name: str, media_type: str) -> None:
        """Keep a file under a name."""

    def progress(self, done: int, total: int, message: str) -> None:
        """Say how far the running step is."""

    def dataset_profile(self, profile: Mapping[str, Any], fingerprint: str) -> None:
        """Keep what was learnt about the dataset, and the SHA-256 of the state it was learnt from."""


class LoggingTracker:
    """A tracker that only writes to the log."""

    def log_metric(self, name: str, value: float, step: int | None) -> None:
        """Log the number."""
        logger.info("metric %s=%g%s", name, value, "" if step is None else f" at step {step}")

    def log_artifact(self, path: Path, name: str, media_type: str) -> None:
        """Log the file's name."""
        logger.info("artifact %s: %s (%s)", name, path, media_type)

    def progress(self, done: int, total: int, message: str) -> None:
        """Log the message."""
        logger.info("progress %d of %d %s", done, total, message)

    def dataset_profile(self, profile: Mapping[str, Any], fingerprint: str) -> None:
        """Log the fingerprint."""
        logger.info("dataset %s: %d samples", fingerprint, profile.get("samples", 0))


_tracker: ContextVar[Tracker] = ContextVar("svops_tracker")
_without_tracker: Tracker = LoggingTracker()


@contextmanager
def use(tracker: Tracker) -> Iterator[None]:
    """Send the reports made within the ``with`` block to ``tracker``."""
    token = _tracker.set(tracker)
    try:
        yield
    finally:
        _tracker.reset(token)


def log_metric(name: str, value: float, step: int | None = None) -> None:
    """Report a measured number.

    :param step: position on a curve, from 0; none for a single number
    :raises ValueError: for an empty or over-long name, a value that is not finite, or a negative step
    """
    if not math.isfinite(value):
        raise ValueError(f"metric {name!r} must be a finite number, not {value}")
    if step is not None and step < 0:
        raise ValueError(f"metric {name!r}: step must be 0 or more, not {step}")
    _tracker.get(_without_tracker).log_metric(_checked_name("metric", name), float(value), step)


def log_artifact(path: Path, name: str | None = None, media_type: str | None = None) -> None:
    """Report a file that the run leaves.

    :param name: what to call it; by default the file's own name
    :param media_type: by default guessed from the file's suffix
    :raises FileNotFoundError: if there is no such file
    :raises ValueError: for an empty or over-long name
    """
    if not path.is_file():
        raise FileNotFoundError(f"artifact {path} does not exist or is not a file")
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    _tracker.get(_without_tracker).log_artifact(
        path, _checked_name("artifact", name or path.name), media_type or guessed
    )


def progress(done: int, total: int, message: str = "") -> None:
    """Report how far the running step is.

    :raises ValueError: unless ``0 <= done <= total`` and ``total >= 1``
    """
    if total < 1 or not 0 <= done <= total:
        raise ValueError(f"progress needs 0 <= done <= total and total >= 1, not {done} of {total}")
    _tracker.get(_without_tracker).progress(done, total, message)


def dataset_profile(profile: Mapping[str, Any], fingerprint: str) -> None:
    """Report what was learnt about the run's dataset.

    :param fingerprint: SHA-256 in hexadecimal over the names and contents of its files
    :raises ValueError: if the fingerprint is not one
    """
    if len(fingerprint) != 64 or not set(fingerprint) <= set("0123456789abcdef"):  # noqa: PLR2004
        raise ValueError(f"a fingerprint has 64 lower-case hexadecimal digits, unlike {fingerprint!r}")
    _tracker.get(_without_tracker).dataset_profile(profile, fingerprint)


def _checked_name(kind: str, name: str) -> str:
    if not 1 <= len(name) <= MAX_NAME_LENGTH:
        raise ValueError(f"the name of a {kind} has 1 to {MAX_NAME_LENGTH} characters, not {len(name)}")
    return name
