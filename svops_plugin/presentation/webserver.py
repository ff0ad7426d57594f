"""What Airflow 2.11's webserver gets from SVOps beside the REST API, and what runs with it in the background.

The webserver is gunicorn, which loads the application once and forks; a thread does not survive that. So each
worker begins for itself, and only a worker does: the command line makes the same application for itself, and
ends with it. A worker that has begun is known by its signal handlers, which are gunicorn's own methods.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from typing import Any

from flask import Blueprint, current_app
from flask.blueprints import BlueprintSetupState

from svops_plugin.bootstrap import disown, services
from svops_plugin.presentation.background import Background, jobs
from svops_plugin.presentation.websocket.flask_sock import TOO_FEW_THREADS, Sockets

log = logging.getLogger(__name__)

FOR_PAGES = 16  # of a worker's threads; the others may serve sockets
MOST_IN_DEBUGGING = 100  # sockets where each request gets a thread of its own
LOOK_SECONDS, LOOKS = 0.05, 1200  # from the fork until a worker handles its own signals
WATCH_SECONDS = 0.5  # from one look to the next whether the server still works
sockets = Sockets()
_begun_in: list[int] = []


def blueprint() -> Blueprint:
    """Return the blueprint of live events; where it is registered, the background begins with the server."""
    made = sockets.blueprint()
    made.record_once(_prepare)
    made.before_app_request(_begin_in_debugging)
    return made


def _prepare(_state: BlueprintSetupState) -> None:
    if _signalled("gunicorn.workers.base", "Worker"):
        _begin()
    else:
        os.register_at_fork(after_in_child=_after_fork)


def _after_fork() -> None:
    """Begin in what gunicorn forks; other processes that come from this one have nothing to do with it."""
    if _signalled("gunicorn.arbiter", "Arbiter"):
        disown()
        _begin()


def _begin_in_debugging() -> None:
    """Begin with the first request to the server that ``airflow webserver --debug`` starts."""
    if current_app.debug:
        _begin(debugging=True)


def _begin(*, debugging: bool = False) -> None:
    if _begun_in != [os.getpid()]:
        _begun_in[:] = [os.getpid()]
        threading.Thread(target=_run, args=(debugging,), name="svops-background").start()


def _run(debugging: bool) -> None:
    """Work for as long as the server does, which waits at its exit for what this has to leave tidy."""
    for _ in range(LOOKS):
        if not (_signalled("gunicorn.arbiter", "Arbiter") and threading.main_thread().is_alive()):
            break
        time.sleep(LOOK_SECONDS)  # gunicorn has not made a worker of this process yet
    worker = _signalled("gunicorn.workers.base", "Worker")
    if worker is None and not debugging:
        return  # gunicorn has made something else of it
    room = MOST_IN_DEBUGGING if worker is None else _room(worker)
    if room == 0 and worker.age == 1:
        log.warning("Pages do not update themselves at once. %s", TOO_FEW_THREADS)
    own = services(pooled=True)
    with sockets.serving(own.hub, room) as fanout:
        background = Background({**jobs(own), "heartbeat": fanout.beat_each_second}, own.transactions)
        while threading.main_thread().is_alive() and (worker is None or _is_wanted(worker)):
            time.sleep(WATCH_SECONDS)
        background.stop()


def _signalled(module: str, name: str) -> Any:
    """Return the object of a class of gunicorn's that handles this process's signals; none if none does."""
    owner = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return owner if isinstance(owner, getattr(sys.modules.get(module), name, ())) else None


def _room(worker: Any) -> int:
    """Return how many sockets a worker may serve: a thread for each, and some for everything else."""
    threads = getattr(sys.modules.get("gunicorn.workers.gthread"), "ThreadWorker", ())
    return max(0, worker.cfg.threads - FOR_PAGES) if isinstance(worker, threads) else 0


def _is_wanted(worker: Any) -> bool:
    """Tell whether a worker is neither told to end nor left behind by a master that was killed."""
    return bool(worker.alive) and worker.ppid == os.getppid()
