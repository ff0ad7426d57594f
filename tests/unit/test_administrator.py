"""How the local stack comes to its administrator."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from svops_plugin.presentation.cli.stack import prepare


def test_one_who_was_made_inactive_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can sign in as them, and no token is signed for them."""
    users = SimpleNamespace(find_user=lambda username: SimpleNamespace(id=1, username=username))
    accounts = SimpleNamespace(by_claims=lambda _: None, access_token=lambda account: (account.subject, 60))
    monkeypatch.setattr(prepare, "get_application_builder", lambda: nullcontext(SimpleNamespace(sm=users)))
    monkeypatch.setattr(prepare, "services", lambda: SimpleNamespace(accounts=accounts))
    with pytest.raises(SystemExit, match="The user admin is inactive"):
        prepare.ensure_administrator("secret", reset=False)
