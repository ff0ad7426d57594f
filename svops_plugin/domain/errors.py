"""Everything that can be refused, each kind once. Presentation turns them into answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FieldErrors = Mapping[str, Sequence[str]]


class SVOpsError(Exception):
    """A refusal with a message that a person can act on."""


class InvalidInput(SVOpsError):
    """What was sent cannot be accepted as it is.

    :param message: what is wrong and what to do about it
    :param errors: reasons by field, where fields are to blame
    """

    def __init__(self, message: str, errors: FieldErrors | None = None) -> None:
        super().__init__(message)
        self.errors = errors or {}

    @classmethod
    def field(cls, name: str, reason: str) -> InvalidInput:
        """Refuse one field."""
        return cls(f"{name}: {reason}", {name: [reason]})


class NotAuthenticated(SVOpsError):
    """Nobody is signed in, or what was shown as proof is not valid."""


class PermissionDenied(SVOpsError):
    """The signed-in user may not do this."""


class NotFound(SVOpsError):
    """There is no such thing, or the user may not know that there is."""


class Gone(SVOpsError):
    """It is known what was there, and that it is not any more."""


class Conflict(SVOpsError):
    """The request is fine, but not in the present state.

    :param current: what was to be changed, as it is now, where it is not what who asked had before them
    """

    def __init__(self, message: str, current: object = None) -> None:
        super().__init__(message)
        self.current = current


class TooManyRequests(SVOpsError):
    """So many requests came that others would have to wait.

    :param seconds: after how many the next one is welcome
    """

    def __init__(self, message: str, seconds: float = 1.0) -> None:
        super().__init__(message)
        self.seconds = seconds


class Unavailable(SVOpsError):
    """A part that is needed does not answer now; the same request may succeed later."""


class ConfigurationProblem(SVOpsError):
    """The deployment lacks a setting or holds an unusable one."""


class NotSupported(SVOpsError):
    """This deployment cannot do that, by the choice of a part that SVOps does not own."""
