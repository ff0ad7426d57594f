"""The services of docker-compose.yml as processes of this machine.

Commands and environments are the file's. A container has a network, a file system and a host name of its own;
here each listens on ports of its own, host names are loopback's with those ports, paths are below one folder,
and the host name is the service's. What the images' entry points do is done here: PostgreSQL's makes the user
and the database, Airflow's puts ``airflow`` before the command.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from svops_plugin.presentation.cli.deployment import new_secrets
from svops_plugin.presentation.cli.stack import reaper
from svops_plugin.presentation.cli.stack.postgres import initialise
from svops_plugin.presentation.cli.stack.supervisor import Process, Supervisor
from tests.conftest import DRIVER
from tests.distributed import compose

LOOPBACK = "127.0.0.1"
PATIENCE = 1200
POLL = 0.2
KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
SERVER = "api-server"
TEMPLATE = "server-template server 1-4 api-server:8080 resolvers docker init-addr none"
HBA = f"local all all trust\nhost all all {LOOPBACK}/32 scram-sha-256\n"
# Where Airflow listens beside its pages: each container has these ports for itself.
HEALTH = "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT"
PORTS = ("AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT", "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT", HEALTH)
SERVER_PORTS = ("AIRFLOW__API__PORT", "AIRFLOW__WEBSERVER__WEB_SERVER_PORT")


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on, all of them different."""
    with ExitStack() as probes:
        found = [probes.enter_context(socket.socket()) for _ in range(number)]
        for probe in found:
            probe.bind((LOOPBACK, 0))
        return [int(probe.getsockname()[1]) for probe in found]


def inherited() -> dict[str, str]:
    """Return what a process has of this one's environment, and what lets it find its neighbours."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK}


def named(host: str) -> list[str]:
    """Return what goes before a command that is to find this name for its host, as it does in a container."""
    alone = ["unshare", "--uts"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--uts"]
    return [*alone, "sh", "-c", 'hostname "$0" && exec "$@"', host]


class Deployment:
    """The running services.

    :param folder: holds all that the volumes hold
    :param variables: beside the secrets, what the file ``.env`` says
    """

    def __init__(self, folder: Path, supervisor: Supervisor, variables: Mapping[str, str]) -> None:
        self.folder = folder
        self.supervisor = supervisor
        names = ["postgres", "redis", "gateway", f"{SERVER}-1", f"{SERVER}-2"]
        self.ports = dict(zip(names, free_ports(len(names)), strict=True))
        self.url = f"http://{LOOPBACK}:{self.ports['gateway']}"
        self.secrets = new_secrets()
        given = {**self.secrets, "AIRFLOW_BASE_URL": self.url, **variables}
        self.services = compose.services(given)
        self._running: dict[str, Process] = {}
        self._variables: dict[str, dict[str, str]] = {}

    @property
    def data(self) -> Path:
        """The volume of datasets."""
        return self.folder / "srv" / "data"

    @property
    def output(self) -> Path:
        """The volume of outputs."""
        return self.folder / "srv" / "output"

    def address(self, server: int) -> str:
        """Return the address of one of the API servers."""
        return f"http://{LOOPBACK}:{self.ports[f'{SERVER}-{server}']}"

    def engine(self, database: str) -> Engine:
        """Return an engine on a database."""
        url = make_url(self.environment("scheduler")["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
        return create_engine(
            url.set(drivername=f"postgresql+{DRIVER}", database=database), poolclass=NullPool, future=True
        )

    def localized(self, value: str) -> str:
        """Return a text of the file with host names and paths as they are here."""
        for host, port in (("postgres", 5432), ("redis", 6379), ("gateway", 8080)):
            value = value.replace(f"{host}:{port}", f"{LOOPBACK}:{self.ports[host]}")
        for inside, outside in (("/srv/svops", "srv"), ("/opt/airflow", "airflow"), ("/run/airflow", "run")):
            value = value.replace(inside, str(self.folder / outside))
        return value

    def environment(self, service: str) -> dict[str, str]:
        """Return the environment of a service."""
        variables = self.services[service].get("environment", {})
        return {name: self.localized(str(value)) for name, value in variables.items()}

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Return the condition's first true value, unless a service ends meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            for process in self._running.values():
                assert process.popen.poll() is None, str(process.failure())
            assert time.monotonic() < deadline, f"waited in vain for {what}"
            time.sleep(POLL)
        return value

    def start(self, service: str, number: int = 0) -> None:
        """Start a service of Airflow's, or one of its replicas, by their number."""
        command = [self.localized(part) for part in self.services[service]["command"]]
        own = dict(zip(PORTS, map(str, free_ports(len(PORTS))), strict=True))
        if service == SERVER:
            own |= dict.fromkeys(SERVER_PORTS, str(self.ports[f"{SERVER}-{number}"]))
            command = [part.replace("webserver.pid", f"webserver-{number}.pid") for part in command]
        name = f"{service}-{number}" if number else service
        variables = {**self.environment(service), **own, **self._image()}
        self._variables[name] = variables
        self._launch(name, [*named(name), sys.executable, "-m", "airflow", *command], variables)

    def run(self, service: str, program: str, *arguments: str) -> str:
        """Run a command with the environment of a service, to its end, and return what it says."""
        variables = {**inherited(), **self.environment(service), **self._image()}
        command = [Path(sys.executable).with_name(program), *arguments]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def kill(self, name: str) -> None:
        """Kill a process and all that it has started, without a word of warning."""
        members = reaper.members_of([self._running.pop(name).leader])
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(members, timeout=PATIENCE)

    def is_healthy(self, service: str, number: int = 0) -> bool:
        """Tell what the file's health check says of a service of Airflow's, or of the gateway."""
        name = f"{service}-{number}" if number else service
        kind, *test = self.services[service]["healthcheck"]["test"]
        variables = self._variables.get(name, {})
        pages, scheduler = variables.get(SERVER_PORTS[0], self.ports["gateway"]), variables.get(HEALTH)
        for inside, outside in ((8080, pages), (8974, scheduler)):
            for name_here in ("localhost", LOOPBACK):
                test = [part.replace(f"{name_here}:{inside}", f"{LOOPBACK}:{outside}") for part in test]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        finished = subprocess.run(
            ["sh", "-c", test[0]] if kind == "CMD-SHELL" else test,
            env={**variables, "HOSTNAME": name, "PATH": path, "NO_PROXY": LOOPBACK, "no_proxy": LOOPBACK},
            capture_output=True,
            check=False,
        )
        return finished.returncode == 0

    def _image(self) -> dict[str, str]:
        """Return what the image sets, and what lets a worker run as root, which it is not there."""
        return {"AIRFLOW_HOME": str(self.folder / "airflow"), "C_FORCE_ROOT": "1"}

    def _launch(
        self, name: str, command: Sequence[str], variables: Mapping[str, str], stop: int = signal.SIGTERM
    ) -> None:
        assigned = [f"{variable}={value}" for variable, value in variables.items()]
        self._running[name] = self.supervisor.start(name, ["env", *assigned, *command], stop_signal=stop)

    def start_all(self) -> None:
        """Start everything in the order that the file's conditions want."""
        for folder in (self.data, self.output, self.folder / "run", self.folder / "airflow"):
            folder.mkdir(parents=True)
        (self.folder / "airflow" / "dags").symlink_to(compose.ROOT / "dags")
        self._start_postgres()
        self._start_redis()
        self.run("init", *self.services["init"]["entrypoint"], *self.services["init"]["command"])
        self.start(SERVER, 1)
        self._start_gateway()
        for service in ("scheduler", "dag-processor", "triggerer"):
            self.start(service)
        for number in (1, 2):
            self.start("worker", number)

    def _start_postgres(self) -> None:
        data = self.folder / "postgres"
        programs, user = initialise(data)
        (data / "pg_hba.conf").write_text(HBA)
        become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        program, *options = self.services["postgres"]["command"]
        where = ["-D", str(data), "-k", str(data), "-h", LOOPBACK, "-p", str(self.ports["postgres"])]
        command = [*become, str(programs / program), *where, *options]
        self._launch("postgres", command, {}, signal.SIGINT)
        wanted = self.services["postgres"]["environment"]
        address = f"postgresql+{DRIVER}://postgres@/postgres?host={data}&port={self.ports['postgres']}"
        admin = create_engine(address, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        self.until(lambda: _answers(admin), "PostgreSQL")
        role, password, database = (wanted[f"POSTGRES_{name}"] for name in ("USER", "PASSWORD", "DB"))
        with admin.connect() as connection:
            connection.execute(text(f"CREATE ROLE {role} SUPERUSER LOGIN PASSWORD '{password}'"))
            connection.execute(text(f"CREATE DATABASE {database} OWNER {role}"))

    def _start_redis(self) -> None:
        where = ["--bind", LOOPBACK, "--port", str(self.ports["redis"]), "--dir", str(self.folder)]
        self._launch("redis", [*self.services["redis"]["command"], *where], {})

    def _start_gateway(self) -> None:
        """Start HAProxy with the file's configuration, in which Docker's name server finds the replicas."""
        configuration = (compose.ROOT / "docs" / "haproxy.cfg").read_text()
        assert TEMPLATE in configuration
        replicas = [self.ports[f"{SERVER}-{number}"] for number in (1, 2)]
        servers = "\n    ".join(f"server server{port} {LOOPBACK}:{port}" for port in replicas)
        here = configuration.replace(TEMPLATE, servers).replace("bind :8080", f"bind {self.url[7:]}")
        path = self.folder / "haproxy.cfg"
        path.write_text(here)
        *program, _ = self.services["gateway"]["command"]
        self._launch("gateway", [*program, str(path)], self.environment("gateway"))

    def is_up(self, url: str) -> bool:
        """Tell whether SVOps answers at an address."""
        try:
            return httpx.get(f"{url}/svops/api/v1/health", trust_env=False, timeout=10).is_success
        except httpx.TransportError:
            return False


def _answers(engine: Engine) -> bool:
    try:
        engine.connect().close()
    except OperationalError:
        return False
    return True


@contextmanager
def deployed(folder: Path, **variables: str) -> Iterator[Deployment]:
    """Keep all services up in a folder; nothing of them is left afterwards."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with Supervisor(queue.SimpleQueue(), folder / "logs", inherited(), lock=lock) as supervisor:
            deployment = Deployment(folder, supervisor, variables)
            deployment.start_all()
            deployment.until(lambda: deployment.is_up(deployment.url), "the first API server")
            yield deployment
    finally:
        os.close(lock)
