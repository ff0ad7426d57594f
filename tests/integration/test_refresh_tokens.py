"""Staying signed in: rotation, reuse, and two uses of one token at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Thread

import pytest
from sqlalchemy import text
from sqlalchemy.engine import Engine

from svops_plugin.application.auth import AuthService, Tokens
from svops_plugin.application.ports import Account
from svops_plugin.domain.entities import Json, utcnow
from svops_plugin.domain.errors import NotAuthenticated
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.integration.live import eventually
from tests.integration.support import at_once

ANN = Account(
    claims={"sub": "12"}, username="ann", email="a@b.c", name="Ann", is_active=True, roles=frozenset({"User"})
)


@dataclass
class MemoryAccounts:
    """The port ``Accounts`` over one dictionary."""

    known: dict[str, Account] = field(default_factory=lambda: {"12": ANN})

    def login(self, username: str, password: str) -> Account:
        for account in self.known.values():
            if (account.username, "secret") == (username, password):
                return account
        raise NotAuthenticated("Wrong username or password.")

    def by_token(self, token: str) -> Account:
        return self.known[token]

    def by_claims(self, claims: Json) -> Account | None:
        return self.known.get(claims["sub"])

    def access_token(self, account: Account) -> tuple[str, int]:
        return account.subject, 60

    def revoke(self, access_token: str) -> bool:
        return access_token in self.known


@pytest.fixture
def accounts() -> MemoryAccounts:
    return MemoryAccounts()


@pytest.fixture
def auth(transactions: Callable[[], SqlUnitOfWork], accounts: MemoryAccounts) -> AuthService:
    return AuthService(transactions, accounts)


def refused(auth: AuthService, token: str) -> None:
    with pytest.raises(NotAuthenticated, match="sign in again"):
        auth.refresh(token)


def test_a_token_is_spent_for_a_new_pair(auth: AuthService) -> None:
    first = auth.login("ann", "secret")
    second = auth.refresh(first.refresh_token)
    third = auth.refresh(second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert (third.account.id, third.account.username, third.expires_in) == (12, "ann", 60)


def test_a_spent_token_ends_its_family_and_no_other(auth: AuthService) -> None:
    stolen = auth.login("ann", "secret")
    elsewhere = auth.login("ann", "secret")
    present = auth.refresh(stolen.refresh_token)
    refused(auth, stolen.refresh_token)
    refused(auth, present.refresh_token)
    assert auth.refresh(elsewhere.refresh_token)


@pytest.mark.parametrize("token", ["", "nothing", "é\0", "x" * 10_000])
def test_an_unknown_token(auth: AuthService, token: str) -> None:
    auth.login("ann", "secret")
    refused(auth, token)


def test_an_expired_token(auth: AuthService, engine: Engine) -> None:
    tokens = auth.login("ann", "secret")
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE svops_refresh_token SET expires_at = :past"),
            {"past": str(utcnow() - timedelta(seconds=1))},
        )
    refused(auth, tokens.refresh_token)


def test_tokens_themselves_are_not_kept(auth: AuthService, engine: Engine) -> None:
    tokens = auth.login("ann", "secret")
    with engine.connect() as connection:
        row = str(connection.execute(text("SELECT * FROM svops_refresh_token")).one())
    assert tokens.refresh_token not in row


def test_a_user_who_is_gone(auth: AuthService, accounts: MemoryAccounts) -> None:
    tokens = auth.login("ann", "secret")
    accounts.known.clear()
    refused(auth, tokens.refresh_token)


def test_what_the_user_may_is_read_anew(auth: AuthService, accounts: MemoryAccounts) -> None:
    tokens = auth.login("ann", "secret")
    accounts.known["12"] = replace(ANN, roles=frozenset({"Viewer"}))
    assert auth.refresh(tokens.refresh_token).account.roles == {"Viewer"}


def test_of_two_uses_at_once_exactly_one_wins_and_the_family_ends(auth: AuthService) -> None:
    """Whoever holds a copy shows the same token: nobody can tell which of the two is the thief."""
    for _ in range(5):
        tokens = auth.login("ann", "secret")
        answers = at_once(4, lambda _number: auth.refresh(tokens.refresh_token))  # noqa: B023
        won = [answer for answer in answers if isinstance(answer, Tokens)]
        assert len(won) == 1
        assert all(isinstance(answer, (Tokens, NotAuthenticated)) for answer in answers), answers
        refused(auth, won[0].refresh_token)


ENDS: dict[str, Callable[[AuthService, str], object]] = {
    "everywhere": lambda auth, _: auth.logout(ANN, "12", None),
    "by a second use": refused,
}


@pytest.mark.parametrize("end", ENDS)
def test_a_login_that_ends_while_its_token_is_spent(
    auth: AuthService, accounts: MemoryAccounts, engine: Engine, end: str
) -> None:
    """Who ends it waits for the token's row, and has not seen the new token when it began to."""
    spent = auth.login("ann", "secret").refresh_token
    present = auth.refresh(spent).refresh_token
    ending = Thread(target=ENDS[end], args=(auth, spent))

    def meanwhile(_: Json) -> Account:
        ending.start()
        if engine.dialect.name == "postgresql":
            eventually(lambda: waits_for_a_lock(engine), "the end to wait")
        return ANN

    accounts.by_claims = meanwhile  # type: ignore[method-assign]
    newest = auth.refresh(present).refresh_token
    ending.join()
    refused(auth, newest)


def waits_for_a_lock(engine: Engine) -> bool:
    with engine.connect() as connection:
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return connection.scalar(text(waiting)) is not None


def test_an_actor_is_the_user_with_their_id_and_roles(auth: AuthService) -> None:
    actor = auth.actor(ANN)
    assert (actor.user_id, actor.username, actor.roles) == (12, "ann", {"User"})
