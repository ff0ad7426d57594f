"""Targets that are slow: they hold up nobody else, and nobody for ever."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from svops_plugin.application import dispatcher as dispatching
from svops_plugin.application.notification_ports import NotDelivered, Notice, Outgoing
from svops_plugin.infrastructure.notifications import sender
from svops_plugin.infrastructure.notifications.guard import Reach
from svops_plugin.infrastructure.notifications.sender import ChannelSender
from tests.integration.live import PATIENCE, eventually
from tests.integration.receivers import LOOPBACK, Answer, Hit, Office, Receiver, happen, receiver

__all__ = ["receiver"]

HTTP, SMTP = b"HTTP/1.1 200 OK\r\nX-Drop: ", b"220-"
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
    monkeypatch.setattr(sender, "SECONDS", 1.0)
    monkeypatch.setattr(sender, "APPRISE_SECONDS", 1.0)
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
    monkeypatch.setattr(sender, "SECONDS", 120.0)  # slower than this machine may be
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
