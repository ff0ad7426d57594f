"""The doctor: looks whether a deployment has all that SVOps needs, and says what to do where it has not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from svops_plugin.domain.errors import SVOpsError

log = logging.getLogger(__name__)

DAG_ID = "svops_doctor"
Check = Callable[[], str]  # returns what is found good; raises SVOpsError, saying what to do


@dataclass(frozen=True)
class Finding:
    """What a check came to.

    :param message: what is good, or what is wrong and what to do about it
    """

    check: str
    ok: bool
    message: str

    def __str__(self) -> str:
        return f"{'ok    ' if self.ok else 'FAILED'}  {self.check}: {self.message}"


def examine(checks: Mapping[str, Check]) -> Sequence[Finding]:
    """Make every check; one that fails, in whatever way, keeps no other from being made."""
    return [_finding(name, check) for name, check in checks.items()]


def _finding(name: str, check: Check) -> Finding:
    try:
        return Finding(name, True, check())
    except SVOpsError as refusal:
        return Finding(name, False, str(refusal))
    except Exception as defect:
        log.warning("The check %r failed.", name, exc_info=True)
        return Finding(name, False, f"The check itself failed: {type(defect).__name__}: {defect}")
