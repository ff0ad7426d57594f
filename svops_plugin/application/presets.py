"""The presets that a task's build configuration may begin with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from svops_plugin.domain.entities import Json
from svops_plugin.domain.permissions import Actor


@dataclass(frozen=True)
class Preset:
    """A preset.

    :param description: what its file says of it in the lines of comment that it begins with
    :param is_default: whether it counts where a task names none
    :param values: the whole configuration that it stands for; none if it cannot be used
    :param problem: why it cannot be used, if so
    """

    name: str
    description: str
    is_default: bool
    values: Json | None
    problem: str | None = None


class PresetService:
    """Use cases of presets.

    :param known: finds them in their folders
    """

    def __init__(self, known: Callable[[], list[Preset]]) -> None:
        self._known = known

    def all(self, actor: Actor) -> list[Preset]:
        """Return every preset in the order of the names, also those that cannot be used.

        :raises ConfigurationProblem: if a folder of presets does not exist
        """
        actor.require("task", "read")
        return self._known()
