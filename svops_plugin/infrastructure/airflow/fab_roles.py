"""Flask-AppBuilder's roles, on both Airflows: the permission table where administrators look for it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from svops_plugin.domain.permissions import READERS
from svops_plugin.infrastructure.airflow.common import metadata_session

log = logging.getLogger(__name__)

MENU = ("can_read", "Plugins")  # without it, Airflow 3 shows no entry of a plugin in its menu
TRIES = 3


def sync_roles(
    table: Mapping[tuple[str, str], Collection[str]], menu: Mapping[str, Collection[str]] | None = None
) -> int:
    """Grant Airflow's roles what the table says, and the sight of plugins; return how many grants are new.

    It adds only: what an administrator has granted stays. Servers that begin at the same moment may write
    the same row; the one that comes second looks again. Other auth managers than Flask-AppBuilder's have no
    roles to grant anything to.

    :param menu: who sees which entry of the native bar, where there is one
    :raises Unavailable: if Airflow's database does not answer
    """
    if not _fab_keeps_roles():
        return 0
    for left in reversed(range(TRIES)):
        try:
            with metadata_session() as session:
                return _grant(session, _wanted(table, menu))
        except IntegrityError:
            if not left:
                raise
    return 0


def missing_grants(
    table: Mapping[tuple[str, str], Collection[str]], menu: Mapping[str, Collection[str]] | None = None
) -> int:
    """Return how many grants :func:`sync_roles` would make.

    :raises Unavailable: if Airflow's database does not answer
    """
    if not _fab_keeps_roles():
        return 0
    with metadata_session() as session:
        found = _grant(session, _wanted(table, menu))
        session.rollback()
        return found


def _wanted(
    table: Mapping[tuple[str, str], Collection[str]], menu: Mapping[str, Collection[str]] | None
) -> Mapping[tuple[str, str], Collection[str]]:
    wanted = {
        (f"can_{action}", f"SVOps {resource.capitalize()}s"): roles
        for (resource, action), roles in table.items()
    }
    wanted.update({("menu_access", name): roles for name, roles in (menu or {}).items()})
    return {**wanted, MENU: READERS}


def _fab_keeps_roles() -> bool:
    from airflow.configuration import conf
    from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager

    manager = conf.getimport("core", "auth_manager")
    return isinstance(manager, type) and issubclass(manager, FabAuthManager)


def _grant(session: Session, wanted: Mapping[tuple[str, str], Collection[str]]) -> int:
    from airflow.providers.fab.auth_manager.models import Action, Permission, Resource, Role

    roles = {role.name: role for role in session.scalars(select(Role)).unique()}
    actions = {action.name: action for action in session.scalars(select(Action))}
    resources = {resource.name: resource for resource in session.scalars(select(Resource))}
    granted = 0
    for (action, resource), names in wanted.items():
        for model, known, name in ((Action, actions, action), (Resource, resources, resource)):
            if name not in known:
                known[name] = model(name=name)
                session.add(known[name])
        session.flush()
        pair = {"action_id": actions[action].id, "resource_id": resources[resource].id}
        permission = session.scalars(select(Permission).filter_by(**pair)).unique().first()
        if permission is None:
            permission = Permission(**pair)
            session.add(permission)
            session.flush()
        for role in (roles[name] for name in names if name in roles):
            if permission.id not in {held.id for held in role.permissions}:
                role.permissions.append(permission)
                granted += 1
    return granted
