"""Keeping Airflow's users, where its auth manager lets others do that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from svops_plugin.application import audit
from svops_plugin.application.events import user_event
from svops_plugin.application.ports import Account, Directory, Page, Query, Transactions, UnitOfWork
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, PermissionDenied
from svops_plugin.domain.permissions import ADMIN, USER, Actor

LEAST_PASSWORD, LONGEST_PASSWORD = 8, 128


class UserService:
    """Use cases of users. Each refuses what the permission table does not allow.

    The directory is not SVOps' own database, so no transaction spans both. A change is made in the directory
    last of all, before the transaction with its event ends: what fails earlier changes nothing.

    :param may_register: whether people may make themselves an account
    """

    def __init__(self, transactions: Transactions, directory: Directory, *, may_register: bool) -> None:
        self._transactions = transactions
        self._directory = directory
        self._may_register = may_register

    def page(self, actor: Actor, query: Query) -> Page[Account]:
        """Return a page of users; filters ``q`` (in username, name and email), ``role``, ``is_active``."""
        actor.require("user", "read")
        found = self._directory.page(query)
        with self._transactions() as uow:
            items = [_known(uow, account) for account in found.items]
        return replace(found, items=items)

    def get(self, actor: Actor, user_id: int) -> Account:
        """Return a user."""
        actor.require("user", "read")
        with self._transactions() as uow:
            return self._found(uow, user_id)

    def create(self, actor: Actor, values: Mapping[str, Any]) -> Account:
        """Make a user; roles default to User.

        :raises InvalidInput: for an unknown role or a password that is easily guessed
        :raises Conflict: if the username or the email is taken
        """
        actor.require("user", "create")
        return self._create(actor, values, _roles(values, frozenset()) or frozenset({USER}))

    def register(self, address: str | None, values: Mapping[str, Any]) -> Account:
        """Make an account for oneself, with the role User.

        :raises PermissionDenied: unless ``[svops] allow_registration`` is set
        """
        if not self._may_register:
            raise PermissionDenied(
                "Nobody can register here; ask an administrator for an account ([svops] allow_registration)."
            )
        oneself = Actor(None, values["username"], frozenset(), address)
        return self._create(oneself, values, frozenset({USER}))

    def update(self, actor: Actor, user_id: int, values: Mapping[str, Any]) -> Account:
        """Change the given fields; a new password ends every login of the user.

        :raises Conflict: if a name is taken, or it would lock out oneself or the last administrator
        """
        actor.require("user", "edit")
        changes = dict(values)
        password = changes.pop("password", None)
        with self._transactions() as uow:
            present = self._found(uow, user_id)
            roles = _roles(changes, present.roles)
            changes.pop("is_superuser", None)
            if roles is not None:
                changes["roles"] = roles
            if actor.user_id == user_id:
                _refuse_to_lock_oneself_out(changes)
            if password is not None:
                check_password(password, {**vars(present), **changes})
                uow.users.revoke_all(user_id)
            if changes.get("is_active") is False:
                uow.users.revoke_all(user_id)
            after = replace(self._directory.update(present.subject, changes, password), id=user_id)
            if password is not None:
                uow.users.revoke_all(user_id)  # of who has signed in with the old one meanwhile
            uow.users.identify(after.subject, after.username)
            told = _changes(present, after, with_password=password is not None)
            if told["changed"]:
                uow.record(user_event("updated", after, actor, **told))
        return after

    def delete(self, actor: Actor, user_id: int) -> None:
        """Remove a user. What they made stays, under their old id.

        :raises Conflict: if it is oneself, the last administrator, or somebody whom Airflow's records name
        """
        actor.require("user", "delete")
        if actor.user_id == user_id:
            raise Conflict("You cannot delete yourself; another administrator can.")
        with self._transactions() as uow:
            present = self._found(uow, user_id)
            uow.users.revoke_all(user_id)
            uow.users.retire(user_id)
            uow.record(user_event("deleted", present, actor, before=_shown(present)))
            self._directory.delete(present.subject)

    def change_password(self, actor: Actor, account: Account, current: str, new: str) -> None:
        """Change one's own password, which ends every login of one's own.

        :raises InvalidInput: if the current one is wrong, or the new one is easily guessed
        :raises NotSupported: if the auth manager keeps the passwords elsewhere
        """
        if not self._directory.has_password(account.subject, current):
            raise InvalidInput.field("current_password", "it is not your password.")
        if new == current:
            raise InvalidInput.field("new_password", "it is the current one.")
        check_password(new, vars(account), "new_password")
        with self._transactions() as uow:
            uow.users.revoke_all(actor.user_id or 0)
            uow.record(user_event("updated", account, actor, changed=["password"]))
            self._directory.update(account.subject, {}, new)
            uow.users.revoke_all(actor.user_id or 0)  # of who has signed in with the old one meanwhile

    def _create(self, actor: Actor, values: Mapping[str, Any], roles: frozenset[str]) -> Account:
        check_password(values["password"], values)
        with self._transactions() as uow:
            uow.ping()
            account = _known(uow, self._directory.create({**values, "roles": roles}, values["password"]))
            uow.record(user_event("created", account, actor, after=_shown(account)))
        return account

    def _found(self, uow: UnitOfWork, user_id: int) -> Account:
        """Return the user with an id of SVOps', whom it may not have met yet."""
        user = uow.users.get(user_id)
        account = self._directory.get(user.subject if user else str(user_id))
        account = account and _known(uow, account)
        if account is None or account.id != user_id:
            raise NotFound(f"There is no user {user_id}.")
        return account


def check_password(password: str, whose: Mapping[str, Any], field: str = "password") -> None:
    """Refuse a password that is too short, too long or told by the account itself.

    :raises InvalidInput: naming the field
    """
    told = {str(whose.get(name) or "").casefold() for name in ("username", "email", "name")}
    if not LEAST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput.field(field, f"{LEAST_PASSWORD} to {LONGEST_PASSWORD} characters are expected.")
    if password.casefold() in told:
        raise InvalidInput.field(field, "it is the username, the email or the name.")
    if len(set(password)) == 1:
        raise InvalidInput.field(field, "it is one character again and again.")


def _known(uow: UnitOfWork, account: Account) -> Account:
    return replace(account, id=uow.users.identify(account.subject, account.username).id)


def _roles(values: Mapping[str, Any], present: frozenset[str]) -> frozenset[str] | None:
    """Return the roles that are asked for, by name or as a superuser; none if they stay as they are."""
    named = values.get("roles")
    roles = None if named is None else frozenset(named)
    superuser = values.get("is_superuser")
    if superuser is None:
        return roles
    if roles is not None and superuser is not (ADMIN in roles):
        raise InvalidInput.field("is_superuser", f"roles say otherwise; it stands for the role {ADMIN}.")
    base = present if roles is None else roles
    return base | {ADMIN} if superuser else (base - {ADMIN}) or frozenset({USER})


def _refuse_to_lock_oneself_out(changes: Mapping[str, Any]) -> None:
    if changes.get("is_active") is False or ADMIN not in changes.get("roles", {ADMIN}):
        raise Conflict("You cannot take your own access away; another administrator can.")


def _shown(account: Account) -> dict[str, Any]:
    shown = {name: getattr(account, name) for name in ("username", "email", "name", "is_active")}
    return {**shown, "roles": account.role_names}


def _changes(before: Account, after: Account, *, with_password: bool) -> Mapping[str, Any]:
    """Return what an event tells of an edit; of passwords it tells that there is a new one."""
    told = audit.changes(_shown(before), _shown(after))
    return {**told, "changed": sorted([*told["changed"], *(["password"] if with_password else [])])}
