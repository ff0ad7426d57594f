"""The doctor: each thing is broken for real, and it says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from click.testing import CliRunner, Result
from sqlalchemy import delete

from svops_plugin.application.doctor import DAG_ID, Finding, examine
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import host, key_digests, services
from svops_plugin.domain.notifications import NotificationConfig
from svops_plugin.infrastructure.airflow.common import metadata_session
from svops_plugin.infrastructure.database import migrations
from svops_plugin.orchestration.doctor import examine_worker
from svops_plugin.presentation.cli import main
from tests.conftest import PostgreSQL, connection
from tests.integration.deployment import JOBS, deployment, jobs

__all__ = ["deployment", "jobs"]


def found(*options: str) -> dict[str, Finding]:
    """Return the findings by check."""
    result = run("--json", *options)
    findings = [Finding(**one) for one in json.loads(result.stdout)]
    assert (result.exit_code == 0) is all(finding.ok for finding in findings)
    return {finding.check: finding for finding in findings}


def run(*options: str) -> Result:
    return CliRunner().invoke(main, ["doctor", *options])


def only(check: str, *words: str) -> None:
    """Check that nothing but one check fails, and that it says these words."""
    findings = found()
    assert {name for name, finding in findings.items() if not finding.ok} == {check}
    for word in words:
        assert word in findings[check].message


@pytest.mark.usefixtures("deployment")
class TestAtTheCommandLine:
    def test_nothing_is_wrong(self) -> None:
        result = run()
        assert result.exit_code == 0, result.output
        assert "FAILED" not in result.output
        assert len(result.output.splitlines()) == len(found()) == 12

    def test_the_database_is_not_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_SVOPS_DB")
        services.cache_clear()
        findings = found()
        assert "AIRFLOW_CONN_SVOPS_DB" in findings["database"].message
        assert {name for name, finding in findings.items() if not finding.ok} == {
            "database",
            "schema",
            "fernet key",
        }

    def test_the_database_is_down(self, deployment: str, postgresql: PostgreSQL) -> None:
        postgresql.close(deployment)
        findings = found()
        assert "does not answer" in findings["database"].message
        assert findings["DAGs"].ok

    def test_the_schema_is_old(self, empty_postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", connection(empty_postgresql))
        services.cache_clear()
        migrations.upgrade(services().engine, "0005")
        findings = found()
        assert findings["database"].ok
        assert "svops db upgrade" in findings["schema"].message

    def test_a_secret_whose_key_is_gone(self) -> None:
        from cryptography.fernet import Fernet

        foreign = Fernet(Fernet.generate_key()).encrypt(b"https://x").decode()
        with services().transactions() as uow:
            config = NotificationConfig(name="c", channel="webhook", sealed_url=foreign)
            uow.notification_configs.add(config)
        only("fernet key", "[core] fernet_key")

    @pytest.mark.parametrize(
        ("setting", "check"), [("data_roots", "data roots"), ("output_roots", "output roots")]
    )
    def test_roots(self, setting: str, check: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        variable = f"AIRFLOW__SVOPS__{setting.upper()}"
        file = tmp_path / "file"
        file.touch()
        for root, words in ((tmp_path / "gone", "No such file"), (file, "Not a directory")):
            monkeypatch.setenv(variable, f"{tmp_path},{root}")
            services.cache_clear()
            only(check, setting, str(root), words)
        monkeypatch.delenv(variable)
        services.cache_clear()
        only(check, f"set [svops] {setting}")
        assert list(tmp_path.iterdir()) == [file]

    @pytest.mark.parametrize(
        ("name", "kind"), zip(("scheduler", "triggerer", "dag-processor"), JOBS, strict=True)
    )
    def test_a_process_that_is_gone(self, name: str, kind: str, jobs: Callable[..., None]) -> None:
        jobs(**{other: 600 if other == kind else 0 for other in JOBS})
        only(name, "the last sign of one", f"start: airflow {name}")
        jobs(**{other: 0 for other in JOBS if other != kind})
        only(name, "none ever ran")

    @pytest.mark.parametrize("column", ["is_paused", "has_import_errors", "gone"])
    def test_dags(self, column: str) -> None:
        from airflow.models.dag import DagModel
        from airflow.models.errors import ParseImportError

        name, value = host().DagRuns.gone if column == "gone" else (column, True)

        def change(to: bool) -> None:
            with metadata_session() as session:
                session.query(DagModel).filter_by(dag_id=CONTROLLER).update({name: to})
                session.execute(delete(ParseImportError))
                if column == "has_import_errors" and to is value:
                    error = "Traceback:\n  file\nNameError: name 'chain' is not defined"
                    session.add(ParseImportError(filename="svops_controller.py", stacktrace=error))

        change(value)
        try:
            only("DAGs", CONTROLLER, *(["NameError"] if column == "has_import_errors" else []))
        finally:
            change(not value)
        assert found()["DAGs"].ok

    def test_roles_that_lack_a_permission(self) -> None:
        from airflow.providers.fab.auth_manager.models import Role

        with metadata_session() as session:
            role = session.query(Role).filter_by(name="Viewer").one()
            lost = [held for held in role.permissions if held.resource.name == "SVOps Tasks"]
            role.permissions = [held for held in role.permissions if held not in lost]
        assert len(lost) == 1
        only("permissions", "lack 1", "restart")
        only("permissions", "lack 1")
        services().sync_roles(None)  # type: ignore[arg-type]  # as above
        assert found()["permissions"].ok

    @pytest.mark.only_on("airflow2", "Server")
    @pytest.mark.parametrize(
        ("worker_class", "arguments"),
        [
            ("gevent", "--threads 128"),
            ("sync", ""),
            ("sync", "--threads 4"),
            ("gthread", ""),
            ("gthread", "--threads 4"),
        ],
    )
    def test_a_webserver_without_threads(
        self, worker_class: str, arguments: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AIRFLOW__WEBSERVER__WORKER_CLASS", worker_class)
        monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)
        only("server", "gthread", "--threads 128")

    @pytest.mark.only_on("airflow2", "Server")
    @pytest.mark.parametrize("arguments", ["--threads 128", "--graceful-timeout 9 --threads=32"])
    def test_threads_make_a_sync_worker_one_with_threads(
        self, arguments: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Gunicorn does that, and Airflow's own default is ``sync``."""
        monkeypatch.setenv("AIRFLOW__WEBSERVER__WORKER_CLASS", "sync")
        monkeypatch.setenv("GUNICORN_CMD_ARGS", arguments)
        assert found()["server"].ok


@pytest.mark.usefixtures("deployment")
class TestOnAWorker:
    def worker(self, keys: dict[str, str]) -> dict[str, Finding]:
        """Return what is found without a task; the DAGs take one."""
        checks = dict(services().checks.on_a_worker(keys, None))
        del checks["DAGs"]
        return {finding.check: finding for finding in examine(checks)}

    def test_nothing_is_wrong(self) -> None:
        findings = self.worker(key_digests())
        assert all(finding.ok for finding in findings.values())
        assert "are the same" in findings["keys"].message
        assert "not looked at, for http" in findings["server"].message
        assert "not compared" in self.worker({})["keys"].message

    def test_keys_that_differ(self) -> None:
        name = next(iter(key_digests()))
        finding = self.worker({**key_digests(), name: "other"})["keys"]
        assert not finding.ok
        assert name in finding.message

    def test_the_task_fails_with_what_is_wrong(self, monkeypatch: pytest.MonkeyPatch) -> None:
        context = {"params": {"keys": key_digests()}, "ti": None}
        monkeypatch.setenv("AIRFLOW__SVOPS__OUTPUT_ROOTS", "/nowhere")
        services.cache_clear()
        with pytest.raises(AirflowFailException, match=r"output roots: .*/nowhere: No such file"):
            examine_worker(**context)

    def test_as_a_task_of_airflow(self, jobs: Callable[..., None]) -> None:
        jobs(**dict.fromkeys(JOBS, -600))  # who knows how long it takes until the task looks
        said = said_by_a_task()
        for check in services().checks.on_a_worker({}, None):
            assert f"ok      {check}: " in said
        assert "FAILED" not in said

    def test_a_task_sees_dags_that_cannot_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from airflow.models.dag import DagModel

        def pause(value: bool) -> None:
            with metadata_session() as session:
                session.query(DagModel).filter_by(dag_id=CONTROLLER).update({"is_paused": value})

        monkeypatch.setenv("AIRFLOW__SVOPS__CHAIN", "data_processing_pipeline,unheard_of")
        pause(True)
        try:
            said = said_by_a_task()
        finally:
            pause(False)
        assert f"FAILED  DAGs: DAG {CONTROLLER} is paused" in said
        assert "DAG unheard_of is missing" in said
        assert "DAG data_processing_pipeline" not in said

    def test_no_worker_takes_it_up(self) -> None:
        finding = found("--worker", "--patience", "1")["worker"]
        assert "no worker has done it in 1 s" in finding.message
        assert DAG_ID in finding.message

    @pytest.mark.parametrize("state", ["success", "failed"])
    def test_what_a_worker_found_is_told(self, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The run ends as a worker would end it while the command waits."""
        from airflow.models.dagrun import DagRun
        from airflow.models.taskinstance import TaskInstance

        def end(_seconds: float) -> None:
            with metadata_session() as session:
                session.query(TaskInstance).filter_by(dag_id=DAG_ID).update({"hostname": "worker-7"})
                session.query(DagRun).filter_by(dag_id=DAG_ID).update({"state": state})

        monkeypatch.setattr("svops_plugin.presentation.cli.doctor.time.sleep", end)
        finding = found("--worker")["worker"]
        assert finding.ok is (state == "success")
        assert finding.message.startswith("worker-7")

    def test_digests_tell_no_key(self) -> None:
        for (section, key), digest in zip(host().SHARED_KEYS, key_digests().values(), strict=True):
            secret = os.environ[f"AIRFLOW__{section.upper()}__{key.upper()}"]
            assert len(digest) == 12
            assert digest not in secret


def said_by_a_task() -> str:
    """Return what the DAG says, run as Airflow's own command for trying one out runs it."""
    conf = json.dumps({"keys": key_digests()})
    command = [sys.executable, "-m", "airflow", "dags", "test", DAG_ID, "--conf", conf]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert (done.returncode == 0) is ("FAILED" not in said), said
    return said


def test_a_plugin_that_cannot_be_loaded(tmp_path: Path, airflow_metadata: None) -> None:  # noqa: ARG001
    """Another distribution of this name, whose plugin fails as a broken installation does."""
    (tmp_path / "svops_broken.py").write_text("raise ImportError('no module of that name')\n")
    info = tmp_path / "svops_broken-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: svops-broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[airflow.plugins]\nsvops_broken = svops_broken:Plugin\n")
    code = "from svops_plugin.presentation.cli import main; main(['doctor', '--json'])"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    findings = {one["check"]: one for one in json.loads(done.stdout)}
    assert not findings["plugin"]["ok"]
    assert "no module of that name" in findings["plugin"]["message"]
