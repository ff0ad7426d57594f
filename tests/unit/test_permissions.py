"""Who may do what: the whole table, and the rule of ownership."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svops_plugin.domain.errors import PermissionDenied
from svops_plugin.domain.permissions import OPERATOR, PERMISSIONS, Actor, granted

ROLES = ("Viewer", "User", "Op", "Admin")
OWN, OTHERS, UNOWNED = 7, 8, None

# resource, action: the roles that may do it to what is somebody else's, and those that may to their own
EXPECTED = {
    ("dataset", "read"): ({"Viewer", "User", "Op", "Admin"}, {"Viewer", "User", "Op", "Admin"}),
    ("dataset", "create"): ({"User", "Op", "Admin"}, {"User", "Op", "Admin"}),
    ("dataset", "edit"): ({"Op", "Admin"}, {"User", "Op", "Admin"}),
    ("dataset", "delete"): ({"Op", "Admin"}, {"User", "Op", "Admin"}),
    ("task", "read"): ({"Viewer", "User", "Op", "Admin"}, {"Viewer", "User", "Op", "Admin"}),
    ("task", "create"): ({"User", "Op", "Admin"}, {"User", "Op", "Admin"}),
    ("task", "edit"): ({"Op", "Admin"}, {"User", "Op", "Admin"}),
    ("task", "delete"): ({"Op", "Admin"}, {"User", "Op", "Admin"}),
    ("task", "execute"): ({"Op", "Admin"}, {"User", "Op", "Admin"}),
    ("workflow", "read"): ({"Viewer", "User", "Op", "Admin"}, {"Viewer", "User", "Op", "Admin"}),
    ("user", "read"): ({"Admin"}, {"Admin"}),
}


def actor(*roles: str, user_id: int | None = OWN) -> Actor:
    return Actor(user_id, "somebody", frozenset(roles))


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("resource", "action"), EXPECTED)
def test_role_and_ownership(resource: str, action: str, role: str) -> None:
    others, own = EXPECTED[resource, action]
    assert actor(role).may(resource, action, OWN) is (role in own)
    assert actor(role).may(resource, action, OTHERS) is (role in others)
    assert actor(role).may(resource, action, UNOWNED) is (role in others)


@given(
    st.sampled_from(sorted(PERMISSIONS)),
    st.sets(st.sampled_from(ROLES)),
    st.sampled_from([OWN, OTHERS, None]),
)
def test_roles_add_up(entry: tuple[str, str], roles: set[str], owner_id: int | None) -> None:
    alone = any(actor(role).may(*entry, owner_id) for role in roles)
    assert actor(*roles).may(*entry, owner_id) is alone


@given(st.sampled_from(sorted(PERMISSIONS)), st.sets(st.text(), max_size=3))
def test_unknown_roles_may_nothing(entry: tuple[str, str], roles: set[str]) -> None:
    assert not actor(*(roles - set(ROLES))).may(*entry, OWN)


@given(
    st.sampled_from(sorted(PERMISSIONS)),
    st.sets(st.sampled_from(ROLES)),
    st.sampled_from([OWN, OTHERS, None]),
)
def test_require_refuses_exactly_what_may_denies(
    entry: tuple[str, str], roles: set[str], owner_id: int | None
) -> None:
    somebody = actor(*roles)
    try:
        somebody.require(*entry, owner_id)
    except PermissionDenied:
        assert not somebody.may(*entry, owner_id)
    else:
        assert somebody.may(*entry, owner_id)


def test_nobody_owns_what_has_no_owner() -> None:
    assert not actor("User", user_id=None).may("task", "edit", None)


def test_the_refusal_names_what_is_missing() -> None:
    with pytest.raises(PermissionDenied, match="belongs to somebody else"):
        actor("User").require("task", "execute", OTHERS)
    with pytest.raises(PermissionDenied, match="roles Admin, Op, User"):
        actor("Viewer").require("task", "execute", OWN)


@pytest.mark.parametrize(("resource", "action"), PERMISSIONS)
def test_the_operator_may_everything(resource: str, action: str) -> None:
    assert OPERATOR.may(resource, action, OTHERS)


@pytest.mark.parametrize("role", ROLES)
def test_permissions_list_what_the_role_may_do_to_its_own(role: str) -> None:
    listed = granted(frozenset({role}))
    for resource, action in PERMISSIONS:
        assert (action in listed.get(resource, [])) is actor(role).may(resource, action, OWN)
