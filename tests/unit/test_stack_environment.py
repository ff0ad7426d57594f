"""The file that leads a shell to the local stack."""

from __future__ import annotations

import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from svops_plugin.presentation.cli.stack.environment import Home, keep_for_shells

SHELLS = [shell for shell in ("sh", "bash", "zsh") if shutil.which(shell)]
ALWAYS = {"AIRFLOW_HOME": "/a b/'c'", "AIRFLOW__SVOPS__DATA_ROOTS": "/data", "PATH": "/nowhere"}
SHORT = {**ALWAYS, "AIRFLOW__CORE__FERNET_KEY": "x=\n$y", "GUNICORN_CMD_ARGS": "--threads 128"}
LONG = {**SHORT, "AIRFLOW__SVOPS__CHAIN": "one,two", "AIRFLOW__SVOPS__WRITES_PER_MINUTE": "7"}


def kept(folder: Path, variables: dict[str, str]) -> Path:
    folder.mkdir()
    keep_for_shells(Home(folder, folder, folder, -1), variables)
    return folder / "environment"


def known(shell: str, *files: Path) -> dict[str, str]:
    """Return what a shell passes on that has read some files, one after the other."""
    command = "; ".join(f'. "{file}"' for file in files) + "; env -0"
    before = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "AIRFLOW__SVOPS__CHAIN": "of,another"}
    done = subprocess.run([shell, "-euc", command], env=before, capture_output=True, text=True, check=True)
    found = dict(variable.split("=", 1) for variable in done.stdout.split("\0") if variable)
    return {name: value for name, value in found.items() if name.startswith(("AIRFLOW", "GUNICORN", "svops"))}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_has_the_settings_of_the_last_start_only(tmp_path: Path, shell: str) -> None:
    short, long = kept(tmp_path / "short", SHORT), kept(tmp_path / "long", LONG)
    of_short = {name: value for name, value in SHORT.items() if name != "PATH"}
    of_long = {name: value for name, value in LONG.items() if name != "PATH"}
    assert known(shell, short) == of_short
    assert known(shell, short, long) == of_long
    assert known(shell, long, short) == of_short


def test_it_is_for_its_owner(tmp_path: Path) -> None:
    assert stat.S_IMODE(kept(tmp_path / "home", SHORT).stat().st_mode) == 0o600
