"""Targets that are slow, which hold up nobody else and nobody for ever, or that want to be left alone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from svops_plugin.application import dispatcher as dispatching
from svops_plugin.application.dispatcher import Dispatcher
from svops_plugin.application.notification_ports import NotDelivered, Notice, Outgoing
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.infrastructure.notifications import sender
from svops_plugin.infrastructure.notifications.guard import Reach
from svops_plugin.infrastructure.notifications.sender import ChannelSender
from tests.integration.live import PATIENCE, eventually
from tests.integration.receivers import LOOPBACK, Answer, Hit, Office, Receiver, happen, receiver

__all__ = ["receiver"]

HTTP, SMTP = b"HTTP/1.1 ", b"220-"
MAIL = "mailto://127.0.0.1:{}?to=ops@svops.example&from=svops@svops.example&smtp=127.0.0.1"


class Drip:
    """A server that says a little now and then, and does not come to an end by itself for a long time."""

    def __init__(self, beginning: bytes) -> None:
        self.cut_off = threading.Event()
        self._beginning = beginning
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def _serve(self) -> None:
        with self._server, self._server.accept()[0] as connection:
            try:
                connection.sendall(self._beginning)
                for _ in range(300):
                    connection.sendall(b"x")
                    time.sleep(0.1)
            except OSError:
                self.cut_off.set()


@pytest.mark.parametrize(
    ("channel", "url", "beginning"),
    [
        ("webhook", "http://127.0.0.1:{}/", HTTP),
        ("mattermost", f"mmost://127.0.0.1:{{}}/{'a' * 26}", HTTP),
        ("email", MAIL, SMTP),
    ],
)
def test_a_target_that_drips_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, channel: str, url: str, beginning: bytes
) -> None:
    monkeypatch.setattr(sender, "ALL_SECONDS", 1.0)
    drip = Drip(beginning)
    outgoing = Outgoing(
        channel=channel,
        message_id="msg_1",
        notice=Notice("title", failed=False),
        body="{}",
        url=url.format(drip.port),
        secret=None,
    )
    with pytest.raises(NotDelivered, match=r"It did not answer within 1 s\."):
        ChannelSender(Reach(LOOPBACK)).send(outgoing)
    assert drip.cut_off.wait(PATIENCE)


def test_five_slow_targets_leave_room_for_a_sixth(
    office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SECONDS", "ALL_SECONDS"):
        monkeypatch.setattr(sender, name, 120.0)  # slower than this machine may be
    monkeypatch.setattr(dispatching, "SLOW", 0.2)
    release = threading.Event()

    def answer(hit: Hit) -> Answer:
        if hit.path != "/quick":
            first = len(receiver.at(hit.path)) == 1
            release.wait(0.5 if first else 120)
        return Answer()

    receiver.answer = answer
    slow = [f"slow{number}" for number in range(5)]
    for name in (*slow, "quick"):
        office.tell(name, "webhook", receiver.url(f"/{name}"), "system_error")
    with office.open():
        happen(office, "system.error")
        office.settled(*slow, "quick")
        happen(office, *["system.error"] * 20)
        eventually(lambda: len(receiver.at("/quick")) == 21, "those of the quick one")
        eventually(lambda: all(len(receiver.at(f"/{name}")) > 1 for name in slow), "those of the slow ones")
        assert [len(receiver.at(f"/{name}")) for name in slow] == [2] * 5
        release.set()
        office.settled(*slow, "quick")
    assert [len(receiver.at(f"/{name}")) for name in (*slow, "quick")] == [21] * 6


class TestLeftAlone:
    """A target that has answered ``Retry-After``: one delivery waits to be tried again, one to be tried."""

    @pytest.fixture
    def dispatcher(self, office: Office, receiver: Receiver) -> Iterator[Dispatcher]:
        with office.open() as dispatcher:
            office.tell("hook", "webhook", receiver.url(), "system_error", "workflow_started")
            happen(office, "workflow.started")
            office.settled("hook")
            receiver.answer = lambda _: Answer(429, {"Retry-After": "3000"})
            happen(office, "system.error")
            eventually(lambda: len(receiver.hits) == 2, "the refusal")
            eventually(lambda: office.standing("hook")[1:] == [("system.error", "pending", 1)], "its end")
            happen(office, "system.error")
            eventually(lambda: len(office.standing("hook")) == 3, "the delivery behind")
            dispatcher._start_due()
            assert office.standing("hook")[2] == ("system.error", "pending", 0)
            receiver.answer = lambda _: Answer()
            yield dispatcher

    @pytest.mark.usefixtures("dispatcher")
    def test_the_deliveries_say_so(self, office: Office) -> None:
        said = office.deliveries("hook")[1].last_error
        assert said == "It answered 429. It wants to be left alone for 3000 s."

    @pytest.mark.usefixtures("dispatcher")
    def test_a_corrected_address_is_used_at_once(self, office: Office, receiver: Receiver) -> None:
        office.service.update(OPERATOR, "hook", {"webhook_url": receiver.url("/new")})
        office.settled("hook")
        assert [one[2] for one in office.standing("hook")] == [1, 2, 1]
        assert (len(receiver.at("/hook")), len(receiver.at("/new"))) == (2, 2)

    def test_what_is_sent_again_on_request_does_not_wait(
        self, office: Office, receiver: Receiver, dispatcher: Dispatcher
    ) -> None:
        first = office.deliveries("hook")[0]
        office.service.redeliver(OPERATOR, "hook", first.id)
        eventually(lambda: len(receiver.hits) == 3, "the first one, again")
        eventually(lambda: office.standing("hook")[0][1] == "delivered", "its end")
        dispatcher._start_due()
        assert receiver.hits[2].id == first.message_id
        assert [one[1:] for one in office.standing("hook")[1:]] == [("pending", 1), ("pending", 0)]

    @pytest.mark.usefixtures("dispatcher")
    def test_a_test_does_not_wait_and_ends_it(self, office: Office) -> None:
        office.service.test(OPERATOR, "hook")
        done = [("pending", 1), ("delivered", 1), ("delivered", 1)]
        eventually(lambda: [one[1:] for one in office.standing("hook")[1:]] == done, "the test and the other")

    def test_what_a_dag_asks_for_waits(
        self, office: Office, receiver: Receiver, dispatcher: Dispatcher
    ) -> None:
        office.service.request("hook", "It is done", "", "my_dag")
        eventually(lambda: len(office.standing("hook")) == 4, "its delivery")
        dispatcher._start_due()
        assert office.standing("hook")[3] == ("notification.requested", "pending", 0)
        assert len(receiver.hits) == 2


def test_an_address_that_is_corrected_during_the_attempt(office: Office, receiver: Receiver) -> None:
    """What the old one answers then is no reason to wait with the new one."""

    def answer(hit: Hit) -> Answer:
        if hit.path == "/new":
            return Answer()
        office.service.update(OPERATOR, "hook", {"webhook_url": receiver.url("/new")})
        return Answer(429, {"Retry-After": "3000"})

    receiver.answer = answer
    office.tell("hook", "webhook", receiver.url(), "system_error")
    with office.open():
        happen(office, "system.error")
        office.settled("hook")
    assert office.standing("hook") == [("system.error", "delivered", 2)]
