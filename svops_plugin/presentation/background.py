"""What works behind the pages of every server: one process at a time holds the lease of each job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum

from svops_plugin.application.events import system_event
from svops_plugin.application.ports import Transactions
from svops_plugin.bootstrap import Services
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import SVOpsError

log = logging.getLogger(__name__)

JOIN_SECONDS = 5.0
STUCK = timedelta(minutes=5)  # without a look whether to stop, which every job takes at least once a minute
Job = Callable[[threading.Event], None]


def jobs(own: Services) -> Mapping[str, Job]:
    """Return what runs in each server process; a job looks at the event it is given."""
    return {
        "monitor": _made(lambda: own.monitor.run),
        "dispatcher": _made(lambda: own.dispatcher.run),
        "retention": _made(lambda: own.retention.run),
        "meter": _made(lambda: own.meter.run),
        "hub": _made(lambda: own.hub.run),
        "roles": own.sync_roles,
    }


def _made(make: Callable[[], Job]) -> Job:
    """Return a job, or in place of one that a setting keeps from being made, what fails for that reason."""
    try:
        return make()
    except SVOpsError as problem:
        refusal = problem

    def refused(_stop: threading.Event) -> None:
        raise refusal

    return refused


class JobStatus(str, Enum):
    """How a job does."""

    RUNNING = "running"
    DONE = "done"
    STUCK = "stuck"
    FAILED = "failed"


class Watched(threading.Event):
    """The event that a job looks at, which remembers when it last did."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at = utcnow()

    def is_set(self) -> bool:
        """Tell whether to stop."""
        self.looked_at = utcnow()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop, and tell whether it has come."""
        self.looked_at = utcnow()
        return super().wait(timeout)


class JobThread(threading.Thread):
    """A thread of a job's own.

    :param transactions: in one of which it is told that the job has failed
    """

    def __init__(self, name: str, job: Job, transactions: Transactions) -> None:
        super().__init__(name=f"svops-{name}", daemon=True)
        self.job_name = name
        self.stop = Watched()
        self._job = job
        self._transactions = transactions
        self._failed = False

    def run(self) -> None:
        """Do the job; only one that has a defect fails, and the process goes on without."""
        try:
            self._job(self.stop)
        except Exception as defect:
            self._failed = True
            log.exception("%s has ended; restart the server.", self.name)
            self._tell(defect)

    def _tell(self, defect: Exception) -> None:
        """Tell those who follow events or are notified; while the database is down, the log alone has it."""
        try:
            with self._transactions() as uow:
                uow.record(system_event(self.job_name, defect))
        except Exception:
            log.exception("That %s has ended is told by this log alone.", self.name)

    @property
    def looked_at(self) -> datetime:
        """When it last looked whether to stop."""
        return self.stop.looked_at

    @property
    def status(self) -> JobStatus:
        """How it does."""
        if self._failed:
            return JobStatus.FAILED
        if not self.is_alive():
            return JobStatus.DONE
        return JobStatus.STUCK if utcnow() - self.looked_at > STUCK else JobStatus.RUNNING


_here: list[Background] = []


class Background:
    """Runs each job in a thread of its own, from now on."""

    def __init__(self, jobs: Mapping[str, Job], transactions: Transactions) -> None:
        self.threads = [JobThread(name, job, transactions) for name, job in jobs.items()]
        for thread in self.threads:
            thread.start()
        _here.append(self)

    def stop(self) -> None:
        """Let them end, and wait for that, for a time at most."""
        _here.remove(self)
        for thread in self.threads:
            thread.stop.set()
        for thread in self.threads:
            thread.join(JOIN_SECONDS)


def present() -> Sequence[JobThread]:
    """Return the jobs of this process; none where it is no server, or its background has not begun."""
    return [thread for background in _here for thread in background.threads]
