"""``svops samples``: data to begin with."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def samples() -> None:
    """Make sample datasets."""


@samples.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
def create(directory: Path) -> None:
    """Write a sample set of each data type, made from handwritten digits, into DIRECTORY."""
    from svops_plugin.pipelines.samples import create as write

    try:
        made = write(directory)
    except OSError as error:
        raise click.ClickException(
            f"{error.filename or directory} cannot be written: {error.strerror}."
        ) from error
    for sample in made:
        click.echo(f"{sample.data_type}: {sample.path}")
