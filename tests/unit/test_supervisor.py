"""The supervisor of the local stack, with processes that end by themselves."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from svops_plugin.presentation.cli.stack import reaper
from svops_plugin.presentation.cli.stack.supervisor import StackError, Supervisor


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    with Supervisor(queue.SimpleQueue(), tmp_path / "logs", os.environ, lock=lock, time_limit=60) as made:
        yield made
    os.close(lock)


def test_the_end_of_a_process_is_the_end_of_all(supervisor: Supervisor) -> None:
    supervisor.start("one", ["sh", "-c", "echo something broke; exit 3"])
    with pytest.raises(StackError, match="one ended with status 3") as told:
        supervisor.wait()
    assert "something broke" in told.value.message


def test_one_that_ends_at_times_is_started_again_but_not_for_ever(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    starts = tmp_path / "starts"
    supervisor.start("fragile", ["sh", "-c", f"echo >> {starts}; exit 1"], again=2)
    with pytest.raises(StackError, match="fragile ended with status 1"):
        supervisor.wait()
    assert len(starts.read_text().splitlines()) == 3


def test_the_reaper_outlives_a_process_that_was_gone_before_it_looked() -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    told = f"+{gone.pid} 15\n-{gone.pid}\n"
    subprocess.run([sys.executable, "-I", reaper.__file__], input=told, text=True, check=True)
