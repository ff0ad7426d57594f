"""The wheel as others get it: built once, installed beside the Airflow that is there, and at work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.conftest import connection

ROOT = Path(__file__).parents[2]
SOURCES = ("svops_plugin", "dags", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")
EVERY_MODULE = """
import pkgutil, importlib, svops_plugin
from svops_plugin.infrastructure.airflow import host_name
others = {"airflow2", "airflow3"} - {host_name()}
for found in pkgutil.walk_packages(svops_plugin.__path__, "svops_plugin."):
    name = found.name.rpartition(".")[2]
    if name not in others and ".migrations." not in found.name:
        importlib.import_module(found.name)
print(svops_plugin.__file__)
"""

Run = Callable[..., str]


def pip(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)


def built(folder: Path) -> Path:
    """Build the wheel from a copy of the sources, in which nothing is left from a build before."""
    for name in SOURCES:
        source, copy = ROOT / name, folder / "sources" / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copytree(source, copy) if source.is_dir() else shutil.copy(source, copy)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", folder, folder / "sources"], check=True
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel in it, for Python to look into before anywhere else."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = request.config.getoption("--wheel") or built(folder)
    pip("install", "--quiet", "--no-deps", "--no-index", "--target", folder / "installed", wheel)
    return folder / "installed"


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Returns a function that runs a command with the installed wheel and returns its output."""

    def command(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        variables = {"PYTHONPATH": str(installed), "AIRFLOW_HOME": str(tmp_path), **(environment or {})}
        finished = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, **variables},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return command


def test_every_module_imports(run: Run, installed: Path) -> None:
    assert run("-c", EVERY_MODULE).splitlines()[-1] == str(installed / "svops_plugin" / "__init__.py")


def test_it_says_itself_what_it_plugs_in(installed: Path) -> None:
    """Else the sources, which may be installed in this environment, too, would speak for it."""
    (info,) = installed.glob("svops_plugin-*.dist-info")
    said = {(one.group, one.name): one.value for one in PathDistribution(info).entry_points}
    assert said["airflow.plugins", "svops"] == "svops_plugin.plugin:SVOpsPlugin"
    assert {group for group, _ in said} == {"airflow.plugins", "console_scripts", "svops.dataset_readers"}


def test_airflow_loads_the_plugin(run: Run) -> None:
    plugins = json.loads(run("-m", "airflow", "plugins", "--output", "json").splitlines()[-1])
    assert "svops" in {plugin["name"] for plugin in plugins}


def test_it_brings_its_migrations(run: Run, installed: Path, empty_postgresql: str) -> None:
    svops, database = installed / "bin" / "svops", {"AIRFLOW_CONN_SVOPS_DB": connection(empty_postgresql)}
    assert "(empty) -> " in run(svops, "db", "upgrade", environment=database)
    assert "this version needs" in run(svops, "db", "current", environment=database)
