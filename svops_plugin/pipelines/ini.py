"""The INI file of a run: any section and key a team likes, some of which the pipelines honour.

===========================  ============================================================
``[report] title``           heading of the HTML report
``[report] max_pictures``    how many misclassified samples it shows (24)
``[video] frame_ms``         how long the animation shows each sample, in milliseconds (600)
``[video] max_frames``       how many samples the animation shows (60)
===========================  ============================================================

Keys are case-sensitive; all values are text, and ``%`` has no special meaning.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from configparser import Error as ParserError
from configparser import RawConfigParser
from dataclasses import dataclass
from typing import Any

from svops_plugin.pipelines.errors import ConfigurationError
from svops_plugin.pipelines.estimators import Parameter

FIELD = "build_config_custom_ini"
MAX_TITLE_LENGTH = 200

Sections = Mapping[str, Mapping[str, str]]

_NUMBERS = {
    ("report", "max_pictures"): Parameter(int, 1, 500),
    ("video", "frame_ms"): Parameter(int, 20, 60_000),
    ("video", "max_frames"): Parameter(int, 1, 1_000),
}


@dataclass(frozen=True)
class Options:
    """The keys that the pipelines honour; the module's docstring says what they mean."""

    title: str | None = None
    max_pictures: int = 24
    frame_ms: int = 600
    max_frames: int = 60


def parse(content: object) -> dict[str, dict[str, str]]:
    """Return ``{"section": {"key": scalar}}`` with all values as text.

    :raises ConfigurationError: for another shape, a name or value an INI file cannot hold, or a honoured key
        whose value is of no use
    """
    if not isinstance(content, Mapping):
        raise ConfigurationError(FIELD, 'must be an object like {"section": {"key": "value"}}')
    sections: dict[str, dict[str, str]] = {}
    for section, keys in content.items():
        _check_name(section, FIELD, forbidden="[]")
        if section == "DEFAULT":
            raise ConfigurationError(f"{FIELD}.DEFAULT", "is not a section of its own; name the sections")
        if not isinstance(keys, Mapping):
            raise ConfigurationError(f"{FIELD}.{section}", 'must be an object like {"key": "value"}')
        sections[section] = {}
        for key, value in keys.items():
            _check_name(key, f"{FIELD}.{section}", forbidden="=:[#;")
            sections[section][key] = _text(value, f"{FIELD}.{section}.{key}")
    options(sections)
    return sections


def options(sections: Sections) -> Options:
    """Return the honoured keys, with defaults for those that are not there.

    :raises ConfigurationError: for a value that is of no use
    """
    found: dict[str, Any] = {}
    title = sections.get("report", {}).get("title")
    if title:
        if len(title) > MAX_TITLE_LENGTH:
            raise ConfigurationError(f"{FIELD}.report.title", f"has more than {MAX_TITLE_LENGTH} characters")
        found["title"] = title
    for (section, key), parameter in _NUMBERS.items():
        value = sections.get(section, {}).get(key)
        if value is None:
            continue
        try:
            found[key] = parameter.parse(int(value) if value.isdecimal() else value)
        except ValueError as error:
            raise ConfigurationError(f"{FIELD}.{section}.{key}", str(error)) from None
    return Options(**found)


def dumps(sections: Sections) -> str:
    """Return the text of an INI file that :func:`loads` turns back into the same sections."""
    parser = _parser()
    parser.read_dict(sections)
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()


def loads(text: str) -> dict[str, dict[str, str]]:
    """Return the sections of an INI file.

    :raises ConfigurationError: if it is not one
    """
    parser = _parser()
    try:
        parser.read_string(text)
    except ParserError as error:
        raise ConfigurationError(FIELD, f"the INI file cannot be read: {error}") from None
    return parse({section: dict(parser.items(section)) for section in parser.sections()})


def _parser() -> RawConfigParser:
    parser = RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep case
    return parser


def _check_name(name: object, field: str, *, forbidden: str) -> None:
    if not isinstance(name, str) or not name or name != name.strip() or not name.isprintable():
        raise ConfigurationError(
            field, f"{name!r:.80} cannot be a name: it must be text without outer spaces"
        )
    if set(name) & set(forbidden):
        raise ConfigurationError(
            field, f"{name!r:.80} cannot be a name: none of {' '.join(forbidden)} is allowed"
        )


def _text(value: object, field: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str) and (value.isprintable() or not value):
        return value.strip()
    raise ConfigurationError(field, f"must be a text on one line, a number or true/false, not {value!r:.80}")
