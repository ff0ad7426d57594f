"""Build configurations: a preset, and what a task changes of it.

Presets are TOML files; a team adds a folder of its own to those of SVOps (``presets/``). Only the standard
library is imported, because a configuration is checked wherever a task is saved.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from svops_plugin.pipelines import ini
from svops_plugin.pipelines.errors import ConfigurationError
from svops_plugin.pipelines.estimators import ESTIMATORS, Parameter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["DEFAULT_PRESET", "BuildConfig", "ConfigurationError", "describe_preset", "presets", "resolve"]

DEFAULT_PRESET = "release"
BUNDLED_PRESETS = Path(__file__).parent / "presets"
CUSTOM = "build_config_custom_conf"

_SETTINGS: Mapping[str, Parameter] = {
    "estimator": Parameter(choices=tuple(ESTIMATORS)),
    "test_size": Parameter(float, 0.05, 0.5),
    "cv_folds": Parameter(int, 2, 20),
    "seed": Parameter(int, 0, 2**32 - 1),
    "max_samples": Parameter(int, 20, 10_000_000, choices=(None,)),
    "min_accuracy": Parameter(float, 0, 1),
    "image_size": Parameter(int, 8, 128),
    "vocabulary_size": Parameter(int, 2, 1024),
}


@dataclass(frozen=True)
class BuildConfig:
    """How a run processes, trains and judges.

    :param preset: the preset it began with
    :param estimator: a key of :data:`~svops_plugin.pipelines.estimators.ESTIMATORS`
    :param params: the estimator's hyper-parameters; those left out have scikit-learn's defaults
    :param test_size: the part of each class that is held out of training, 0.05 to 0.5
    :param cv_folds: folds of the cross-validation within the training part
    :param seed: of all that is random
    :param min_accuracy: the held-out accuracy below which a model is refused, 0 to 1
    :param max_samples: use so many samples at most, in the classes' shares; none for all
    :param image_size: the side, in pixels, that camera frames are brought to
    :param vocabulary_size: how many visual words describe local descriptors
    :param ini: sections of the INI file that is written beside the artifacts
    """

    preset: str
    estimator: str
    params: Mapping[str, Any]
    test_size: float = 0.25
    cv_folds: int = 5
    seed: int = 7
    min_accuracy: float = 0.0
    max_samples: int | None = None
    image_size: int = 32
    vocabulary_size: int = 128
    ini: Mapping[str, Mapping[str, str]] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


def presets(preset_dirs: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the files of the known presets by name; of two with one name the later folder's counts.

    :raises ConfigurationError: if a folder of presets does not exist
    """
    found: dict[str, Path] = {}
    for folder in (BUNDLED_PRESETS, *preset_dirs):
        if not folder.is_dir():
            raise ConfigurationError("build_config", f"the folder of presets {folder} does not exist")
        found |= {path.stem: path for path in sorted(folder.glob("*.toml"))}
    return found


def describe_preset(path: Path) -> str:
    """Return what a preset's file says of itself in the lines of comment that it begins with."""
    lines = takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    return " ".join(line.strip("# ") for line in lines)


def resolve(
    build_config: str | None,
    *,
    customized: bool = False,
    custom_conf: Mapping[str, Any] | None = None,
    custom_ini: Mapping[str, Any] | None = None,
    preset_dirs: Sequence[Path] = (),
) -> BuildConfig:
    """Return the build configuration that a task's fields describe.

    :param build_config: name of a preset; ``release`` if there is none
    :param customized: whether ``custom_conf`` and ``custom_ini`` count. They are checked in any case, so that
        switching them on later cannot fail
    :param custom_conf: settings that replace the preset's. Naming another estimator drops the preset's
        ``params``; else ``params`` are merged one by one
    :param custom_ini: ``{"section": {"key": scalar}}``
    :param preset_dirs: folders of TOML files beside SVOps' own
    :raises ConfigurationError: naming the field, and what is known where a name is unknown
    """
    name = build_config or DEFAULT_PRESET
    known = presets(preset_dirs)
    if name not in known:
        raise ConfigurationError(
            "build_config", f"unknown preset {name!r:.80}; known: {', '.join(sorted(known))}"
        )
    preset = _load_preset(known[name])
    merged = _merge(preset, {} if custom_conf is None else custom_conf, CUSTOM)
    sections = ini.parse({} if custom_ini is None else custom_ini)
    if not customized:
        return BuildConfig(preset=name, **preset)
    return BuildConfig(preset=name, **merged, ini=sections or None)


def _load_preset(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError("build_config", f"preset {path} cannot be read: {error}") from None
    if "estimator" not in content:
        raise ConfigurationError("build_config", f"preset {path} names no estimator")
    try:
        return _merge({}, content, "preset")
    except ConfigurationError as error:
        raise ConfigurationError("build_config", f"preset {path}: {error}") from None


def _merge(base: Mapping[str, Any], changes: object, field: str) -> dict[str, Any]:
    """Return ``base`` with the changes, each checked; ``field`` names where they stand."""
    if not isinstance(changes, Mapping):
        raise ConfigurationError(field, f"must be an object, not {changes!r:.80}")
    merged = dict(base)
    for key, value in changes.items():
        if key == "params":
            continue
        if key not in _SETTINGS:
            known = ", ".join(sorted([*_SETTINGS, "params"]))
            raise ConfigurationError(f"{field}.{key}", f"unknown setting; known: {known}")
        merged[key] = _parse(_SETTINGS[key], value, f"{field}.{key}")
    kept = base.get("params", {}) if merged["estimator"] == base.get("estimator") else {}
    merged["params"] = {**kept, **_params(merged["estimator"], changes.get("params", {}), f"{field}.params")}
    return merged


def _params(estimator: str, params: object, field: str) -> dict[str, Any]:
    if not isinstance(params, Mapping):
        raise ConfigurationError(field, f"must be an object, not {params!r:.80}")
    known = ESTIMATORS[estimator].parameters
    for name in params:
        if name not in known:
            raise ConfigurationError(
                f"{field}.{name}",
                f"unknown hyper-parameter of {estimator}; known: {', '.join(sorted(known))}",
            )
    return {name: _parse(known[name], value, f"{field}.{name}") for name, value in params.items()}


def _parse(parameter: Parameter, value: object, field: str) -> Any:
    try:
        return parameter.parse(value)
    except ValueError as error:
        raise ConfigurationError(field, str(error)) from None
