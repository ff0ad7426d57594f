"""Flask-AppBuilder's users, on both Airflows; see :class:`svops_plugin.application.ports.Directory`.

Its models are used rather than the security manager's own methods, which commit by themselves and swallow
errors: that there is an administrator left has to be seen and written in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from svops_plugin.application.ports import Account, Page, Query
from svops_plugin.domain.entities import number_of
from svops_plugin.domain.errors import Conflict, InvalidInput, NotFound, NotSupported
from svops_plugin.domain.permissions import ADMIN
from svops_plugin.infrastructure.airflow.common import describe_user, metadata_session

AUTH_DB = 1  # flask_appbuilder.const


class FabUsers:
    """Users in Airflow's metadata database.

    :param security_manager: gives Flask-AppBuilder's, or refuses where there is another auth manager
    :param forget: makes this process see a user's change at once
    """

    def __init__(self, security_manager: Callable[[], Any], forget: Callable[[], None]) -> None:
        self._security_manager = security_manager
        self._forget = forget

    def page(self, query: Query) -> Page[Account]:
        """Return a page of users."""
        user, role = self._models()
        columns = {
            "id": [user.id],
            "username": [user.username],
            "email": [user.email],
            "name": [user.first_name, user.last_name],
            "is_active": [user.active],
            "created_at": [user.created_on],
        }
        name = query.order_by.removeprefix("-")
        if name not in columns:
            raise InvalidInput.field("order_by", f"{name!r} is none of {', '.join(columns)}.")
        order = [*columns[name], *([] if name == "id" else [user.id])]
        if query.order_by.startswith("-"):
            order = [column.desc() for column in order]
        matching = _conditions(user, role, query.filters)
        with metadata_session() as session:
            total = session.scalar(select(func.count()).select_from(user).where(*matching))
            rows = session.scalars(
                select(user).where(*matching).order_by(*order).offset(query.skip).limit(query.limit)
            )
            return Page([account_of(row) for row in rows.unique()], int(total or 0), query)

    def get(self, subject: str) -> Account | None:
        """Return the user with this subject."""
        model, _ = self._models()
        with metadata_session() as session:
            found = session.get(model, number) if (number := _number(subject)) else None
            return account_of(found) if found is not None else None

    def create(self, values: Mapping[str, Any], password: str) -> Account:
        """Write a new user."""
        model, role = self._models()
        with self._writing() as session:
            _refuse_taken(session, model, values, 0)
            user = model(active=values.get("is_active", True), password=_hashed(password))
            self._set(session, role, user, values)
            session.add(user)
            session.flush()
            return account_of(user)

    def update(self, subject: str, values: Mapping[str, Any], password: str | None) -> Account:
        """Change a user."""
        model, role = self._models()
        if password is not None:
            self._require_own_passwords()
        with self._writing() as session:
            _hold_administrators(session, role)
            user = self._held(session, model, subject)
            _refuse_taken(session, model, values, user.id)
            self._set(session, role, user, values)
            if "is_active" in values:
                user.active = values["is_active"]
            if password is not None:
                user.password = _hashed(password)
            session.flush()
            _require_administrator(session, model, role)
            described = account_of(user)
        self._forget()
        return described

    def delete(self, subject: str) -> None:
        """Remove a user."""
        model, role = self._models()
        with self._writing("Airflow's records name this user; make them inactive instead.") as session:
            _hold_administrators(session, role)
            user = self._held(session, model, subject)
            user.roles = []
            session.flush()
            session.delete(user)
            session.flush()
            _require_administrator(session, model, role)
        self._forget()

    def has_password(self, subject: str, password: str) -> bool:
        """Tell whether it is the user's password."""
        from werkzeug.security import check_password_hash

        self._require_own_passwords()
        model, _ = self._models()
        with metadata_session() as session:
            user = session.get(model, _number(subject))
            return bool(user and user.password and check_password_hash(user.password, password))

    def _models(self) -> tuple[Any, Any]:
        manager = self._security_manager()
        return manager.user_model, manager.role_model

    def _require_own_passwords(self) -> None:
        if self._security_manager().auth_type != AUTH_DB:
            raise NotSupported("Airflow does not keep the passwords here; change yours where you sign in.")

    @contextmanager
    def _writing(self, refusal: str = "The username or the email is taken.") -> Iterator[Session]:
        try:
            with metadata_session() as session:
                yield session
        except IntegrityError as error:
            raise Conflict(refusal) from error

    @staticmethod
    def _held(session: Session, model: Any, subject: str) -> Any:
        user = session.get(model, _number(subject), with_for_update=True)
        if user is None:
            raise NotFound("There is no such user any more.")
        return user

    @staticmethod
    def _set(session: Session, role: Any, user: Any, values: Mapping[str, Any]) -> None:
        for name in ("username", "email"):
            if name in values:
                setattr(user, name, values[name])
        if "name" in values:
            user.first_name, _, user.last_name = values["name"].partition(" ")
        if "roles" in values:
            user.roles = _find_roles(session, role, values["roles"])


def _conditions(user: Any, role: Any, filters: Mapping[str, Any]) -> list[Any]:
    found = []
    if "q" in filters:
        text = filters["q"].lower()
        columns = (user.username, user.email, user.first_name + " " + user.last_name)
        found.append(or_(*(func.lower(column).contains(text, autoescape=True) for column in columns)))
    if "is_active" in filters:
        found.append(user.active.is_(filters["is_active"]))
    if "role" in filters:
        found.append(user.roles.any(role.name == filters["role"]))
    return found


def _find_roles(session: Session, role: Any, names: Iterable[str]) -> list[Any]:
    wanted = set(names)
    found = list(session.scalars(select(role).where(role.name.in_(wanted))).unique())
    if unknown := wanted - {one.name for one in found}:
        known = ", ".join(session.scalars(select(role.name).order_by(role.name)))
        raise InvalidInput.field("roles", f"there is no role {min(unknown)!r}; there are {known}.")
    return found


def _refuse_taken(session: Session, model: Any, values: Mapping[str, Any], own_id: int) -> None:
    """Refuse names that differ from another user's in case only: at sign-in they are the same."""
    for name in ("username", "email"):
        if name in values:
            same = func.lower(getattr(model, name)) == values[name].lower()
            if session.scalar(select(model.id).where(same, model.id != own_id).limit(1)) is not None:
                raise Conflict(f"The {name} {values[name]!r} is taken; choose another.")


def _hold_administrators(session: Session, role: Any) -> None:
    """Let nobody else look for the last administrator until this transaction ends, on any database."""
    session.execute(
        update(role).where(role.name == ADMIN).values(name=ADMIN).execution_options(synchronize_session=False)
    )


def _require_administrator(session: Session, model: Any, role: Any) -> None:
    active = select(model.id).where(model.active.is_(True), model.roles.any(role.name == ADMIN))
    if session.scalar(active.limit(1)) is None:
        raise Conflict("That is the last active administrator; make another one first.")


def account_of(user: Any) -> Account:
    """Describe a user of Flask-AppBuilder's."""
    return describe_user(user, {"sub": str(user.id)})


def _number(subject: str) -> int:
    return number_of(subject) or 0


def _hashed(password: str) -> str:
    from flask import current_app
    from werkzeug.security import generate_password_hash

    return generate_password_hash(password, current_app.config.get("FAB_PASSWORD_HASH_METHOD", "scrypt"))
