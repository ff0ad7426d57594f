"""A real Airflow server in this process, with SVOps on a database of each test's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from svops_plugin.bootstrap import services
from tests.conftest import OUTPUT, PostgreSQL, connection
from tests.hosts import hosting

BASE = "http://svops.example"
ROLES = ("Admin", "Op", "User", "Viewer")
USERS = {**{role.lower(): role for role in ROLES}, "other": "User"}
PASSWORD = "correct horse battery staple"  # noqa: S105  # of accounts that live as long as the tests


def run_airflow(*arguments: str) -> None:
    """Do what the ``airflow`` command does with these arguments."""
    from airflow.cli.cli_parser import get_parser

    parsed = get_parser().parse_args(arguments)
    parsed.func(parsed)


@pytest.fixture(scope="session")
def airflow_metadata(postgresql: PostgreSQL) -> Iterator[None]:
    """Airflow's metadata database, migrated, with the DAGs of this repository."""
    from airflow.settings import dispose_orm

    postgresql.create("airflow")
    # In a process of its own: Airflow 2.11 keeps the model of sessions that it makes for this, with its pool.
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True)
    run_airflow("dags", "reserialize")
    yield
    dispose_orm()  # at exit, as Airflow would have it, is after the server's end


DAG_FILE = """
from datetime import datetime, timezone

from airflow.providers.common.compat.sdk import DAG, Param
from airflow.providers.standard.operators.empty import EmptyOperator

with DAG(
    {dag_id!r},
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=timezone.utc),
    is_paused_upon_creation=False,
    params={params},
):
    {tasks}
"""
AddDag = Callable[..., None]


@pytest.fixture
def add_dag(airflow_metadata: None, tmp_path: Path) -> Iterator[AddDag]:  # noqa: ARG001
    """Lets Airflow have one more DAG until the test ends; its tasks and params are said in Python."""
    from airflow.api.common.delete_dag import delete_dag

    added: list[str] = []

    def add(dag_id: str, tasks: str, params: str = "{}") -> None:
        folder = tmp_path / dag_id
        folder.mkdir()
        source = DAG_FILE.format(dag_id=dag_id, tasks=tasks, params=params)
        (folder / f"{dag_id}.py").write_text(source)
        hosting().add_dags(folder)
        added.append(dag_id)

    yield add
    for dag_id in added:
        delete_dag(dag_id)


@pytest.fixture(scope="session")
def api_server(airflow_metadata: None) -> Any:  # noqa: ARG001
    """The application of Airflow's server, with a user of each role, and one more of the role User."""
    app = hosting().create_app()
    with hosting().user_keeping() as users:
        for name, role in USERS.items():
            email = f"{name}@svops.example"
            assert users.add_user(name, name.title(), "Van Dyke", email, users.find_role(role), PASSWORD)
    return app


def remove_other_users() -> None:
    """Remove whom tests have made: Airflow's own database outlives a test, unlike SVOps'."""
    from airflow.utils.session import create_session

    with create_session() as session:
        model = hosting().users().user_model
        for user in session.query(model).filter(model.username.not_in(USERS)):
            user.roles = []
            session.delete(user)
    hosting().forget_users()


@pytest.fixture
def clean_services() -> Iterator[None]:
    """Services built anew from the settings of this moment, and closed afterwards."""
    services.cache_clear()
    yield
    for built in (services(), services(pooled=True)):
        if "engine" in vars(built):
            built.engine.dispose()
    services.cache_clear()


@pytest.fixture
def svops_database(
    postgresql_database: str,
    monkeypatch: pytest.MonkeyPatch,
    clean_services: None,  # noqa: ARG001
) -> str:
    """The name of the database that this process's services work on."""
    monkeypatch.setenv("AIRFLOW_CONN_SVOPS_DB", connection(postgresql_database))
    return postgresql_database


@pytest.fixture
def tokens(api_server: Any) -> dict[str, str]:  # noqa: ARG001
    """An access token of each user, by their name."""
    return {name: hosting().token(name) for name in USERS}


Clients = Callable[[str | None], httpx.Client]


@pytest.fixture
def client(api_server: Any, svops_database: str, tokens: dict[str, str]) -> Iterator[Clients]:  # noqa: ARG001
    """Returns a client of the REST API that is signed in as the user of that name, or as nobody.

    The server's lifespan does not run, so neither does the monitor. Users that a test makes go with it.
    """

    def signed_in(name: str | None) -> httpx.Client:
        headers = {"Authorization": f"Bearer {tokens[name]}"} if name else {}
        made: httpx.Client = hosting().client(api_server, f"{BASE}/svops/api/v1/", headers)
        return made

    yield signed_in
    remove_other_users()


@pytest.fixture
def admin(client: Clients) -> httpx.Client:
    return client("admin")


@pytest.fixture
def user(client: Clients) -> httpx.Client:
    return client("user")


@pytest.fixture
def viewer(client: Clients) -> httpx.Client:
    return client("viewer")


@pytest.fixture
def nobody(client: Clients) -> httpx.Client:
    return client(None)


@pytest.fixture
def dataset_body(dataset_folder: Path) -> dict[str, Any]:
    return {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}


@pytest.fixture
def task_body() -> dict[str, Any]:
    return {"name": "t", "customer": "c", "log_out_path": str(OUTPUT)}


@pytest.fixture
def dataset_id(admin: httpx.Client, dataset_body: dict[str, Any]) -> int:
    return int(admin.post("datasets", json=dataset_body).json()["id"])


@pytest.fixture
def task_id(admin: httpx.Client, task_body: dict[str, Any], dataset_id: int) -> int:
    return int(admin.post("tasks", json={**task_body, "dataset_id": dataset_id}).json()["id"])


@pytest.fixture
def running(admin: httpx.Client, task_id: int) -> int:
    assert admin.post(f"tasks/{task_id}/execute", json={}).status_code == 201
    return task_id
