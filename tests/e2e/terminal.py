"""A terminal for the blocks of the documents: they are typed as they stand, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

END = "-- that was the block --"


class Terminal:
    """A shell, which ends where a command fails.

    :ivar instead: what is typed in the place of what the documents say: a port, a password
    """

    def __init__(self, shell: subprocess.Popen[str], errors: IO[str], instead: dict[str, str]) -> None:
        self._shell = shell
        self._errors = errors
        self.instead = instead

    def type(self, block: str) -> str:
        """Type a block, with or without prompts, and return what it has shown by its end."""
        block = re.sub(r"(?m)^\$ ", "", block)
        for said, meant in self.instead.items():
            block = block.replace(said, meant)
        assert self._shell.stdin
        assert self._shell.stdout
        self._shell.stdin.write(f"{block}\necho; echo '{END}'\n")
        self._shell.stdin.flush()
        shown = []
        for line in self._shell.stdout:
            if line == f"{END}\n":
                return "".join(shown)
            shown.append(line)
        self._errors.seek(0)
        raise AssertionError(f"a command failed in:\n{block}\n{''.join(shown)}\n{self._errors.read()}")


@contextmanager
def terminal(folder: Path, instead: dict[str, str], **environment: str) -> Iterator[Terminal]:
    """Open a terminal in a folder, with nobody's settings of Airflow, SVOps or a proxy.

    :param folder: like a clone in which ``make run`` has been: with its `.venv` and `.svops`
    """
    foreign = ("AIRFLOW", "SVOPS", "PG", "HTTP_PROXY", "ALL_PROXY")
    inherited = {name: value for name, value in os.environ.items() if not name.upper().startswith(foreign)}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            ["bash", "-e"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**inherited, **environment},
            cwd=folder,
        ) as shell,
    ):
        try:
            yield Terminal(shell, errors, instead)
        finally:
            shell.kill()
