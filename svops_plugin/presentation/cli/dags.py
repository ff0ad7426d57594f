"""``svops dags``: the DAG files that SVOps brings, and where they have to be."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import click

import svops_plugin


@click.group()
def dags() -> None:
    """Bring SVOps' DAG files to Airflow."""


@dags.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def install(directory: Path) -> None:
    """Copy SVOps' DAG files into DIRECTORY, Airflow's DAGs folder or one below it.

    Files of the same names are replaced, as they should be by a new version; all others stay.
    """
    files = sorted(shipped().glob("*.py"))
    if not files:
        raise click.ClickException(f"there are no DAG files in {shipped()}; install SVOps' wheel anew.")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for file in files:
            click.echo(shutil.copyfile(file, directory / file.name))
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}.") from error


def shipped() -> Path:
    """Return the folder of SVOps' DAG files: the checkout's, or where the wheel has put them."""
    checkout = Path(svops_plugin.__file__).parents[1] / "dags"
    return checkout if checkout.is_dir() else Path(sysconfig.get_path("data"), "share", "svops", "dags")
