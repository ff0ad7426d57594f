"""Where notifications may go, how they are laid out, and who may read of them."""

from __future__ import annotations

import socket

import pytest
from airflow.models import crypto

from svops_plugin.application.events import may_read
from svops_plugin.application.notification_ports import Notice
from svops_plugin.domain.entities import Event
from svops_plugin.domain.errors import ConfigurationProblem, InvalidInput
from svops_plugin.domain.notifications import WEBHOOK
from svops_plugin.domain.permissions import Actor
from svops_plugin.infrastructure.airflow.fernet import FernetCipher
from svops_plugin.infrastructure.notifications.guard import PrivateTarget, Reach, refused
from svops_plugin.infrastructure.notifications.layout import as_html, as_slack, as_text
from svops_plugin.infrastructure.notifications.targets import CheckedTargets

NOTICE = Notice(
    title="Task 1 (<b>) has failed",
    failed=True,
    facts=[("Because", "@everyone <script>alert(1)</script> & <!here>")],
    links=[("Log", 'http://log/"><i>')],
)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("127.0.0.1", False),
        ("127.9.9.9", False),
        ("0.0.0.0", False),  # noqa: S104  # nothing is bound to it
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:10.1.2.3", False),
        ("::ffff:1.1.1.1", True),
        ("64:ff9b::a01:203", False),
        ("64:ff9b::101:101", True),
        ("64:ff9b:1::a01:203", False),
        ("2002:a01:203::1", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("::10.1.2.3", False),
        ("::1.1.1.1", False),
        ("::ffff:0:a01:203", False),
        ("localhost", False),
        ("/run/some.socket", False),
        ("", False),
    ],
)
def test_what_is_public(address: str, public: bool) -> None:
    assert Reach().allows(address) is public


def test_networks_that_are_named() -> None:
    reach = Reach(["10.1.0.0/16", "fd00::/8"])
    assert reach.allows("10.1.2.3")
    assert reach.allows("::ffff:10.1.2.3")
    assert reach.allows("fd00::1")
    assert not reach.allows("10.2.0.1")
    with pytest.raises(ValueError, match="nothing"):
        Reach(["nothing"])


class TestConnecting:
    @pytest.fixture
    def port(self) -> int:
        """A port of this machine that somebody listens at."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0"])
    def test_a_name_is_judged_by_what_it_becomes(self, port: int, host: str) -> None:
        with Reach().confined(60):
            with pytest.raises(PrivateTarget):
                socket.create_connection((host, port), 5)
            assert "is not public" in (refused() or "")

    def test_what_is_allowed_and_who_is_not_sending(self, port: int) -> None:
        with Reach(["127.0.0.0/8"]).confined(60):
            socket.create_connection(("127.0.0.1", port), 5).close()
        socket.create_connection(("127.0.0.1", port), 5).close()

    def test_what_is_connected_is_cut_off_in_time(self, port: int) -> None:
        with Reach(["127.0.0.0/8"]).confined(0.5) as deadline:
            plain = socket.create_connection(("127.0.0.1", port), 60)
            with socket.socket(fileno=plain.detach()) as taken_over:  # as TLS does
                taken_over.settimeout(60)
                assert taken_over.recv(1) == b""
            assert deadline.is_over
            with pytest.raises(TimeoutError, match="is over"):
                socket.create_connection(("127.0.0.1", port), 60)


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example", ".example"])
def test_an_address_whose_host_can_have_no_such_name(host: str) -> None:
    with pytest.raises(InvalidInput, match="no name of a host") as refusal:
        CheckedTargets(Reach()).check(WEBHOOK, f"https://{host}/x")
    assert list(refusal.value.errors) == ["webhook_url"]


MAIL = "mailtos://svops:pw@mail.example"
CHAT = "tgram://123456789:abcdefg_hijklmnop"
ROOM = "mmosts://chat.example/3ccdd113474722377935511fc85d3dd4"
SLACK_APP = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"


class TestOneRecipientEach:
    """With Apprise's own plugins: of two, the one that was told is told again while the other cannot be."""

    @pytest.mark.parametrize(
        ("channel", "url"),
        [
            ("email", f"{MAIL}?to=a@svops.example,b@svops.example"),
            ("email", f"{MAIL}/a@svops.example/b@svops.example"),
            ("telegram", f"{CHAT}/12315544/12315545"),
            ("mattermost", f"{ROOM}?channels=one,two"),
            ("slack", f"{SLACK_APP}/one/two"),
            ("ntfy", "ntfys://ntfy.example/one/two"),
            ("matrix", "matrixs://svops:pw@matrix.example/%23one/%23two"),
            ("matrix", "matrixs://svops:pw@matrix.example"),
        ],
    )
    def test_several_are_refused(self, channel: str, url: str) -> None:
        with pytest.raises(InvalidInput, match="one config") as refusal:
            CheckedTargets(Reach()).check(channel, url)
        assert list(refusal.value.errors) == ["webhook_url"]

    @pytest.mark.parametrize(
        ("channel", "url"),
        [
            ("email", f"{MAIL}?to=a@svops.example"),
            ("email", f"{MAIL}?to=a@svops.example&cc=b@svops.example"),
            ("telegram", f"{CHAT}/12315544"),
            ("mattermost", ROOM),
            ("mattermost", f"{ROOM}?channels=one"),
            ("slack", SLACK_APP),
            ("ntfy", "ntfys://ntfy.example/one"),
            ("matrix", "matrixs://svops:pw@matrix.example/%23one"),
            ("discord", "https://discord.com/api/webhooks/4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"),
        ],
    )
    def test_one_is_not(self, channel: str, url: str) -> None:
        assert CheckedTargets(Reach()).check(channel, url).endswith("****")


@pytest.mark.parametrize("parameter", ["template=/etc/passwd", "retry=3", "rto=3600", "cto=3600"])
@pytest.mark.parametrize("lead", ["?", "?a=b&", "?a=b;", "#?", "?%20"])
def test_what_an_address_may_not_say_to_apprise(lead: str, parameter: str) -> None:
    url = f"ntfys://ntfy.example/one{lead}{parameter}"
    with pytest.raises(InvalidInput, match=f"parameter {parameter.partition('=')[0]} is not allowed"):
        CheckedTargets(Reach()).check("ntfy", url)


def test_without_a_key_no_secret_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Airflow has instead of a key returns what it is given: that would be taken for an address."""
    sealed = FernetCipher().encrypt("https://hooks.example/x")
    plain = vars(crypto)["_NullFernet" if hasattr(crypto, "_NullFernet") else "NullFernet"]
    monkeypatch.setattr(crypto, "get_fernet", plain)
    with pytest.raises(ConfigurationProblem, match="fernet_key"):
        FernetCipher().decrypt(sealed)


class TestLayout:
    def test_mail_escapes_everything(self) -> None:
        laid_out = as_html(NOTICE, "msg_1")
        assert "<script>" not in laid_out
        assert "<b>" not in laid_out
        assert "<i>" not in laid_out
        assert "msg_1" in laid_out

    def test_text_calls_nobody(self) -> None:
        laid_out = as_text(NOTICE, "msg_1", 1000)
        assert "@everyone" not in laid_out
        assert laid_out.splitlines()[-1] == "Delivery: msg_1"

    @pytest.mark.parametrize("longest", [400, 1000, 1024, 2000, 100_000])
    def test_facts_give_way_for_links(self, longest: int) -> None:
        facts = [("Because", "@all " * 200), ("Source", "main"), ("Metrics", "m" * 1000)]
        links = [("Log", "http://log"), ("Page", "p" * 200)]
        laid_out = as_text(Notice("t", failed=True, facts=facts, links=links), "msg_1", longest)
        assert len(laid_out) <= longest
        assert laid_out.count("…") == (2 if longest < 100_000 else 0)
        assert longest == 100_000 or len(laid_out) > longest - 3
        assert laid_out.splitlines()[1] == "Source: main"
        assert laid_out.endswith(f"\nLog: http://log\nPage: {'p' * 200}\nDelivery: msg_1")

    def test_links_stay_where_there_is_no_room(self) -> None:
        assert as_text(NOTICE, "msg_1", 10) == 'Because: …\nLog: http://log/"><i>\nDelivery: msg_1'

    def test_slack_finds_nothing_to_call_or_link(self) -> None:
        text = str(as_slack(NOTICE, "msg_1"))
        assert "<!here>" not in text
        assert "<script>" not in text

    def test_without_links_there_is_no_empty_block(self) -> None:
        bare = Notice(title="t", failed=False)
        assert len(as_slack(bare, "msg_1")["blocks"]) == 2


@pytest.mark.parametrize("kind", ["notification.created", "webhook.received"])
@pytest.mark.parametrize(("role", "allowed"), [("Admin", True), ("Op", True), ("User", False)])
def test_who_may_read_of_notifications(kind: str, role: str, allowed: bool) -> None:
    assert may_read(Actor(9, "somebody", frozenset({role})), Event(type=kind, user_id=5)) is allowed
