"""Commands, requests and settings in README and docs, held against what there is."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import fields
from typing import Any

import click
import jsonschema
import pytest
from airflow.providers.common.compat.sdk import conf

from svops_plugin.presentation.cli import main
from svops_plugin.settings import Settings, load
from tests.unit.documentation import ROOT, Block, for_each_block, the_block

ENDS = ";|&()\n"  # what ends a command
OWN = {field.name for field in fields(Settings)} | {"cors_origins"}  # Airflow's part asks for that one itself
ASSIGNMENT = re.compile(r"[A-Za-z_]+=.*", re.DOTALL)
OPENAPI: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))


def commands(text: str) -> Iterator[list[str]]:
    """Return the words of each command, without the prompt and without what is assigned before it."""
    lines = re.sub(r"(?m)^\$ |^#.*$|\s# .*$", "", text).replace("\\\n", " ")
    lexer = shlex.shlex(lines, posix=True, punctuation_chars=ENDS)
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    words: list[str] = []
    for word in [*lexer, "\n"]:
        if set(word) <= set(ENDS):
            if words:
                yield words
            words = []
        elif words or not ASSIGNMENT.fullmatch(word):
            words.append(word)


def check_svops(arguments: list[str]) -> None:
    """Parse a command line as it would be, and do nothing."""
    command, context = main, click.Context(main)
    while isinstance(command, click.Group):
        name, command, arguments = command.resolve_command(context, arguments)
        assert command, f"there is no command {name}"
    command.make_context(command.name, arguments, parent=context)


def check_make(arguments: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in arguments:
        assert ASSIGNMENT.fullmatch(target) or re.search(rf"^{target}:", makefile, re.MULTILINE), target


def check_export(arguments: list[str]) -> None:
    """Look whether SVOps or Airflow has a setting; other variables are nobody's business here."""
    for variable in arguments:
        airflow, *setting = variable.partition("=")[0].lower().split("__", 2)
        if airflow == "airflow":
            section, name = setting
            assert name in OWN if section == "svops" else conf.has_option(section, name), variable


CHECKS = {"svops": check_svops, "make": check_make, "export": check_export}


@for_each_block(__file__, "test_the_command_is_there")
def test_the_command_is_there(block: Block) -> None:
    found = list(commands(block.text))
    assert found
    for program, *arguments in found:
        CHECKS[program](arguments)


def request_of(arguments: list[str]) -> tuple[str, str, str | None]:
    """Return the method, the path below the API's and the body that curl would send."""
    method, url, body = None, "", None
    words = iter(arguments)
    for word in words:
        if word in {"-X", "-d", "-H"}:
            value = next(words)
            method, body = (value if word == "-X" else method), (value if word == "-d" else body)
        elif not word.startswith("-"):
            url = word
    return method or ("POST" if body else "GET"), url.removeprefix("$api").partition("?")[0], body


def operation(method: str, path: str) -> dict[str, Any]:
    """Return how the API describes what a request asks for."""
    matching = [
        methods[method.lower()]
        for pattern, methods in OPENAPI["paths"].items()
        if method.lower() in methods and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path)
    ]
    assert matching, f"the API has no {method} {path}"
    found: dict[str, Any] = matching[0]
    return found


@for_each_block(__file__, "test_the_api_takes_it")
def test_the_api_takes_it(block: Block) -> None:
    asked = [arguments for program, *arguments in commands(block.text) if program == "curl"]
    assert asked
    for arguments in asked:
        method, path, body = request_of(arguments)
        described = operation(method, path).get("requestBody")
        if body is None:
            assert not (described and described.get("required")), f"{method} {path} wants a body"
            continue
        assert described, f"{method} {path} takes no body"
        schema = described["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(body), {**schema, "components": OPENAPI["components"]})


def settings_of(text: str) -> dict[str, str]:
    parser = ConfigParser()
    parser.read_string(text)
    return dict(parser["svops"])


@for_each_block(__file__, "test_the_settings_are_there")
def test_the_settings_are_there(block: Block) -> None:
    assert settings_of(block.text)
    assert set(settings_of(block.text)) <= OWN


def test_what_the_readme_calls_defaults_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AIRFLOW__SVOPS__")]:
        monkeypatch.delenv(name)
    block = the_block("README.md", "ini")
    defaults = settings_of("[svops]\n" + block.partition("with their defaults:\n")[2])
    untouched = load()
    for name, value in defaults.items():
        monkeypatch.setenv(f"AIRFLOW__SVOPS__{name.upper()}", value)
    assert load() == untouched
    assert set(defaults) >= OWN - {"data_roots", "output_roots", "sql_alchemy_conn"}
