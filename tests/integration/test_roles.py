"""Airflow's roles say what the permission table says."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, select

from svops_plugin.domain.permissions import PERMISSIONS, READERS
from svops_plugin.infrastructure.airflow.fab_roles import MENU, sync_roles
from tests.integration.support import at_once
from tests.server import BASE, Clients


def grants() -> dict[tuple[str, str], set[str]]:
    """Return which of the four roles have each permission."""
    from airflow.providers.fab.auth_manager.models import Role
    from airflow.utils.session import create_session

    found: dict[tuple[str, str], set[str]] = {}
    with create_session() as session:
        for role in session.scalars(select(Role)).unique():
            for permission in role.permissions:
                found.setdefault((permission.action.name, permission.resource.name), set()).add(role.name)
    return found


@pytest.fixture(autouse=True)
def without_grants(api_server: Any) -> None:  # noqa: ARG001
    """Roles as Airflow makes them."""
    from airflow.providers.fab.auth_manager.models import Permission, Resource, Role
    from airflow.utils.session import create_session

    with create_session() as session:
        for role in session.scalars(select(Role)).unique():
            role.permissions = [
                held
                for held in role.permissions
                if not held.resource.name.startswith("SVOps ")
                and ((held.action.name, held.resource.name) != MENU or role.name in {"Admin", "Op"})
            ]
        session.flush()
        own = select(Resource.id).where(Resource.name.startswith("SVOps "))
        quietly = {"synchronize_session": False}
        session.execute(
            delete(Permission).where(Permission.resource_id.in_(own)).execution_options(**quietly)
        )
        session.execute(
            delete(Resource).where(Resource.name.startswith("SVOps ")).execution_options(**quietly)
        )


def test_the_table_is_granted() -> None:
    assert sync_roles(PERMISSIONS) > 0
    found = grants()
    for (resource, action), roles in PERMISSIONS.items():
        assert found[f"can_{action}", f"SVOps {resource.capitalize()}s"] == roles
    assert found[MENU] >= READERS


def test_once_is_enough() -> None:
    sync_roles(PERMISSIONS)
    assert sync_roles(PERMISSIONS) == 0


def test_servers_that_begin_at_once() -> None:
    granted = at_once(4, lambda _: sync_roles(PERMISSIONS))
    assert [one for one in granted if isinstance(one, Exception)] == []
    assert sync_roles(PERMISSIONS) == 0
    assert all(len(roles) == len(PERMISSIONS[key]) for key, roles in _own().items())


def _own() -> dict[tuple[str, str], set[str]]:
    named = {(f"can_{action}", f"SVOps {kind.capitalize()}s"): (kind, action) for kind, action in PERMISSIONS}
    return {named[pair]: roles for pair, roles in grants().items() if pair in named}


def test_what_an_administrator_granted_stays() -> None:
    from airflow.providers.fab.auth_manager.models import Permission, Role
    from airflow.utils.session import create_session

    sync_roles(PERMISSIONS)
    with create_session() as session:
        viewer = session.scalars(select(Role).where(Role.name == "Viewer")).unique().one()
        held = {permission.id for permission in viewer.permissions}
        more = session.scalars(select(Permission).where(Permission.id.not_in(held))).unique().first()
        viewer.permissions.append(more)
        pair = (more.action.name, more.resource.name)
    sync_roles(PERMISSIONS)
    assert "Viewer" in grants()[pair]


@pytest.mark.only_on("airflow3", "Menu")
def test_viewers_see_the_menu(client: Clients) -> None:
    def seen() -> int:
        from airflow.api_fastapi.app import get_auth_manager

        get_auth_manager().cache.clear()
        return client("viewer").get(f"{BASE}/api/v2/plugins").status_code

    assert seen() == 403
    sync_roles(PERMISSIONS)
    assert seen() == 200


@pytest.mark.only_on("airflow3", "Auth manager")
def test_another_auth_manager_has_no_roles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW__CORE__AUTH_MANAGER",
        "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    )
    before = grants()
    assert sync_roles(PERMISSIONS) == 0
    assert grants() == before
