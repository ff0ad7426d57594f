"""Makes the databases ready for a start: schemas, the administrator and the DAGs.

It runs as one process in the stack's environment, since loading Airflow takes longer than all the rest.
As a program it writes to standard output, in JSON, what `Administrator` holds; its log is standard error.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field

import click
from airflow.cli.cli_parser import get_parser
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import OperationalError

from svops_plugin.bootstrap import schema, services
from svops_plugin.presentation.cli.deployment import PASSWORD_VARIABLE

USERNAME = "admin"
POLL = 0.05


@dataclass(frozen=True)
class Administrator:
    """How to sign in as the administrator.

    :param password_set: whether the password that was given is theirs now
    :param token: a short-lived access token, where it is not
    """

    password_set: bool
    token: str | None = field(default=None, repr=False)


def wait_for_server(url: URL) -> None:
    """Return when the server answers; whoever started this process sets the limit.

    Each reason why it does not is told once on standard error: not all of them pass, as a wrong password.
    """
    engine, told = create_engine(url), set[str]()
    while True:
        try:
            engine.connect().close()
        except OperationalError as failure:
            reason = str(failure.orig).strip()
            if reason not in told:
                told.add(reason)
                click.echo(f"Waiting for the database server: {reason}", err=True)
            time.sleep(POLL)
        else:
            return


def create_databases(url: URL, *names: str) -> None:
    """Create the databases that the server lacks."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        present = set(connection.scalars(text("SELECT datname FROM pg_database")))
        for name in sorted(set(names) - present):
            connection.execute(text(f'CREATE DATABASE "{name}"'))


def airflow(*arguments: str) -> None:
    """Do what the ``airflow`` command does with these arguments."""
    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)


def ensure_administrator(password: str, *, reset: bool) -> Administrator:
    """Create the administrator, or leave them as they are.

    :param reset: give the password also to one that exists
    """
    with get_application_builder() as appbuilder:
        users = appbuilder.sm
        user = users.find_user(username=USERNAME)
        if user is None:
            users.add_user(
                USERNAME, "SVOps", "Administrator", "admin@localhost", users.find_role("Admin"), password
            )
        elif reset:
            users.reset_password(user.id, password)
        else:
            accounts = services().accounts
            account = accounts.by_claims({"sub": str(user.id)})
            if account is None:
                sys.exit(f"The user {USERNAME} is inactive; another administrator can make them active.")
            return Administrator(False, accounts.access_token(account)[0])
    return Administrator(True)


def prepare(password: str, *, reset: bool) -> Administrator:
    """Bring both databases to the present schemas, with the administrator and the DAGs. Safe to repeat.

    Both are on the server that Airflow's is configured to be on, which is waited for.
    """
    url = make_url(os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    server = url.set(database="postgres")
    wait_for_server(server)
    create_databases(server, str(url.database), "svops")
    airflow("db", "migrate")
    schema.upgrade(services().engine)
    administrator = ensure_administrator(password, reset=reset)
    airflow("dags", "reserialize")
    return administrator


def main() -> None:
    """Prepare; ``SVOPS_ADMIN_PASSWORD`` is the password, ``--reset-password`` gives it to anybody."""
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Airflow's commands write to standard output; here that is the log
    administrator = prepare(os.environ[PASSWORD_VARIABLE], reset="--reset-password" in sys.argv)
    json.dump(asdict(administrator), answer)
    answer.close()


if __name__ == "__main__":
    main()
