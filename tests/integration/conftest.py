"""A real Airflow API server in this process, with SVOps on a database of each test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from svops_plugin.bootstrap import services
from tests.conftest import OUTPUT, PostgreSQL, connection

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.testclient import TestClient

BASE = "http://svops.example"
ROLES = ("Admin", "Op", "User", "Viewer")
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
    run_airflow("db", "migrate")
    run_airflow("dags", "reserialize")
    yield
    dispose_orm()  # at exit, as Airflow would have it, is after the server's end


@pytest.fixture(scope="session")
def api_server(airflow_metadata: None) -> FastAPI:  # noqa: ARG001
    """Airflow's API server with the FAB auth manager, a user of each role, and one more of the role User."""
    from airflow.api_fastapi.app import create_app
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    app = create_app()
    with get_application_builder() as appbuilder:
        users = appbuilder.sm
        for name, role in [*((role.lower(), role) for role in ROLES), ("other", "User")]:
            users.add_user(
                name, name.title(), "Van Dyke", f"{name}@svops.example", users.find_role(role), PASSWORD
            )
    return app


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
def tokens(api_server: FastAPI) -> dict[str, str]:  # noqa: ARG001
    """An access token of each user, by their name."""
    from airflow.api_fastapi.app import get_auth_manager

    manager = get_auth_manager()
    names = [*(role.lower() for role in ROLES), "other"]
    return {name: manager.generate_jwt(manager.security_manager.find_user(name)) for name in names}


Clients = Callable[[str | None], "TestClient"]


@pytest.fixture
def client(api_server: FastAPI, svops_database: str, tokens: dict[str, str]) -> Clients:  # noqa: ARG001
    """Returns a client of the REST API that is signed in as the user of that name, or as nobody.

    The server's lifespan does not run, so neither does the monitor.
    """
    from starlette.testclient import TestClient

    def signed_in(name: str | None) -> TestClient:
        headers = {"Authorization": f"Bearer {tokens[name]}"} if name else {}
        return TestClient(api_server, base_url=f"{BASE}/svops/api/v1/", headers=headers)

    return signed_in


@pytest.fixture
def admin(client: Clients) -> TestClient:
    return client("admin")


@pytest.fixture
def user(client: Clients) -> TestClient:
    return client("user")


@pytest.fixture
def viewer(client: Clients) -> TestClient:
    return client("viewer")


@pytest.fixture
def nobody(client: Clients) -> TestClient:
    return client(None)


@pytest.fixture
def dataset_body(dataset_folder: Path) -> dict[str, Any]:
    return {"name": "small", "path": str(dataset_folder), "data_type": "Vector"}


@pytest.fixture
def task_body() -> dict[str, Any]:
    return {"name": "t", "customer": "c", "log_out_path": str(OUTPUT)}


@pytest.fixture
def dataset_id(admin: TestClient, dataset_body: dict[str, Any]) -> int:
    return int(admin.post("datasets", json=dataset_body).json()["id"])


@pytest.fixture
def task_id(admin: TestClient, task_body: dict[str, Any], dataset_id: int) -> int:
    return int(admin.post("tasks", json={**task_body, "dataset_id": dataset_id}).json()["id"])


@pytest.fixture
def running(admin: TestClient, task_id: int) -> int:
    assert admin.post(f"tasks/{task_id}/execute", json={}).status_code == 201
    return task_id
