"""Where the stack lives on disk, and the environment that makes Airflow run from there."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shlex
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from svops_plugin.infrastructure.airflow.processes import Address, processes
from svops_plugin.presentation.cli.dags import shipped
from svops_plugin.presentation.cli.deployment import PASSWORD_VARIABLE, fernet_key
from svops_plugin.presentation.cli.stack.supervisor import StackError

LOOPBACK = "127.0.0.1"
DRIVER = "postgresql+psycopg2"  # psycopg 3 takes a third more of the processor for a page of tasks
SOCKET_PATH_LIMIT = 103  # bytes: sun_path of macOS less its final zero, the shortest of all

# What would lead to other databases (PG… is libpq's), and what the processes need not know.
FOREIGN = ("PG", "AIRFLOW__DATABASE__", PASSWORD_VARIABLE)
LEADING = ("AIRFLOW", "GUNICORN_CMD_ARGS", "NO_PROXY")  # the doctor looks at gunicorn's on 2.11

# For any shell of POSIX, and zsh.
FORGET = """\
for svops_setting in $(env | sed -n 's/^\\(AIRFLOW__SVOPS__[A-Za-z0-9_]*\\)=.*/\\1/p'); do
    unset "$svops_setting"
done
unset svops_setting
"""


@dataclass(frozen=True)
class Home:
    """The folder that holds all the stack keeps.

    :param sockets: the folder of PostgreSQL's socket
    :param temporary: the processes' ``TMPDIR``, with a name short enough for sockets; it goes when they have
    :param lock: a file descriptor; while it is open anywhere, nobody else uses the home
    """

    path: Path
    sockets: Path
    temporary: Path
    lock: int

    @property
    def database(self) -> Path:
        """PostgreSQL's data directory."""
        return self.path / "postgres"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """Where datasets are read from."""
        return self.path / "data"

    @property
    def output(self) -> Path:
        """Where tasks write to."""
        return self.path / "output"

    @property
    def dags(self) -> Path:
        """Airflow's DAGs folder, for DAGs of one's own; SVOps' are in its ``svops``."""
        return self.path / "dags"

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``; Airflow's task logs are in its ``logs``."""
        return self.path / "airflow"


@contextmanager
def opened(path: Path) -> Iterator[Home]:
    """Make the folder if need be and keep everybody else out of it.

    :raises StackError: if another stack uses it
    """
    path = path.resolve()
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(
                f"A stack is running in {path}, or is just being stopped. Stop it, or name another folder "
                "with --home."
            ) from None
        with (
            _socket_folder(path / "postgres") as sockets,
            tempfile.TemporaryDirectory(prefix="svops-", ignore_cleanup_errors=True) as temporary,
        ):
            home = Home(path, sockets, Path(temporary), lock)
            for stale in home.airflow.glob("*.pid"):  # by now its number may be that of any process
                stale.unlink()
            _link(home.dags / "svops", shipped())
            home.data.mkdir(exist_ok=True)
            home.output.mkdir(exist_ok=True)
            yield home
    finally:
        os.close(lock)


def _link(link: Path, target: Path) -> None:
    """Let a link lead to a folder, wherever it has led before."""
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target, target_is_directory=True)


@contextmanager
def _socket_folder(database: Path) -> Iterator[Path]:
    """Give the data directory, which no other user can enter, or a folder with a shorter name."""
    if len(os.fsencode(database / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT:
        yield database
        return
    with tempfile.TemporaryDirectory(prefix="svops-") as folder:
        yield Path(folder)


def environment(home: Home, host: str, port: int) -> dict[str, str]:
    """Return the environment of the stack's processes."""
    url = base_url(host, port)
    kept = _secrets(home.path / "secrets.json")
    sockets = quote(str(home.sockets))
    airflow = processes()
    unproxied = ",".join(filter(None, [os.environ.get("NO_PROXY"), "localhost", LOOPBACK, host]))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {
        **airflow.defaults,
        "PYTHONUNBUFFERED": "1",
        **inherited,
        "TMPDIR": str(home.temporary),
        "AIRFLOW_HOME": str(home.airflow),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home.dags),
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__FERNET_KEY": kept["fernet_key"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"{DRIVER}://postgres@/airflow?host={sockets}",
        **airflow.variables(Address(host, port, url), kept["api_secret_key"], kept["jwt_secret"]),
        "AIRFLOW__SVOPS__SQL_ALCHEMY_CONN": "",
        "AIRFLOW__SVOPS__DATABASE_CONN_ID": "svops_db",
        "AIRFLOW__SVOPS__DATA_ROOTS": str(home.data),
        "AIRFLOW__SVOPS__OUTPUT_ROOTS": str(home.output),
        "AIRFLOW_CONN_SVOPS_DB": json.dumps(
            {
                "conn_type": "postgres",
                "host": str(home.sockets),
                "login": "postgres",
                "schema": "svops",
                "extra": {"sqlalchemy_scheme": DRIVER},
            }
        ),
        "NO_PROXY": unproxied,
        "no_proxy": unproxied,
    }


def keep_for_shells(home: Home, variables: Mapping[str, str]) -> None:
    """Write what leads Airflow's commands and SVOps' to this stack, for a shell to read; it holds keys.

    What such a shell has of SVOps' settings goes first: it may have read the file of an earlier start.
    """
    leading = {name: value for name, value in variables.items() if name.upper().startswith(LEADING)}
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in sorted(leading.items()))
    _write_for_the_owner(home.path / "environment", "".join([FORGET, *lines]))


def base_url(host: str, port: int) -> str:
    """Return the address at which this machine reaches the API server."""
    return f"http://{LOOPBACK if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - compared, not bound


def _secrets(path: Path) -> dict[str, str]:
    """Return the keys that belong to the home's databases, made at the first start."""
    if not path.exists():
        made = {
            "fernet_key": fernet_key(),
            "api_secret_key": secrets.token_urlsafe(48),
            "jwt_secret": secrets.token_urlsafe(64),
        }
        _write_for_the_owner(path, json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _write_for_the_owner(path: Path, content: str) -> None:
    """Write a file at once that nobody else can read."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
    fresh.rename(path)
