"""What a pipeline refuses. The messages say what to do; trying again without a change ends the same way."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_PROBLEMS = 20


class PipelineError(Exception):
    """The base of all refusals: the input or the state is at fault, not the machine."""


class ConfigurationError(PipelineError, ValueError):
    """A build configuration cannot be used as it is.

    :param field: the path of the field to blame, e.g. ``build_config_custom_conf.params.C``
    :param reason: what is wrong with it and what would be right
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class DataError(PipelineError):
    """A dataset does not hold what it should.

    :param problems: every problem by name; the message shows the first 20 and counts the rest
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        shown = self.problems[:SHOWN_PROBLEMS]
        rest = len(self.problems) - len(shown)
        if rest:
            shown.append(f"and {rest} more")
        super().__init__("; ".join(shown))


class StateError(PipelineError):
    """A step did not find, or cannot trust, what an earlier step of the chain has to leave behind."""


class PerformanceError(PipelineError):
    """The trained model is not good enough for the build configuration."""
