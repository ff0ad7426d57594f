"""Which Airflows SVOps runs on."""

from __future__ import annotations

import os

import pytest

from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.infrastructure import airflow
from svops_plugin.infrastructure.airflow.connections import CONTEXT, stored_connections


@pytest.mark.parametrize(
    ("installed", "name"),
    [
        ("2.11.0", "airflow2"),
        ("2.11.2", "airflow2"),
        ("2.11.3rc1", "airflow2"),
        ("3.3.0rc1", "airflow3"),
        ("3.3.0", "airflow3"),
        ("3.3.2", "airflow3"),
        ("3.10.0", "airflow3"),
        ("4.0.0", "airflow3"),
        ("4", "airflow3"),
    ],
)
def test_a_host(monkeypatch: pytest.MonkeyPatch, installed: str, name: str) -> None:
    monkeypatch.setattr(airflow, "_installed", lambda: installed)
    assert airflow.host_name() == name


@pytest.mark.parametrize("installed", ["2.10.5", "2.12.0", "2.12.0rc1", "3.0.6", "3.2.1", "1.10.15"])
def test_any_other_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    monkeypatch.setattr(airflow, "_installed", lambda: installed)
    with pytest.raises(ConfigurationProblem, match=rf"2\.11, and on 3\.3 or later; this is {installed}\."):
        airflow.host()


def test_the_installed_one_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(airflow, "version", lambda name: asked.append(name) or "3.3.0")
    airflow._installed.cache_clear()
    try:
        assert {airflow.host_name() for _ in range(3)} == {"airflow3"}
    finally:
        airflow._installed.cache_clear()
    assert asked == ["apache-airflow-core"]


@pytest.mark.parametrize("before", [None, "client"])
@pytest.mark.parametrize(("installed", "inside"), [("2.11.2", None), ("3.3.2", "server")])
def test_a_process_says_that_it_is_a_server_for_as_long_as_it_has_to(
    monkeypatch: pytest.MonkeyPatch, installed: str, inside: str | None, before: str | None
) -> None:
    monkeypatch.setattr(airflow, "_installed", lambda: installed)
    monkeypatch.delenv(CONTEXT, raising=False)
    if before is not None:
        monkeypatch.setenv(CONTEXT, before)
    with stored_connections():
        assert os.environ.get(CONTEXT) == (inside or before)
    assert os.environ.get(CONTEXT) == before


def test_both_promise_the_same() -> None:
    """Read, for only one of them can be imported."""
    import ast
    from pathlib import Path

    def promised(name: str) -> list[str]:
        source = ast.parse(Path(airflow.__file__).with_name(f"{name}.py").read_text())
        (found,) = (
            ast.literal_eval(node.value)
            for node in source.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        )
        return list(found)

    assert promised("airflow2") == promised("airflow3")
