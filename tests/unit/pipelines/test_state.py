"""Files that steps leave for each other, whatever becomes of the process that writes them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from svops_plugin.infrastructure.storage import copy_outputs
from svops_plugin.pipelines import state

KILLED = """
import os, signal, sys
from pathlib import Path
from svops_plugin.pipelines import state

Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
state.write(Path(sys.argv[1]), b"half")
"""


def kill_while_it_writes(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, path], check=False)
    assert done.returncode == -signal.SIGKILL


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(tmp_path):
    path, other = tmp_path / "recording.npz", tmp_path / "features.npz"
    for one in (path, path, other):
        kill_while_it_writes(one)
    assert len(list(tmp_path.iterdir())) == 2  # the second to be killed has tidied up after the first
    state.write(path, b"whole")
    (left,) = set(tmp_path.iterdir()) - {path}
    assert left.name.startswith(".features.npz.")
    assert path.read_bytes() == b"whole"


def test_what_a_killed_process_left_is_not_copied(tmp_path):
    state.write(tmp_path / "old" / "work" / "train.npz", b"whole")
    kill_while_it_writes(tmp_path / "old" / "work" / "test.npz")
    copy_outputs(str(tmp_path / "old"), str(tmp_path / "new"))
    assert [file.name for file in (tmp_path / "new" / "work").iterdir()] == ["train.npz"]


def test_two_processes_that_write_the_same_file_both_succeed(tmp_path, monkeypatch):
    path, write_bytes = tmp_path / "train.npz", Path.write_bytes

    def overtaken(temporary, content):
        monkeypatch.undo()
        write_bytes(temporary, content)
        state.write(path, b"of the other")
        assert not temporary.exists()

    monkeypatch.setattr(Path, "write_bytes", overtaken)
    state.write(path, b"of this")
    assert path.read_bytes() == b"of this"
    assert list(tmp_path.iterdir()) == [path]
