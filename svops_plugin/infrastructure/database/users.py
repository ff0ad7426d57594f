"""The repository of users and their refresh tokens."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from svops_plugin.domain.entities import LARGEST_ID, RefreshToken, User, utcnow
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.database.statements import insert_missing


class SqlUsers:
    """SVOps' integer ids of the auth manager's users, and their refresh tokens."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def identify(self, subject: str, username: str) -> User:
        """Return the user with this subject, registering a new one.

        An auth manager whose subjects are integers (Flask-AppBuilder's) lends its own ids, so that a user has
        one id everywhere; the others' users, and those whose id another manager's user has, get the next one.
        """
        while True:
            found = self.session.scalars(select(User).where(tables.user.c.subject == subject)).first()
            if found is not None:
                found.username = username
                return found
            user_id = int(subject) if subject.isascii() and subject.isdigit() else 0
            if not 0 < user_id <= LARGEST_ID or self.session.get(User, user_id) is not None:
                user_id = int(self.session.scalar(select(func.max(tables.user.c.id))) or 0) + 1
            insert_missing(
                self.session, tables.user, {"id": user_id, "subject": subject, "username": username}
            )

    def get(self, user_id: int) -> User | None:
        """Return the user with this id, if SVOps has met them."""
        return self.session.get(User, user_id) if 0 < user_id <= LARGEST_ID else None

    def named(self, username: str) -> User | None:
        """Return the user with this name, if SVOps has met them; who had it before has an older id."""
        found = select(User).where(tables.user.c.username == username).order_by(tables.user.c.id.desc())
        return self.session.scalars(found).first()

    def retire(self, user_id: int) -> None:
        """Keep the id for good: SQLite gives a deleted user's to the next one."""
        self.session.execute(
            update(tables.user).where(tables.user.c.id == user_id).values(subject=f"deleted {user_id}")
        )

    def add_refresh_token(self, token: RefreshToken) -> None:
        """Write a new refresh token."""
        self.session.add(token)

    def refresh_token(self, digest: str) -> RefreshToken | None:
        """Return the token with this digest, its row held."""
        query = select(RefreshToken).where(tables.refresh_token.c.digest == digest).with_for_update()
        return self.session.scalars(query).first()

    def revoke_family(self, family: str) -> None:
        """End every refresh token that descends from the same login."""
        self._revoke(tables.refresh_token.c.family == family)

    def revoke_all(self, user_id: int) -> None:
        """End every refresh token of a user."""
        self._revoke(tables.refresh_token.c.user_id == user_id)

    def _revoke(self, whose: ColumnElement[bool]) -> None:
        """End tokens until none is left: one that is being spent has a successor not seen at first."""
        c = tables.refresh_token.c
        ending = update(tables.refresh_token).where(whose, c.revoked_at.is_(None)).values(revoked_at=utcnow())
        while self.session.execute(ending).rowcount:  # type: ignore[attr-defined]  # a cursor result
            pass
