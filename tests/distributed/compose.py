"""The files of Docker Compose as Compose reads them: merged, with their variables filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from svops_plugin.infrastructure.airflow import host_name

ROOT = Path(__file__).parents[2]
BASE = ROOT / "docker-compose.yml"
FILES = {"airflow3": [BASE], "airflow2": [BASE, ROOT / "docker-compose.airflow2.yml"]}
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([?-])([^}]*))?\})")

Service = dict[str, Any]


def text(host: str | None = None) -> str:
    """Return what stands in the files for an Airflow, by default for the one that is installed."""
    return "".join(file.read_text() for file in FILES[host or host_name()])


def services(variables: Mapping[str, str], host: str | None = None) -> dict[str, Service]:
    """Return the services that Compose would start with these variables, by name.

    :raises KeyError: for a variable that has no default and is not given
    """
    merged: dict[str, Any] = {}
    for file in FILES[host or host_name()]:
        merged = _merged(merged, yaml.safe_load(file.read_text()))
    filled: dict[str, Service] = _filled(merged["services"], variables)
    return filled


def _merged(base: Any, over: Any) -> Any:
    """Merge mappings; whatever else stands in both is as the second has it, like Compose's commands."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: _merged(base[key], value) if key in base else value for key, value in over.items()}


def _filled(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(one, variables) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, variables) for one in value]
    return fill(value, variables) if isinstance(value, str) else value


def fill(value: str, variables: Mapping[str, str]) -> str:
    """Fill in a text's variables."""

    def content(found: re.Match[str]) -> str:
        name, kind, default = found.groups()
        if name is None:
            return "$"
        if kind == "-":
            return variables.get(name) or str(default)
        return variables[name]

    return VARIABLE.sub(content, value)
