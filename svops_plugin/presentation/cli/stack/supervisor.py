"""Runs the processes of the stack, and leaves none behind.

All happens in the main thread: whoever has time to wait waits in the supervisor, which raises when a
process has ended that should not have, when a signal has come, or when the time is up.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import click
import psutil  # type: ignore[import-untyped]  # its stubs are a package of their own

from svops_plugin.presentation.cli.stack import reaper

TAIL = 15
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPEATED = 1.0  # seconds in which one press of Ctrl-C may arrive again, through make or a process group


class StackError(click.ClickException):
    """The stack cannot go on; the message says why, with the end of the log that tells more."""


class Interrupted(Exception):
    """A signal asked for the end."""

    def __init__(self, received: signal.Signals) -> None:
        super().__init__(received.name)
        self.exit_status = 128 + received


class Process:
    """A process and its log; of a step, also what it wrote to standard output.

    :ivar again: starts it again, where it may be
    """

    def __init__(self, name: str, popen: subprocess.Popen[str], log: Path, stop_signal: int) -> None:
        self.name = name
        self.log = log
        self.again: Callable[[], Process] | None = None
        self.ended = False
        self.output = ""
        self.popen = popen
        self.leader = reaper.Leader(psutil.Process(popen.pid), stop_signal)

    @property
    def is_step(self) -> bool:
        """Whether it is meant to end."""
        return self.popen.stdout is not None

    def failure(self) -> StackError:
        """Return the error that tells of its end."""
        status = self.popen.returncode
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return StackError(f"{self.name} {how}. The end of {self.log}:\n{tail(self.log)}")


Events = queue.SimpleQueue[signal.Signals | Process]


@contextmanager
def signals_as_events() -> Iterator[Events]:
    """Turn the signals that ask for an end into events, so that no code is cut in half by them."""
    events: Events = queue.SimpleQueue()
    previous = {
        number: signal.signal(number, lambda received, _frame: events.put(signal.Signals(received)))
        for number in SIGNALS
        if not (number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN)  # nohup
    }
    try:
        yield events
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class Supervisor:
    """Starts processes, each as the leader of a session with a log of its own, and ends all on exit.

    The first process that is started is ended last.

    :param events: from `signals_as_events`
    :param logs: the folder of the logs
    :param environment: of every process
    :param lock: a file descriptor that stays open as long as any process may be left
    :param time_limit: seconds after which every wait raises
    """

    def __init__(
        self,
        events: Events,
        logs: Path,
        environment: Mapping[str, str],
        *,
        lock: int,
        time_limit: float | None = None,
    ) -> None:
        self._events = events
        self._logs = logs
        self._environment = environment
        self._lock = lock
        self._time_limit = time_limit
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self._processes: list[Process] = []

    def __enter__(self) -> Supervisor:
        self._logs.mkdir(parents=True, exist_ok=True)
        read, write = os.pipe()
        with (self._logs / "reaper.log").open("a") as log:
            self._reaper = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", reaper.__file__],
                stdin=read,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=[self._lock],
            )
        os.close(read)
        self._ledger = os.fdopen(write, "w", buffering=1)
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        began = time.monotonic()

        def hurry() -> bool:
            with suppress(queue.Empty):
                while True:
                    event = self._events.get_nowait()
                    if isinstance(event, signal.Signals) and time.monotonic() - began > REPEATED:
                        return True
            return False

        reaper.end([process.leader for process in self._processes], hurry)
        for process in list(self._processes):
            self._forget(process)
        self._ledger.close()
        self._reaper.wait()

    def start(
        self, name: str, command: Sequence[str | Path], *, stop_signal: int = signal.SIGTERM, again: int = 0
    ) -> Process:
        """Start a process that is to run until the end.

        :param again: how often it is started again when it ends by itself, before its end is everybody's
        """
        process = self._start(name, command, {}, stop_signal, None)
        if again:
            process.again = partial(self.start, name, command, stop_signal=stop_signal, again=again - 1)
        return process

    def begin(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process that will end by itself; `finish` returns what it wrote to standard output."""
        return self._start(name, command, environment or {}, signal.SIGTERM, subprocess.PIPE)

    def finish(self, step: Process) -> str:
        """Wait for a step and return its output.

        :raises StackError: if it fails, or anything else ends
        :raises Interrupted: when a signal comes
        """
        while not step.ended:
            self._take(None)
        return step.output

    def pause(self, seconds: float) -> None:
        """Wait, unless something happens that raises as in `finish`."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._take(left)

    def wait(self) -> NoReturn:
        """Wait for what raises as in `finish`."""
        while True:
            self._take(None)

    def _take(self, timeout: float | None) -> None:
        """Wait for one event, at most ``timeout`` seconds."""
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise StackError(f"It is not done after {self._time_limit:g} seconds.")
            timeout = left if timeout is None else min(timeout, left)
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            return
        if isinstance(event, signal.Signals):
            raise Interrupted(event)
        event.ended = True
        if event.again is None and (not event.is_step or event.popen.returncode != 0):
            raise event.failure()
        self._forget(event)
        if event.again is not None:
            event.again()

    def _start(
        self,
        name: str,
        command: Sequence[str | Path],
        environment: Mapping[str, str],
        stop_signal: int,
        stdout: int | None,
    ) -> Process:
        path = self._logs / f"{name}.log"
        with path.open("a") as log:
            popen = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout or log,
                stderr=log,
                text=True,
                env={**self._environment, **environment},
                cwd=self._logs,  # Python looks for modules in the working directory: here are none
                start_new_session=True,
            )
        process = Process(name, popen, path, stop_signal)
        self._processes.append(process)
        self._tell(f"+{popen.pid} {int(stop_signal)}\n")
        threading.Thread(target=self._watch, args=[process], daemon=True).start()
        return process

    def _watch(self, process: Process) -> None:
        process.output, _ = process.popen.communicate()
        self._events.put(process)

    def _forget(self, process: Process) -> None:
        self._processes.remove(process)
        self._tell(f"-{process.popen.pid}\n")

    def _tell(self, line: str) -> None:
        with suppress(BrokenPipeError):  # without a reaper, the supervisor still ends what it started
            self._ledger.write(line)


def tail(log: Path) -> str:
    """Return the last lines of a log."""
    lines = log.read_text(errors="replace").splitlines()[-TAIL:]
    return "\n".join(f"    {line}" for line in lines) or "    (it is empty)"
