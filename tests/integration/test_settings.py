"""What is written into the configuration is read, or refused by its name."""

from __future__ import annotations

from datetime import timedelta

import pytest

from svops_plugin.domain.errors import ConfigurationProblem
from svops_plugin.settings import load


def test_settings_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SVOPS__EXECUTION_TIMEOUT", "90.5")
    monkeypatch.setenv("AIRFLOW__SVOPS__EVENT_RETENTION_DAYS", "0")
    monkeypatch.setenv("AIRFLOW__SVOPS__ALLOW_REGISTRATION", "True  # for the pilot")
    monkeypatch.setenv("AIRFLOW__SVOPS__CHAIN", " a, b ,")
    settings = load()
    assert settings.execution_timeout == timedelta(seconds=90.5)
    assert settings.event_retention_days == 0
    assert settings.allow_registration
    assert settings.chain == ("a", "b")


@pytest.mark.parametrize("value", ["fast", "", "-1", "nan", "inf"])
@pytest.mark.parametrize(
    "key",
    [
        "max_active_executions",
        "execution_timeout",
        "event_retention_days",
        "execution_retention_days",
        "idempotency_retention_days",
        "writes_per_minute",
    ],
)
def test_what_is_no_number_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    monkeypatch.setenv(f"AIRFLOW__SVOPS__{key.upper()}", value)
    with pytest.raises(ConfigurationProblem, match=rf"\[svops\] {key} has to be . or more, not '{value}'"):
        load()


def test_what_is_neither_true_nor_false_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SVOPS__ALLOW_REGISTRATION", "maybe")
    with pytest.raises(ConfigurationProblem, match=r"has to be True or False, not 'maybe'"):
        load()
