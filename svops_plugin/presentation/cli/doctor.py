"""``svops doctor``."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from uuid import uuid4

import click

from svops_plugin.application.airflow_ports import Airflow
from svops_plugin.application.doctor import DAG_ID, examine
from svops_plugin.bootstrap import host, key_digests, services, worked_on
from svops_plugin.domain.errors import SVOpsError, Unavailable

POLL = 1.0
STDOUT, STDERR = 1, 2


@click.command()
@click.option("--worker", is_flag=True, help=f"Let a worker look, too, through the DAG {DAG_ID}.")
@click.option(
    "--patience", default=120, show_default=True, type=click.IntRange(1), help="Seconds for a worker."
)
@click.option("--json", "as_json", is_flag=True, help="A list of findings, for programs.")
def doctor(*, worker: bool, patience: int, as_json: bool) -> None:
    """Look whether this deployment has all that SVOps needs; exit status 1 where something fails.

    Run it where the API server runs. It changes nothing.
    """
    with _others_words_aside():
        findings = list(examine(services().checks.at_the_command_line()))
        if worker:
            findings += examine({"worker": lambda: _ask_worker(host().DagRuns(), patience)})
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            click.echo(finding)
    if not all(finding.ok for finding in findings):
        raise click.exceptions.Exit(1)


@contextmanager
def _others_words_aside() -> Iterator[None]:
    """Let what Airflow logs to the standard output, also by a stream that it has kept, go to errors."""
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
        os.dup2(kept, STDOUT)
        os.close(kept)


def _ask_worker(airflow: Airflow, patience: float) -> str:
    """Let the DAG run, and return on which worker all is well.

    :raises SVOpsError: with what a worker found, or if none took it up
    """
    run_id, deadline = f"svops_doctor__{uuid4().hex}", time.monotonic() + patience
    airflow.trigger(DAG_ID, run_id, {"keys": key_digests()}, "")
    while time.monotonic() < deadline:
        state = airflow.states([(DAG_ID, run_id)]).get((DAG_ID, run_id))
        if state is not None and state.state == "success":
            return f"{worked_on(DAG_ID, run_id)} has all that a worker needs"
        if state is not None and state.state == "failed":
            cause = airflow.cause(DAG_ID, run_id) or {}
            found = f"{worked_on(DAG_ID, run_id)}: {cause.get('message', 'failed')}"
            raise SVOpsError(f"{found} See {airflow.run_url(DAG_ID, run_id)}")
        time.sleep(POLL)
    raise Unavailable(
        f"no worker has done it in {patience:.0f} s; see {airflow.run_url(DAG_ID, run_id)} or use --patience."
    )
