"""Who may do what: one table, asked by the application layer whatever the host's own checks let through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from svops_plugin.domain.errors import PermissionDenied

VIEWER, USER, OP, ADMIN = "Viewer", "User", "Op", "Admin"
READERS = frozenset({VIEWER, USER, OP, ADMIN})
WRITERS = frozenset({USER, OP, ADMIN})
ADMINS = frozenset({ADMIN})

PERMISSIONS: Mapping[tuple[str, str], frozenset[str]] = {
    ("dataset", "read"): READERS,
    ("dataset", "create"): WRITERS,
    ("dataset", "edit"): WRITERS,
    ("dataset", "delete"): WRITERS,
    ("task", "read"): READERS,
    ("task", "create"): WRITERS,
    ("task", "edit"): WRITERS,
    ("task", "delete"): WRITERS,
    ("task", "execute"): WRITERS,
    ("workflow", "read"): READERS,
    ("workflow", "create"): WRITERS,
    ("workflow", "edit"): WRITERS,
    ("workflow", "execute"): WRITERS,
    ("event", "read"): READERS,
    ("notification", "read"): frozenset({OP, ADMIN}),
    ("notification", "create"): ADMINS,
    ("notification", "edit"): ADMINS,
    ("notification", "delete"): ADMINS,
    ("user", "read"): ADMINS,
    ("user", "create"): ADMINS,
    ("user", "edit"): ADMINS,
    ("user", "delete"): ADMINS,
}
# What stands in the menu, and what one must be allowed to do to see it there.
MENU: Mapping[str, tuple[str, str]] = {
    "Board": ("task", "read"),
    "Tasks": ("task", "read"),
    "Datasets": ("dataset", "read"),
    "Workflows": ("workflow", "read"),
    "Notifications": ("notification", "read"),
    "Records": ("event", "read"),
}
UNOWNED_ACTIONS = frozenset({"read", "create"})


@dataclass(frozen=True)
class Actor:
    """Somebody who asks for something.

    :param user_id: SVOps' id of the user; none for an operator at the command line
    :param roles: names of Airflow's roles
    :param address: where the request came from, if it came over the network
    """

    user_id: int | None
    username: str
    roles: frozenset[str]
    address: str | None = None

    def may(self, resource: str, action: str, owner_id: int | None = None) -> bool:
        """Tell whether the table allows it; the User role alone changes only what is its own."""
        allowed = self.roles & PERMISSIONS[resource, action]
        if action in UNOWNED_ACTIONS or allowed - {USER}:
            return bool(allowed)
        return bool(allowed) and owner_id == self.user_id and owner_id is not None

    def require(self, resource: str, action: str, owner_id: int | None = None) -> None:
        """Refuse what the table does not allow.

        :raises PermissionDenied: naming what is missing
        """
        if self.may(resource, action, owner_id):
            return
        if self.roles & PERMISSIONS[resource, action]:
            raise PermissionDenied(
                f"This {resource} belongs to somebody else; its owner or an Op can {action} it."
            )
        needed = ", ".join(sorted(PERMISSIONS[resource, action]))
        raise PermissionDenied(f"To {action} a {resource} you need one of the roles {needed}.")


def granted(roles: frozenset[str]) -> dict[str, list[str]]:
    """Return the actions that roles allow on each resource (on one's own, where ownership counts)."""
    found: dict[str, list[str]] = {}
    for (resource, action), allowed in PERMISSIONS.items():
        if roles & allowed:
            found.setdefault(resource, []).append(action)
    return found


OPERATOR = Actor(user_id=None, username="operator", roles=ADMINS)
