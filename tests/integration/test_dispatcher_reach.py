"""Notifications go to no address out of reach, and tell no secret on the way."""

from __future__ import annotations

import logging

import pytest

from svops_plugin.infrastructure.notifications.guard import Reach
from tests.integration.live import eventually
from tests.integration.receivers import (
    LOOPBACK,
    Answer,
    Mailbox,
    Office,
    Receiver,
    happen,
    mailbox,
    receiver,
)

__all__ = ["mailbox", "receiver"]
SECRET_PATH = "/services/T0SECRET/B0SECRET"  # noqa: S105  # of nothing


class TestPrivateTargets:
    def test_a_redirect_to_a_private_address(self, office: Office, receiver: Receiver) -> None:
        secret = Receiver()
        redirect = Answer(302, {"Location": secret.url("/secret")})
        receiver.answer = lambda _: redirect
        office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.open():
            happen(office, "system.error")
            eventually(lambda: office.attempts("hook"), "an attempt")
        assert "redirects are not followed" in (office.deliveries("hook")[0].last_error or "")
        assert secret.hits == []
        secret.close()

    @pytest.mark.parametrize("channel", ["webhook", "mattermost", "email"])
    def test_a_network_that_is_allowed_no_more(
        self, office: Office, receiver: Receiver, mailbox: Mailbox, channel: str
    ) -> None:
        """As after a change of the setting, or where a name has another address than when it was checked."""
        urls = {
            "webhook": receiver.url(),
            "mattermost": f"mmost://127.0.0.1:{receiver.port}/{'a' * 26}",
            "email": mailbox.url,
        }
        office.tell("hook", channel, urls[channel], "system_error")
        office.reach = Reach()
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
        assert office.standing("hook") == [("system.error", "failed", 1)]
        assert "127.0.0.1 is not public" in (office.deliveries("hook")[0].last_error or "")
        assert receiver.hits == []
        assert mailbox.mails == []

    def test_apprise_follows_no_redirect_out_of_reach(self, office: Office, receiver: Receiver) -> None:
        receiver.answer = lambda _: Answer(307, {"Location": "http://[::1]:9/secret"})
        office.reach = Reach(LOOPBACK)
        office.tell("chat", "mattermost", f"mmost://127.0.0.1:{receiver.port}/{'a' * 26}", "system_error")
        with office.open():
            happen(office, "system.error")
            office.settled("chat")
        assert "::1 is not public" in (office.deliveries("chat")[0].last_error or "")


def test_addresses_and_secrets_are_in_no_log_event_or_repr(
    office: Office, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answer = lambda hit: Answer(500 if len(receiver.at(hit.path)) < 2 else 200)
    hook = office.tell("hook", "webhook", receiver.url(SECRET_PATH), "system_error")
    chat = office.tell(
        "chat", "mattermost", f"mmost://127.0.0.1:{receiver.port}/{'s3cret' * 5}", "system_error"
    )
    with office.open():
        happen(office, "system.error")
        office.settled("hook", "chat")
    logged = "\n".join(f"{record.getMessage()} {record.exc_text or ''}" for record in caplog.records)
    shown = [logged, repr([hook, chat]), *(str(event.data) for event in office.desk.events())]
    shown += [str(one.last_error) for name in ("hook", "chat") for one in office.deliveries(name)]
    for words in shown:
        assert "SECRET" not in words
        assert "s3cret" not in words
        assert "whsec_" not in words
    assert hook.sealed_url is not None
    assert "SECRET" not in hook.sealed_url
