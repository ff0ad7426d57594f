"""Signing in: access tokens are the host's, refresh tokens are SVOps' own.

Refresh tokens are opaque, stored as SHA-256 digests and rotated at each use; a spent one shown again
ends every token of its login (OAuth 2.0 Security Best Current Practice, RFC 9700, section 4.14.2).
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from datetime import timedelta

from svops_plugin.application.ports import Account, Accounts, Transactions, UnitOfWork
from svops_plugin.domain.entities import RefreshToken, User, utcnow
from svops_plugin.domain.errors import NotAuthenticated
from svops_plugin.domain.permissions import Actor

REFRESH_LIFETIME = timedelta(days=14)


@dataclass(frozen=True)
class Tokens:
    """A fresh pair of tokens and whose they are; ``expires_in`` in seconds, of the access token."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_in: int
    account: Account


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class AuthService:
    """Use cases of signing in and staying so."""

    def __init__(self, transactions: Transactions, accounts: Accounts) -> None:
        self._transactions = transactions
        self._accounts = accounts
        self._ids: dict[tuple[str, str], int] = {}  # ids never change, and every request needs one

    def login(self, username: str, password: str) -> Tokens:
        """Sign in.

        :raises NotAuthenticated: if the credentials are nobody's
        """
        account = self._accounts.login(username, password)
        refresh_token = secrets.token_urlsafe(32)
        with self._transactions() as uow:
            user = _keep(uow, account, refresh_token, family=secrets.token_hex(16))
        return self._tokens(replace(account, id=user.id), refresh_token)

    def refresh(self, token: str) -> Tokens:
        """Spend a refresh token for a new pair.

        :raises NotAuthenticated: if it is unknown, spent, revoked or expired, or its user is gone
        """
        account, user, new = None, None, secrets.token_urlsafe(32)
        with self._transactions() as uow:
            held = uow.users.refresh_token(_digest(token))
            if held is not None and held.revoked_at is None and held.expires_at > utcnow():
                if held.spent_at is not None:
                    uow.users.revoke_family(held.family)
                elif account := self._accounts.by_claims(held.claims):
                    # One transaction, so that a family that is ended by a second use ends with this token.
                    held.spent_at = utcnow()
                    user = _keep(uow, account, new, held.family)
        if account is None or user is None:
            raise NotAuthenticated("The refresh token is not valid any more; sign in again.")
        return self._tokens(replace(account, id=user.id), new)

    def logout(self, account: Account, access_token: str, refresh_token: str | None) -> bool:
        """End the access token, and the refresh tokens of one login; without one of them, of every login.

        :returns: whether the access token has ended
        """
        actor = self.actor(account)
        with self._transactions() as uow:
            held = uow.users.refresh_token(_digest(refresh_token)) if refresh_token else None
            if held is not None and held.user_id == actor.user_id:
                uow.users.revoke_family(held.family)
            else:
                uow.users.revoke_all(actor.user_id or 0)
        return self._accounts.revoke(access_token)

    def actor(self, account: Account) -> Actor:
        """Return the account as somebody who asks for something."""
        known = (account.subject, account.username)
        if known not in self._ids:
            with self._transactions() as uow:
                self._ids[known] = uow.users.identify(*known).id
        return Actor(self._ids[known], account.username, account.roles)

    def _tokens(self, account: Account, refresh_token: str) -> Tokens:
        access_token, expires_in = self._accounts.access_token(account)
        return Tokens(access_token, refresh_token, expires_in, account)


def _keep(uow: UnitOfWork, account: Account, refresh_token: str, family: str) -> User:
    """Write a new refresh token, and return whose it is."""
    user = uow.users.identify(account.subject, account.username)
    uow.users.add_refresh_token(
        RefreshToken(
            digest=_digest(refresh_token),
            family=family,
            user_id=user.id,
            claims=account.claims,
            expires_at=utcnow() + REFRESH_LIFETIME,
        )
    )
    return user
