"""Users' ids, and who of several processes may act."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from svops_plugin.domain.entities import (
    User,
)
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from tests.integration.support import at_once

Transactions = Callable[[], SqlUnitOfWork]
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


class TestUsers:
    def identify(self, transactions: Transactions, subject: str, username: str) -> User:
        with transactions() as uow:
            return uow.users.identify(subject, username)

    def test_an_integer_subject_is_the_id(self, transactions: Transactions) -> None:
        assert self.identify(transactions, "41", "ann").id == 41
        assert self.identify(transactions, "7", "bob").id == 7
        assert self.identify(transactions, "41", "ann").id == 41

    def test_other_subjects_get_the_next_free_id(self, transactions: Transactions) -> None:
        assert self.identify(transactions, "ann@example", "ann").id == 1
        assert self.identify(transactions, "9", "bob").id == 9
        assert self.identify(transactions, "carl@example", "carl").id == 10
        assert self.identify(transactions, "ann@example", "ann").id == 1

    @pytest.mark.timeout(20)
    def test_an_integer_subject_whose_id_is_taken(self, transactions: Transactions) -> None:
        """As after a change of the auth manager."""
        ann = self.identify(transactions, "ann@example", "ann")
        other = self.identify(transactions, str(ann.id), "one")
        assert other.id != ann.id
        assert self.identify(transactions, str(ann.id), "one").id == other.id

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("subject", ["٣", "²", "0", "9" * 40, "007", "-1", "admin", "é"])
    def test_any_subject_is_somebody(self, transactions: Transactions, subject: str) -> None:
        one = self.identify(transactions, subject, "name")
        assert self.identify(transactions, subject, "name").id == one.id

    def test_a_new_name_is_noticed(self, transactions: Transactions) -> None:
        self.identify(transactions, "3", "old")
        self.identify(transactions, "3", "new")
        with transactions() as uow:
            assert uow.users.named("old") is None
            found = uow.users.named("new")
            assert found is not None
            assert found.id == 3

    def test_a_name_is_of_who_has_it_now(self, transactions: Transactions) -> None:
        before = self.identify(transactions, "5", "ann").id
        with transactions() as uow:
            uow.users.retire(before)
        now = self.identify(transactions, "9", "ann").id
        with transactions() as uow:
            found = uow.users.named("ann")
        assert found is not None
        assert found.id == now != before

    @pytest.mark.parametrize("subject", ["5", "ann@example"])
    def test_many_at_once_are_the_same_user(self, transactions: Transactions, subject: str) -> None:
        ids = at_once(8, lambda _: self.identify(transactions, subject, "ann").id)
        assert set(ids) == {5 if subject == "5" else 1}

    def test_many_new_users_at_once_get_ids_of_their_own(self, transactions: Transactions) -> None:
        ids = at_once(8, lambda number: self.identify(transactions, f"user{number}@example", "u").id)
        assert sorted(ids) == list(range(1, 9))  # type: ignore[type-var]  # none is an exception, or this fails


class TestLeases:
    def acquire(self, transactions: Transactions, holder: str, seconds: float = 60) -> bool:
        with transactions() as uow:
            return uow.leases.acquire("monitor", holder, seconds)

    def test_one_holder_at_a_time(self, transactions: Transactions) -> None:
        assert self.acquire(transactions, "a")
        assert not self.acquire(transactions, "b")
        assert self.acquire(transactions, "a")

    def test_an_expired_lease_is_anybodys(self, transactions: Transactions) -> None:
        assert self.acquire(transactions, "a", -1)
        assert self.acquire(transactions, "b")
        assert not self.acquire(transactions, "a")

    def test_keeping_prolongs(self, transactions: Transactions) -> None:
        assert self.acquire(transactions, "a", -1)
        assert self.acquire(transactions, "a", 60)
        assert not self.acquire(transactions, "b")

    def test_of_many_at_once_one_gets_it(self, transactions: Transactions) -> None:
        answers = at_once(8, lambda number: self.acquire(transactions, str(number)))
        assert sorted(map(str, answers)) == ["False"] * 7 + ["True"]

    def test_of_many_at_once_one_takes_over(self, transactions: Transactions) -> None:
        self.acquire(transactions, "dead", -1)
        answers = at_once(8, lambda number: self.acquire(transactions, str(number)))
        assert sorted(map(str, answers)) == ["False"] * 7 + ["True"]

    def test_leases_have_names(self, transactions: Transactions) -> None:
        assert self.acquire(transactions, "a")
        with transactions() as uow:
            assert uow.leases.acquire("other", "b", 60)
