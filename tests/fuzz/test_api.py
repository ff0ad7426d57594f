"""The API against requests that nobody would think of, which schemathesis makes of its description."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from tests.conftest import OUTPUT, PostgreSQL
from tests.hosts import hosting
from tests.integration.live import Serve, serve
from tests.server import PASSWORD, ROLES

__all__ = ["serve"]
HERE = Path(__file__).parent
TOKENS = 2000  # more than there are logouts
FEW = ("--max-examples", "1", "--phases", "examples,fuzzing")
FEWEST, LEAST = 50, 1000  # requests for each role, by default and with `--cases`
SECONDS = 24 * 60 * 60
USER_TABLES = ("ab_user", "ab_user_role")  # the second refers to the first


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nobody be told to wait."""
    monkeypatch.setenv("AIRFLOW__SVOPS__WRITES_PER_MINUTE", "1000000")


@pytest.fixture
def users_as_before(postgresql: PostgreSQL, api_server: Any) -> Iterator[None]:  # noqa: ARG001
    """Let the users be as before, whatever becomes of them meanwhile."""
    engine = create_engine(postgresql.url("airflow"), poolclass=NullPool)
    with engine.begin() as connected:
        for table in USER_TABLES:
            connected.exec_driver_sql(f"CREATE TABLE kept_{table} AS TABLE {table}")
    yield
    with engine.begin() as connected:
        connected.exec_driver_sql("SET LOCAL session_replication_role = replica")  # users refer to each other
        for table in USER_TABLES:
            connected.exec_driver_sql(f"DELETE FROM {table}")  # noqa: S608
            connected.exec_driver_sql(f"INSERT INTO {table} TABLE kept_{table}")
            connected.exec_driver_sql(f"DROP TABLE kept_{table}")
    hosting().forget_users()


@pytest.fixture(params=["nobody", *ROLES])
def fuzz_tokens(request: pytest.FixtureRequest, users_as_before: None) -> list[str]:  # noqa: ARG001
    """Access tokens of somebody with that role; of nobody there are none."""
    if request.param == "nobody":
        return []
    with hosting().user_keeping() as users:
        role = users.find_role(request.param)
        assert users.add_user("fuzz", "Fuzz", "Fuzz", "fuzz@svops.example", role, PASSWORD)
    return [hosting().token("fuzz", SECONDS) for _ in range(TOKENS)]


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)
@pytest.mark.usefixtures("unlimited", "running")  # there is something with the ids of the examples
def test_nothing_breaks_the_api_or_its_description(
    *,
    serve: Serve,
    fuzz_tokens: list[str],
    dataset_folder: Path,
    tmp_path: Path,
    pytestconfig: pytest.Config,
    record_property: Callable[[str, object], None],
) -> None:
    folders = {
        "/data/night_drive": str(dataset_folder),
        "/data/truth.csv": f"{dataset_folder}/labels.csv",
        "/output/acme": str(OUTPUT),
    }
    cases = pytestconfig.getoption("cases")
    amount = FEW if cases is None else ("--max-examples", str(cases))
    if fuzz_tokens and cases is not None and hosting().OLD_SCHEMATHESIS:
        phases = ("--phases", "examples,fuzzing,stateful", "--exclude-checks", "use_after_free")
        amount = ("--max-examples", str(4 * cases), *phases)
    given, answers = tmp_path / "given.json", tmp_path / "answers.json"
    given.write_text(json.dumps({"tokens": fuzz_tokens, "folders": folders}))
    with serve() as port:
        api = f"http://127.0.0.1:{port}/svops/api/v1"
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml"),
                *("run", f"{api}/openapi.json", "--checks", "all"),
                *("--seed", "1", *amount),
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(HERE.parents[1]),
                "FUZZ_GIVEN": str(given),
                "FUZZ_ANSWERS": str(answers),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
        counts: dict[str, int] = json.loads(answers.read_text())
        asked = sum(counts.values())
        record_property("cases", asked)
        assert asked >= (FEWEST if cases is None else LEAST)
        healthy = httpx.get(f"{api}/health", timeout=60)
        assert healthy.status_code == 200, healthy.text
        if fuzz_tokens:
            assert counts["tasks_index 200"]
