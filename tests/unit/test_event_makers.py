"""Every type of event is made by some code, as its source says; those that the document reserves by none."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import svops_plugin
from svops_plugin.application import events
from svops_plugin.domain.events import EVENT_TYPES

SOURCES = Path(svops_plugin.__file__).parent
DOCUMENT = (SOURCES.parent / "docs" / "events.md").read_text()
RESERVED = set(re.findall(r"^`([a-z.]+)` is reserved", DOCUMENT, re.MULTILINE))


def functions(source: str) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))


def calls(function: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node


def texts(node: ast.expr, function: ast.FunctionDef) -> set[str]:
    """Return every text that an expression in a function can be."""
    if isinstance(node, ast.Constant):
        return {str(node.value)}
    if isinstance(node, ast.IfExp):
        return texts(node.body, function) | texts(node.orelse, function)
    if isinstance(node, ast.Dict):
        return set[str]().union(*(texts(value, function) for value in node.values))
    if isinstance(node, ast.Subscript):
        return texts(node.value, function)
    assert isinstance(node, ast.Name), f"This test cannot read {ast.unparse(node)} in {function.name}."
    values = [
        one.value
        for one in ast.walk(function)
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == node.id
    ]
    return set[str]().union(*(texts(one, function) for one in values)) or {getattr(events, node.id)}


def makers() -> dict[str, tuple[ast.FunctionDef, ast.expr]]:
    """Return the functions that make events, each with what it takes as the type."""
    return {
        function.name: (function, next(word.value for word in made.keywords if word.arg == "type"))
        for function in functions(Path(events.__file__).read_text())
        for name, made in calls(function)
        if name == "Event"
    }


def made_types() -> set[str]:
    """Return the types that the callers of those functions let them make."""
    known, found = makers(), set[str]()
    for path in SOURCES.rglob("*.py"):
        for caller in functions(path.read_text()):
            for name, call in calls(caller):
                if name not in known:
                    continue
                function, kind = known[name]
                if isinstance(kind, ast.JoinedStr):  # f"task.{verb}", of a verb that the caller says
                    subject = ast.literal_eval(kind.values[0])
                    found |= {f"{subject}{verb}" for verb in texts(call.args[0], caller)}
                else:
                    found |= texts(kind, function)
    return found


def test_every_type_is_made_or_reserved() -> None:
    assert made_types() == set(EVENT_TYPES) - RESERVED
    assert set(EVENT_TYPES) >= RESERVED
