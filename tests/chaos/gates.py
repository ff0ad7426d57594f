"""Gates at which the chaos suite's DAGs wait, and their notes of every process that has begun.

All is in files of one folder: the DAGs' tasks must not need what is being killed around them.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

VARIABLE = "CHAOS_FOLDER"
FOREIGN = "held_2"  # the DAG that knows nothing of SVOps


@dataclass(frozen=True)
class Start:
    """A process that has begun a task.

    :param born: when the process was made; with its pid, it is this process and no later one
    :param asked: when it was about to ask SVOps whether it may, if it does; both in seconds since the epoch
    """

    dag_id: str
    run_id: str
    try_number: int
    pid: int
    born: float
    asked: float

    @staticmethod
    def of_this_process(dag_id: str, run_id: str, try_number: int) -> Start:
        """Return the start of this process, to be noted when SVOps has let it begin."""
        born = psutil.Process().create_time()
        return Start(dag_id, run_id, try_number, os.getpid(), born, time.time())

    @property
    def is_alive(self) -> bool:
        try:
            process = psutil.Process(self.pid)
            return bool(process.create_time() == self.born and process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False


class Gates:
    """The gates of every task and step, closed at first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._notes = folder / "starts.jsonl"

    @classmethod
    def from_environment(cls) -> Gates:
        return cls(Path(os.environ[VARIABLE]))

    def word(self, task_id: int, position: int) -> str:
        """Return what a step is told to do, empty while its gate is closed."""
        try:
            return self._gate(task_id, position).read_text()
        except FileNotFoundError:
            return ""

    def open(self, task_id: int, *positions: int, word: str = "go") -> None:
        """Let steps go on, or ``fail``; a gate that is open already stays as it is."""
        for position in positions:
            gate = self._gate(task_id, position)
            if not gate.exists():
                draft = gate.with_suffix(".draft")
                draft.write_text(word)
                draft.rename(gate)

    def close(self, task_id: int, *positions: int) -> None:
        for position in positions:
            self._gate(task_id, position).unlink()

    def note(self, start: Start) -> None:
        with self._notes.open("a") as notes:  # one short write that appends is never torn
            notes.write(json.dumps(asdict(start)) + "\n")

    def starts(self) -> list[Start]:
        if not self._notes.exists():
            return []
        return [Start(**json.loads(line)) for line in self._notes.read_text().splitlines()]

    def _gate(self, task_id: int, position: int) -> Path:
        return self._folder / f"{task_id}.{position}"
