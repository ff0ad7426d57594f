"""Build configurations, as the pipelines resolve them from presets and what a task changes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from svops_plugin.application.presets import Preset
from svops_plugin.domain.entities import Json, Task
from svops_plugin.domain.errors import ConfigurationProblem, InvalidInput
from svops_plugin.pipelines.configuration import (
    DEFAULT_PRESET,
    ConfigurationError,
    describe_preset,
    presets,
    resolve,
)


def whole_configuration(task: Task, preset_dirs: Sequence[Path]) -> Json:
    """Refuse a task's build configuration if a pipeline would, and return it as pipelines have it.

    :raises InvalidInput: naming the field
    """
    try:
        return resolve(
            task.build_config,
            customized=task.build_config_customized,
            custom_conf=task.build_config_custom_conf,
            custom_ini=task.build_config_custom_ini,
            preset_dirs=preset_dirs,
        ).as_dict()
    except ConfigurationError as refusal:
        raise InvalidInput(str(refusal), {refusal.field: [refusal.reason]}) from refusal


def known_presets(preset_dirs: Sequence[Path]) -> list[Preset]:
    """Return the presets by name, also those that are broken, with the reason.

    :raises ConfigurationProblem: if a folder of presets cannot be read
    """
    found = []
    try:
        files = presets(preset_dirs)
    except ConfigurationError as refusal:
        raise ConfigurationProblem(f"[svops] preset_dirs: {refusal.reason}") from refusal
    for name, path in sorted(files.items()):
        is_default = name == DEFAULT_PRESET
        try:
            values = resolve(name, preset_dirs=preset_dirs).as_dict()
        except ConfigurationError as refusal:
            found.append(Preset(name, "", is_default, None, refusal.reason))
        else:
            found.append(Preset(name, describe_preset(path), is_default, values))
    return found
