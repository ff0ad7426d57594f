"""``svops dags install``."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from svops_plugin.presentation.cli import main
from tests.unit.documentation import ROOT


def test_it_brings_every_dag_file_and_leaves_those_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dags"
    folder.mkdir(parents=True)
    (folder / "own.py").write_text("# mine\n")
    (folder / "svops_controller.py").write_text("# of the version before\n")
    done = CliRunner().invoke(main, ["dags", "install", str(folder)])
    assert done.exit_code == 0, done.output
    brought = {file.name: file.read_text() for file in (ROOT / "dags").glob("*.py")}
    assert len(brought) == len(done.output.splitlines())
    assert {file.name: file.read_text() for file in folder.iterdir()} == {**brought, "own.py": "# mine\n"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(main, ["dags", "install", str(tmp_path / "file" / "dags")])
    assert done.exit_code == 1
    assert f"{tmp_path / 'file' / 'dags'} cannot be written: Not a directory." in done.output
