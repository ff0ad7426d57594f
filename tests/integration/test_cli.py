"""The ``svops`` command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import host, services
from svops_plugin.domain.failures import failure
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.domain.states import TaskStatus
from svops_plugin.infrastructure import airflow
from svops_plugin.infrastructure.airflow.connections import CONTEXT
from svops_plugin.presentation.cli import COMMANDS, IN_A_DEPLOYMENT, LazyGroup, main
from tests.conftest import DATA, OUTPUT, PostgreSQL, connection


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("COLUMNS", "200")
    return CliRunner()


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return str(result.output).strip()


def refused(result: Result, *words: str) -> None:
    """Check that the command said one sentence and failed, without a traceback."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    for word in words:
        assert word in result.output
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("clean_services")
@pytest.mark.parametrize(
    "command", [["up", "--home", "home", "--port", "0"], ["task", "execute", "1"], ["reconcile"], ["doctor"]]
)
def test_another_airflow_is_refused_in_a_sentence(
    cli: CliRunner, command: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(airflow, "_installed", lambda: "3.2.1")
    refused(cli.invoke(main, command), "SVOps runs on Airflow 2.11, and on 3.3 or later; this is 3.2.1.")


class TestDatabase:
    @pytest.fixture
    def empty(self, empty_postgresql: str, monkeypatch: pytest.MonkeyPatch, clean_services: None) -> str:  # noqa: ARG002
        monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", connection(empty_postgresql))
        return empty_postgresql

    @pytest.mark.usefixtures("empty")
    def test_upgrade_and_current(self, cli: CliRunner) -> None:
        refused(cli.invoke(main, ["db", "current"]), "(empty)", "svops db upgrade")
        refused(cli.invoke(main, ["dataset", "list"]), "svops db upgrade")
        assert "(empty) -> " in done(cli.invoke(main, ["db", "upgrade"]))
        assert "this version needs" in done(cli.invoke(main, ["db", "current"]))
        done(cli.invoke(main, ["db", "upgrade"]))
        done(cli.invoke(main, ["dataset", "list"]))

    def test_on_sqlite(
        self,
        cli: CliRunner,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_SVOPS_DB")
        monkeypatch.setenv("AIRFLOW__SVOPS__SQL_ALCHEMY_CONN", f"sqlite:///{tmp_path}/svops.sqlite")
        done(cli.invoke(main, ["db", "upgrade"]))
        assert "0 tasks" in done(cli.invoke(main, ["task", "list"]))
        assert (tmp_path / "svops.sqlite").exists()

    @pytest.mark.parametrize("command", [["db", "upgrade"], ["db", "current"], ["task", "list"]])
    def test_without_a_connection(
        self,
        cli: CliRunner,
        command: list[str],
        monkeypatch: pytest.MonkeyPatch,
        airflow_metadata: None,  # noqa: ARG002
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.delenv("AIRFLOW_CONN_SVOPS_DB")
        refused(cli.invoke(main, command), "'svops_db'", "AIRFLOW_CONN_SVOPS_DB")

    def test_another_database_than_sqlite_needs_a_connection(
        self,
        cli: CliRunner,
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW__SVOPS__SQL_ALCHEMY_CONN", "postgresql://x:hush@y/z")
        result = cli.invoke(main, ["task", "list"])
        refused(result, "is for SQLite only", "'svops_db'")
        assert "hush" not in result.output

    @pytest.mark.parametrize("command", [["db", "upgrade"], ["db", "current"], ["task", "list"]])
    def test_a_database_that_is_down(
        self, cli: CliRunner, command: list[str], empty: str, postgresql: PostgreSQL
    ) -> None:
        postgresql.close(empty)
        refused(cli.invoke(main, command), "does not answer")


@pytest.mark.usefixtures("svops_database")
class TestDatasets:
    def test_create_and_list(self, cli: CliRunner, dataset_folder: Path) -> None:
        made = done(
            cli.invoke(main, ["dataset", "create", "digits", str(dataset_folder), "--type", "Vector"])
        )
        assert made.isdigit()
        shown = done(cli.invoke(main, ["dataset", "list"]))
        assert "1 datasets" in shown
        assert "digits" in shown
        again = cli.invoke(main, ["dataset", "create", "digits", str(dataset_folder), "--type", "Vector"])
        refused(again, "'digits' is taken")

    def test_a_relative_path_is_meant_from_here(
        self, cli: CliRunner, dataset_folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(dataset_folder.parent)
        arguments = ["dataset", "create", "d", dataset_folder.name, "--type", "Vector"]
        done(cli.invoke(main, [*arguments, "--gt", f"{dataset_folder.name}/labels.csv", "--tag", "x"]))

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("/etc", "[svops] data_roots"),
            (f"{DATA}/nowhere", "does not exist"),
            (f"{DATA}/{'x' * 300}", "path"),
        ],
    )
    def test_bad_paths(self, cli: CliRunner, path: str, words: str) -> None:
        refused(cli.invoke(main, ["dataset", "create", "d", path, "--type", "Vector"]), words)
        assert "0 datasets" in done(cli.invoke(main, ["dataset", "list"]))

    def test_an_unknown_type(self, cli: CliRunner) -> None:
        result = cli.invoke(main, ["dataset", "create", "d", "/x", "--type", "Lidar"])
        assert result.exit_code == 2
        assert "Vector" in result.output


@pytest.mark.usefixtures("svops_database")
class TestTasks:
    @pytest.fixture
    def create(self, cli: CliRunner, dataset_folder: Path) -> list[str]:
        dataset = done(cli.invoke(main, ["dataset", "create", "d", str(dataset_folder), "--type", "Vector"]))
        return ["task", "create", "t", "--dataset", dataset, "--customer", "acme", "--out", str(OUTPUT)]

    def test_create_and_list(self, cli: CliRunner, create: list[str]) -> None:
        conf = json.dumps({"estimator": "svc", "params": {"C": 10}})
        options = [
            "--build-config",
            "debug",
            "--custom-conf",
            conf,
            "--video",
            f"{OUTPUT}/video",
            "--tag",
            "x",
        ]
        assert done(cli.invoke(main, [*create, *options])).isdigit()
        shown = done(cli.invoke(main, ["task", "list"]))
        assert "1 tasks" in shown
        assert "acme" in shown
        assert "pending" in shown
        assert "0 tasks" in done(cli.invoke(main, ["task", "list", "--status", "running"]))

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            (["--build-config", "nonsense"], "nonsense"),
            (["--custom-conf", '{"estimator": "oracle"}'], "oracle"),
            (["--out", "/etc"], "[svops] output_roots"),
            (["--dataset", "12345"], "no dataset 12345"),
            (["--video", "/etc"], "video_out_path"),
        ],
    )
    def test_refusals(self, cli: CliRunner, create: list[str], options: list[str], word: str) -> None:
        refused(cli.invoke(main, [*create, *options]), word)
        assert "0 tasks" in done(cli.invoke(main, ["task", "list"]))

    @pytest.mark.parametrize("conf", ["{", "[]", "1"])
    def test_a_conf_that_is_no_json_object(self, cli: CliRunner, create: list[str], conf: str) -> None:
        assert cli.invoke(main, [*create, "--custom-conf", conf]).exit_code == 2

    def test_status_of_a_task_that_never_ran(self, cli: CliRunner, create: list[str]) -> None:
        task = done(cli.invoke(main, create))
        assert "pending" in done(cli.invoke(main, ["task", "status", task]))
        assert (
            json.loads(done(cli.invoke(main, ["task", "status", task, "--json"])).splitlines()[0])[
                "task_status"
            ]
            == "pending"
        )
        refused(cli.invoke(main, ["task", "status", "12345"]), "no task 12345")

    @pytest.mark.usefixtures("airflow_metadata")
    def test_execute_and_stop(self, cli: CliRunner, create: list[str]) -> None:
        task = done(cli.invoke(main, create))
        refused(cli.invoke(main, ["task", "stop", task]), "not running")
        started = done(cli.invoke(main, ["task", "execute", task, "--parameters", '{"x": 1}', "--note", "n"]))
        assert f"Task {task} execution started with 3 DAG chain" in started
        assert "running" in done(cli.invoke(main, ["task", "status", task]))
        refused(cli.invoke(main, ["task", "execute", task]), "running already")
        assert "cancelled" in done(cli.invoke(main, ["task", "stop", task]))
        refused(cli.invoke(main, ["task", "status", task]), "cancelled")
        done(cli.invoke(main, ["task", "retry", task]))

    @pytest.mark.usefixtures("airflow_metadata")
    @pytest.mark.parametrize("command", ["execute", "retry"])
    def test_watching_one_that_fails(self, cli: CliRunner, create: list[str], command: str) -> None:
        task = int(done(cli.invoke(main, create)))
        if command == "retry":
            done(cli.invoke(main, ["task", "execute", str(task)]))
            done(cli.invoke(main, ["task", "stop", str(task)]))

        def fail_it() -> None:
            while services().executions.standing(OPERATOR, task).task.status is not TaskStatus.RUNNING:
                time.sleep(0.05)
            execution = services().executions.standing(OPERATOR, task).execution
            assert execution is not None
            services().controller.fail(execution.controller_run_id, failure("own", "no such file"))

        with ThreadPoolExecutor(1) as pool:
            failing = pool.submit(fail_it)
            watched = cli.invoke(main, ["task", command, str(task), "--watch"])
            failing.result()
        refused(watched, "started with 3 DAG chain", f"Task {task}: failed", "no such file")

    @pytest.mark.usefixtures("airflow_metadata")
    def test_reconcile(self, cli: CliRunner, create: list[str]) -> None:
        task = done(cli.invoke(main, create))
        done(cli.invoke(main, ["task", "execute", task]))
        settled = (done(cli.invoke(main, ["reconcile"])) == "0 changes" for _ in range(20))
        assert any(settled)  # when the runs that other tests left in Airflow are noticed
        execution = services().executions.standing(OPERATOR, int(task)).execution
        assert execution is not None
        assert host().DagRuns().stop(CONTROLLER, execution.controller_run_id)
        assert done(cli.invoke(main, ["reconcile"])).splitlines() == [
            f"Execution {execution.id}: failed. The controller's run {execution.controller_run_id} failed.",
            "1 changes",
        ]
        assert "failed" in cli.invoke(main, ["task", "status", task]).output
        assert done(cli.invoke(main, ["reconcile"])) == "0 changes"


@pytest.mark.usefixtures("svops_database")
class TestEvents:
    @pytest.mark.parametrize("option", ["--user", "--workflow", "--task"])
    @pytest.mark.parametrize("number", ["0", "-1", "2147483648", "9" * 5000, "x"])
    def test_what_can_be_nobodys_id(self, cli: CliRunner, option: str, number: str) -> None:
        result = cli.invoke(main, ["events", option, number])
        assert result.exit_code == 2
        assert f"'{option}'" in result.output

    def test_about_a_workflow(self, cli: CliRunner, dataset_folder: Path) -> None:
        done(cli.invoke(main, ["dataset", "create", "d", str(dataset_folder), "--type", "Vector"]))
        assert "dataset.created" in done(cli.invoke(main, ["events"]))
        for workflow in ("wf_1", "1", "wf_2147483647"):
            assert done(cli.invoke(main, ["events", "--workflow", workflow])) == ""

    def test_tasks_and_datasets_that_cannot_be(self, cli: CliRunner) -> None:
        for command in ("status", "stop", "retry", "execute"):
            refused(cli.invoke(main, ["task", command, "2147483648"]), "no task 2147483648")


class TestCommand:
    def test_samples(self, cli: CliRunner, tmp_path: Path) -> None:
        lines = done(cli.invoke(main, ["samples", "create", str(tmp_path)])).splitlines()
        assert sorted(line.split(":")[0] for line in lines) == ["Jetson", "Surf", "Vector"]
        for line in lines:
            assert (Path(line.split(": ")[1]) / "labels.csv").is_file()

    def test_help_and_version(self, cli: CliRunner) -> None:
        for name in ("dataset", "db", "samples", "task"):
            assert name in done(cli.invoke(main, ["--help"]))
            done(cli.invoke(main, [name, "--help"]))
        assert "svops" in done(cli.invoke(main, ["--version"]))
        assert cli.invoke(main, ["nothing"]).exit_code == 2

    @pytest.mark.parametrize("name", sorted(COMMANDS.keys() - IN_A_DEPLOYMENT))
    def test_what_starts_processes_does_not_make_servers_of_them(
        self, cli: CliRunner, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[str | None] = []
        command = click.Command(name, callback=lambda: told.append(os.environ.get(CONTEXT)))
        monkeypatch.setattr(LazyGroup, "get_command", lambda *_: command)
        done(cli.invoke(main, [name]))
        assert told == [os.environ.get(CONTEXT)]

    def test_as_people_type_it(self, svops_database: str) -> None:
        """The installed command in a process of its own, on an Airflow that is not set up otherwise."""
        svops = Path(sys.executable).with_name("svops")
        environment = {**os.environ, "AIRFLOW_CONN_SVOPS_DB": connection(svops_database)}
        environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = "sqlite:////nowhere/airflow.db"
        shown = subprocess.run(
            [svops, "task", "list"], env=environment, capture_output=True, text=True, check=False
        )
        assert (shown.returncode, "0 tasks" in shown.stdout) == (0, True), shown.stderr

    def test_a_shell_can_keep_the_id_of_what_is_made(self, svops_database: str, dataset_folder: Path) -> None:
        """It is all that the standard output gets, whatever Airflow says on its way."""
        svops = Path(sys.executable).with_name("svops")
        made = subprocess.run(
            [svops, "dataset", "create", "d", dataset_folder, "--type", "Vector"],
            env={**os.environ, "AIRFLOW_CONN_SVOPS_DB": connection(svops_database)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.stdout.strip().isdigit(), made.stdout + made.stderr
