"""One running stack for the whole suite, and its summary."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.report import Report
from tests.chaos.stack import Stack, running
from tests.hosts import hosting

_report = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest, report: Report) -> Iterator[Stack]:
    """A stack whose processes can be killed; if a test fails, its logs are kept.

    Airflow's own processes may end by themselves when others are killed; the server may not.
    Its folder is not below pytest's, which another run of pytest may close to PostgreSQL's user meanwhile.
    """
    with (
        tempfile.TemporaryDirectory(prefix="svops-chaos-") as folder,
        running(Path(folder).resolve() / "home") as stack,
    ):
        yield stack
        report.revived = dict(stack.keeper.revived)
        crashed = hosting().SERVER in report.revived
        if request.session.testsfailed or crashed:
            report.logs = tempfile.mkdtemp(prefix="svops-chaos-logs-")
            for logs in (stack.home.logs, stack.home.airflow / "logs"):
                shutil.copytree(logs, Path(report.logs) / logs.relative_to(stack.home.path))
    assert not crashed, f"the server, which SVOps is in, has ended by itself: {report.revived}"


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    made = Report(pytestconfig.getoption("seed"), pytestconfig.getoption("at_most"))
    return pytestconfig.stash.setdefault(_report, made)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the numbers as one line of JSON."""
    if report := config.stash.get(_report, None):
        terminalreporter.section("chaos")
        terminalreporter.line(json.dumps(report.numbers()))
        if report.logs:
            terminalreporter.line(f"The logs are in {report.logs}")
