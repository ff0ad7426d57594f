"""The files of Docker Compose and the Dockerfile, as far as they can be judged without Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from cryptography.fernet import Fernet
from sqlalchemy.engine import Engine
from sqlalchemy.event import listen, remove

from svops_plugin.presentation.cli.deployment import init, make_secrets, new_secrets
from svops_plugin.presentation.cli.stack.prepare import wait_for_server
from svops_plugin.presentation.rest import api, bridge
from tests.conftest import PostgreSQL
from tests.distributed import compose
from tests.distributed.compose import FILES, ROOT, VARIABLE
from tests.integration.live import eventually

HOSTS = pytest.mark.parametrize("host", FILES)
OTHERS = {"postgres", "redis", "gateway"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PARSE = """
import json, sys
from airflow.cli.cli_parser import get_parser
for command in json.loads(sys.argv[1]):
    get_parser().parse_args(command)
"""
RELEASE = {"airflow3": "airflow-3.3", "airflow2": "airflow-2.11"}


def airflows(host: str | None = None) -> dict[str, compose.Service]:
    """Return the services that run Airflow's image."""
    services = compose.services(new_secrets(), host)
    return {name: service for name, service in services.items() if name not in OTHERS}


def test_they_follow_the_schema_of_compose() -> None:
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    files = sorted({file for found in FILES.values() for file in found})
    finished = subprocess.run([*checker, *files], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout


@HOSTS
def test_each_secret_has_its_place_and_no_default(host: str) -> None:
    wanted, optional = set(), set()
    for name, kind, _ in VARIABLE.findall(compose.text(host)):
        (optional if kind == "-" else wanted).add(name)
    assert wanted - {""} == set(new_secrets())
    assert not [name for name in optional if re.search("PASSWORD|KEY|SECRET|TOKEN", name)]


@HOSTS
def test_no_password_stands_in_the_files(host: str) -> None:
    for file in FILES[host]:
        for key, value in re.findall(r"(\w*(?:PASSWORD|KEY|SECRET)\w*): (.*)", file.read_text()):
            assert value.startswith("${"), key
    for password in re.findall(r"://\w*:([^@/]+)@", compose.text(host)):
        assert password.startswith("${")


@HOSTS
def test_all_of_airflow_is_set_alike(host: str) -> None:
    services = compose.services(given := new_secrets(), host)
    found = {name: services[name]["environment"] for name in services if name not in OTHERS}
    first = found["scheduler"]
    assert found.pop("init") == {**first, "SVOPS_ADMIN_PASSWORD": given["SVOPS_ADMIN_PASSWORD"]}
    assert all(environment == first for environment in found.values())
    assert len({services[name]["image"] for name in found}) == 1


@HOSTS
def test_more_settings_may_stand_in_a_file_that_is_not_committed(host: str) -> None:
    for service in airflows(host).values():
        assert service["env_file"] == [{"path": "airflow.env", "required": False}]
    assert {".env", "airflow.env"} <= set((ROOT / ".gitignore").read_text().splitlines())
    assert (ROOT / ".dockerignore").read_text().startswith("*\n")


@HOSTS
def test_data_and_outputs_are_on_volumes_that_all_share(host: str) -> None:
    declared = yaml.safe_load(FILES[host][0].read_text())["volumes"]
    for service in airflows(host).values():
        mounted = dict(one.split(":", 1) for one in service["volumes"])
        assert set(mounted) <= set(declared)
        for setting in ("DATA", "OUTPUT"):
            root = service["environment"][f"AIRFLOW__SVOPS__{setting}_ROOTS"]
            assert root in mounted.values()
            assert root in DOCKERFILE  # made there, so that the volume belongs to Airflow's user
        assert service["environment"]["AIRFLOW__CORE__DAGS_FOLDER"] == "/opt/airflow/dags"
    assert "dags ${AIRFLOW_HOME}/dags" in DOCKERFILE


@HOSTS
def test_a_worker_is_stopped_before_what_its_tasks_report_to(host: str) -> None:
    services = compose.services(new_secrets(), host)
    assert {"gateway", "api-server"} <= set(services["worker"]["depends_on"])
    for name, service in airflows(host).items():
        first = {"postgres", "redis"} if name == "init" else {"init"}
        assert first <= set(service["depends_on"]), name


def test_the_gateway_sends_all_that_is_svops_where_svops_is_well() -> None:
    (rule,) = re.findall(r"use_backend svops if (.*)", (ROOT / "docs" / "haproxy.cfg").read_text())
    for below in (api.ROOT, bridge.FLASK_MOUNT + api.ROOT):
        assert {below, f"{below}/"} <= set(rule.split())


@HOSTS
def test_the_image_is_the_airflow_of_the_lock(host: str) -> None:
    pinned = re.findall(r"apache-airflow==(\S+)", (ROOT / "requirements" / f"{RELEASE[host]}.in").read_text())
    assert {service["build"]["args"]["AIRFLOW_IMAGE"] for service in airflows(host).values()} == {
        f"apache/airflow:{pinned[0]}"
    }


@HOSTS
def test_who_runs_for_long_tells_how_it_is(host: str) -> None:
    services = compose.services(new_secrets(), host)
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init"}


def test_nothing_in_the_image_is_run_as_root() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.findall(r"^USER (\w+)$", last, re.MULTILINE)[-1] == "airflow"


def test_this_airflow_knows_the_commands() -> None:
    """In a process of its own: which commands there are depends on the executor that is set."""
    commands = [service["command"] for service in airflows().values() if "entrypoint" not in service]
    checks = [service.get("healthcheck", {}).get("test", [""])[-1] for service in airflows().values()]
    commands += [shlex.split(check)[1:] for check in checks if check.startswith("airflow ")]
    assert len(commands) == 7
    subprocess.run(
        [sys.executable, "-c", PARSE, json.dumps(commands)],
        env={**os.environ, "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor"},
        check=True,
    )


class TestSecrets:
    def test_all_are_new_each_time(self) -> None:
        one, other = new_secrets(), new_secrets()
        assert not set(one.values()) & set(other.values())
        assert min(map(len, one.values())) >= 16
        Fernet(one["AIRFLOW_FERNET_KEY"].encode())

    def test_they_are_shown(self) -> None:
        shown = CliRunner().invoke(make_secrets).output
        assert [line.partition("=")[0] for line in shown.splitlines()] == list(new_secrets())

    def test_a_file_is_its_owners_and_stays(self, tmp_path: Path) -> None:
        file = tmp_path / ".env"
        assert CliRunner().invoke(make_secrets, [str(file)]).exit_code == 0
        assert file.stat().st_mode & 0o777 == 0o600
        written = file.read_text()
        again = CliRunner().invoke(make_secrets, [str(file)])
        assert again.exit_code == 1
        assert "exists" in again.output
        assert file.read_text() == written

    def test_where_no_file_can_be(self, tmp_path: Path) -> None:
        refused = CliRunner().invoke(make_secrets, [str(tmp_path / "none" / ".env")])
        assert refused.exit_code == 1
        assert "cannot be written" in refused.output

    def test_what_keeps_it_waiting_is_told_once(
        self, postgresql: PostgreSQL, empty_postgresql: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """It may be a wrong password as well as a server that starts; whoever looks on has to know."""
        asked: list[str] = []

        def note(*_: Any) -> None:
            asked.append("")

        postgresql.close(empty_postgresql)
        waiting = Thread(target=wait_for_server, args=(postgresql.url(empty_postgresql),))
        listen(Engine, "do_connect", note)
        try:
            waiting.start()
            eventually(lambda: len(asked) > 2, "some attempts")
        finally:
            remove(Engine, "do_connect", note)
            postgresql.open(empty_postgresql)
            waiting.join()
        assert capsys.readouterr().err.count("is not currently accepting connections") == 1

    def test_nothing_is_made_without_a_password(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SVOPS_ADMIN_PASSWORD", raising=False)
        refused = CliRunner().invoke(init)
        assert refused.exit_code == 1
        assert "SVOPS_ADMIN_PASSWORD" in refused.output
