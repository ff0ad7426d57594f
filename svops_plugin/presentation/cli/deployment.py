"""``svops secrets`` and ``svops init``: what a deployment of several machines needs before it starts."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

import click

PASSWORD_VARIABLE = "SVOPS_ADMIN_PASSWORD"  # noqa: S105 - a name, not a password


@click.command("secrets")
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
def make_secrets(file: Path | None) -> None:
    """Write new keys and passwords, all random, for docker-compose.yml into FILE, or show them.

    FILE is readable by its owner alone, and is never overwritten: the databases would not open any more.
    """
    content = "".join(f"{name}={value}\n" for name, value in new_secrets().items())
    if file is None:
        click.echo(content, nl=False)
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(
            f"{file} exists; the databases that were made with what it holds open with nothing else."
        ) from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w") as stream:
        stream.write(content)


def new_secrets() -> dict[str, str]:
    """Return a value for each variable of docker-compose.yml that has no default; all are safe in a URL."""
    return {
        "POSTGRES_PASSWORD": secrets.token_urlsafe(32),
        "REDIS_PASSWORD": secrets.token_urlsafe(32),
        "AIRFLOW_FERNET_KEY": fernet_key(),
        "AIRFLOW_SECRET_KEY": secrets.token_urlsafe(48),
        "AIRFLOW_JWT_SECRET": secrets.token_urlsafe(64),
        PASSWORD_VARIABLE: secrets.token_urlsafe(12),
    }


def fernet_key() -> str:
    """Return a new key for what Airflow and SVOps keep encrypted."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


@click.command()
@click.option("--reset-password", is_flag=True, help="Give the password also to an administrator who exists.")
def init(*, reset_password: bool) -> None:
    """Create and upgrade both databases, and the user admin with the password in SVOPS_ADMIN_PASSWORD.

    It waits for the database server, and is safe to repeat: data and passwords are kept.
    """
    password = os.environ.get(PASSWORD_VARIABLE)
    if not password:
        raise click.ClickException(f"set {PASSWORD_VARIABLE}, as in what svops secrets writes.")
    from svops_plugin.presentation.cli.stack.prepare import prepare

    prepare(password, reset=reset_password)
    click.echo("The databases and the administrator are ready.")
