"""Notifications on their way: to a real HTTP receiver and a real SMTP server."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from svops_plugin.application import dispatcher as dispatching
from svops_plugin.domain.entities import Event, Execution, utcnow
from svops_plugin.domain.errors import Conflict, NotFound
from svops_plugin.domain.notifications import NOTIFICATION_TYPES
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.infrastructure.airflow.fernet import FernetCipher
from svops_plugin.infrastructure.notifications import sender
from tests.integration.desk import CHAIN, Desk, cause
from tests.integration.live import eventually
from tests.integration.receivers import (
    Answer,
    Hit,
    Mailbox,
    Office,
    Receiver,
    happen,
    mailbox,
    receiver,
)

__all__ = ["mailbox", "receiver"]


@pytest.fixture
def at_once_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another attempt follow soon."""
    monkeypatch.setattr(dispatching, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(dispatching, "LONGEST_DELAY", 0.05)


def complete(desk: Desk, name: str) -> Execution:
    """Let a chain go through."""
    execution = desk.execute(desk.new_task(name))
    for position, dag_id in enumerate(CHAIN, start=1):
        run = desk.begin(execution, position)
        desk.airflow.set(dag_id, run.dag_run_id, "success")
    desk.controller.complete(execution.controller_run_id)
    return execution


def fail(desk: Desk, name: str) -> Execution:
    """Let the first step of a chain fail."""
    execution = desk.execute(desk.new_task(name))
    desk.begin(execution, 1)
    desk.controller.fail(execution.controller_run_id, cause(CHAIN[0], "no such <b>file</b>"), 1)
    return execution


class TestChains:
    def test_a_failing_and_a_completing_one(
        self, office: Office, receiver: Receiver, mailbox: Mailbox
    ) -> None:
        both = ("task_failed", "task_completed")
        office.tell("hook", "webhook", receiver.url(), *both)
        office.tell("chat", "slack", receiver.url("/slack"), *both)
        office.tell("mail", "email", mailbox.url, *both)
        with office.open():
            failed, completed = fail(office.desk, "one & only"), complete(office.desk, "two")
            office.settled("hook", "chat", "mail")
        told = [("task.failed", "delivered", 1), ("task.completed", "delivered", 1)]
        assert [office.standing(name) for name in ("hook", "chat", "mail")] == [told, told, told]
        hooks = {hit.json["type"]: hit.json for hit in receiver.at("/hook")}
        assert len(receiver.at("/hook")) == len(receiver.at("/slack")) == len(mailbox.mails) == 2
        assert hooks["task.failed"]["data"]["error"]["message"] == "no such <b>file</b>"
        run = office.desk.airflow.run_url("svops_controller", failed.controller_run_id)
        page = f"http://airflow.example/svops/tasks/{failed.task_id}"
        assert hooks["task.failed"]["links"] == {"log": "http://log", "page": page, "run": run}
        assert hooks["task.completed"]["execution_id"] == completed.id

    def test_a_mail_says_what_happened_to_what_and_why(self, office: Office, mailbox: Mailbox) -> None:
        office.tell("mail", "email", mailbox.url, "task_failed")
        with office.open():
            execution = fail(office.desk, "one & <i>only</i>")
            office.settled("mail")
        (mail,) = mailbox.mails
        assert f"Task {execution.task_id} (one & <i>only</i>) has failed" in mail["Subject"]
        content = mail.get_body(("html",)).get_content()  # type: ignore[attr-defined]  # of email's new policy
        assert "one &amp; &lt;i&gt;only&lt;/i&gt;" in content
        assert "prepare/load_data" in content
        assert "no such &lt;b&gt;file&lt;/b&gt;" in content
        assert 'href="http://log"' in content
        assert "<b>" not in content
        assert office.deliveries("mail")[0].message_id in content

    def test_slack_gets_blocks_that_call_nobody(self, office: Office, receiver: Receiver) -> None:
        office.tell("chat", "slack", receiver.url(), "task_failed")
        with office.open():
            fail(office.desk, "<!channel>")
            office.settled("chat")
        (hit,) = receiver.hits
        assert [block["type"] for block in hit.json["blocks"]] == ["section", "section", "section", "context"]
        assert "<!channel>" not in hit.body.decode()
        assert "&lt;!channel&gt;) has failed" in hit.json["text"]
        assert "<http://log|Log>" in hit.json["blocks"][2]["text"]["text"]


class TestWhatIsTold:
    def test_a_long_message_keeps_its_links(self, office: Office, receiver: Receiver) -> None:
        """With a real service of Apprise's, which would cut off the end."""
        receiver.answer = lambda _: Answer(200)  # Mattermost's own
        office.tell("chat", "mattermost", f"mmost://127.0.0.1:{receiver.port}/{'a' * 26}", "system_error")
        error = {"dag_id": "b" * 1000, "message": "c" * 1000, "log_url": "http://log"}
        data = {"component": "c", "customer": "a" * 1000, "branch_name": "d" * 1000, "error": error}
        with office.open():
            with office.desk.transactions() as uow:
                uow.record(Event(type="system.error", data=data))
            office.settled("chat")
        text = receiver.hits[0].json["text"]
        assert 3900 < len(text) <= 4000
        assert f"\nLog: http://log\nDelivery: {office.deliveries('chat')[0].message_id}" in text

    def test_signed_by_the_standard(self, office: Office, receiver: Receiver) -> None:
        made = office.service.create(
            OPERATOR,
            {
                "name": "hook",
                "channel": "webhook",
                "webhook_url": receiver.url(),
                "notification_types": ["system_error"],
            },
        )
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
        (hit,) = receiver.hits
        assert made.secret is not None
        assert Webhook(made.secret).verify(hit.body, hit.headers)["type"] == "system.error"
        assert hit.id == office.deliveries("hook")[0].message_id

    def test_every_type_once(self, office: Office, receiver: Receiver) -> None:
        office.tell("all", "webhook", receiver.url("/all"), *NOTIFICATION_TYPES.values())
        office.tell("some", "webhook", receiver.url("/some"), "workflow_started", "system_error")
        made = list(NOTIFICATION_TYPES)
        with office.open():
            happen(office, *made, "task.created", "workflow.progress", "notification.sent")
            office.settled("all", "some")
        assert sorted(hit.json["type"] for hit in receiver.at("/all")) == sorted(made)
        assert {hit.json["type"] for hit in receiver.at("/some")} == {"workflow.started", "system.error"}

    def test_filters_hold_together(self, office: Office, receiver: Receiver) -> None:
        mine, other = office.desk.new_task("mine", tags=["night"]), office.desk.new_task("other")
        named = {"filters": {"task_id": mine.id}}
        for name, values in {
            "task": named,
            "tag": {"filters": {"tag": "night"}},
            "customer": {"filters": {"customer": "acme"}},
            "nobody": {"filters": {"customer": "acme", "tag": "day"}},
            "creator": {"filters": {"creator_id": 9}},
        }.items():
            office.tell(name, "webhook", receiver.url(f"/{name}"), "workflow_failed", **values)
        with office.desk.transactions() as uow:
            for task, owner in ((mine, 9), (other, 8)):
                data = {"dag_id": "d", "dag_run_id": "r"}
                uow.record(Event(type="workflow.failed", task_id=task.id, user_id=owner, data=data))
        with office.open():
            office.settled("task", "tag", "customer", "nobody", "creator")
        told = {
            name: sorted(hit.json["task_id"] for hit in receiver.at(f"/{name}"))
            for name in ("task", "tag", "customer", "nobody", "creator")
        }
        assert told == {
            "task": [mine.id],
            "tag": [mine.id],
            "customer": [mine.id, other.id],
            "nobody": [],
            "creator": [mine.id],
        }

    def test_nothing_of_before_and_nothing_of_meanwhile(self, office: Office, receiver: Receiver) -> None:
        happen(office, "system.error")
        office.tell("hook", "webhook", receiver.url(), "system_error")
        (first,) = happen(office, "system.error")
        with office.open():
            office.settled("hook")
            office.service.update(OPERATOR, "hook", {"enabled": False})
            happen(office, "system.error")
            office.service.update(OPERATOR, "hook", {"enabled": True})
            (second,) = happen(office, "system.error")
            office.settled("hook")
        assert [hit.json["id"] for hit in receiver.hits] == [first, second]

    def test_what_a_dag_asks_for(self, office: Office, receiver: Receiver) -> None:
        office.tell("hook", "webhook", receiver.url())
        office.tell("other", "webhook", receiver.url("/other"), "system_error")
        with office.open():
            office.service.request("hook", "It is done", "all of it", "my_dag", "http://log")
            office.service.test(OPERATOR, "hook")
            office.settled("hook", "other")
        first, second = sorted((hit.json for hit in receiver.hits), key=lambda told: told["id"])
        assert first["data"]["title"] == "It is done"
        assert first["links"] == {"log": "http://log"}
        assert "test" in second["data"]["title"]
        with pytest.raises(NotFound):
            office.service.request("nothing", "", "", "my_dag")
        office.service.update(OPERATOR, "hook", {"enabled": False})
        with pytest.raises(Conflict, match="disabled"):
            office.service.test(OPERATOR, "hook")


@pytest.mark.usefixtures("at_once_again")
class TestTrouble:
    def test_again_until_it_arrives_under_one_id(self, office: Office, receiver: Receiver) -> None:
        answers = iter([500, 503, 429, 204])
        receiver.answer = lambda _: Answer(next(answers))
        office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
        assert office.standing("hook") == [("system.error", "delivered", 4)]
        assert len({hit.id for hit in receiver.hits}) == 1
        assert len({hit.body for hit in receiver.hits}) == 1
        assert [event.type for event in office.desk.events()].count("notification.sent") == 1

    def test_given_up_at_last_and_sent_again_when_asked(
        self, office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dispatching, "MOST_ATTEMPTS", 3)
        receiver.answer = lambda _: Answer(500)
        office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
            (delivery,) = office.deliveries("hook")
            assert (str(delivery.status), delivery.attempts) == ("failed", 3)
            assert delivery.last_error == "It answered 500."
            (told,) = [one for one in office.desk.events() if one.type == "notification.failed"]
            assert told.data["message"] == "It answered 500."
            receiver.answer = lambda _: Answer(200)
            office.service.redeliver(OPERATOR, "hook", delivery.id)
            office.settled("hook")
        assert office.standing("hook") == [("system.error", "delivered", 1)]
        assert {hit.id for hit in receiver.hits} == {delivery.message_id}

    def test_gone_is_gone(self, office: Office, receiver: Receiver) -> None:
        receiver.answer = lambda _: Answer(410)
        office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
        assert office.standing("hook") == [("system.error", "failed", 1)]

    @pytest.mark.parametrize("seconds", ["3000", "date"])
    def test_a_target_that_wants_to_be_left_alone(
        self, office: Office, receiver: Receiver, seconds: str
    ) -> None:
        later = utcnow() + timedelta(seconds=3000)
        said = later.strftime("%a, %d %b %Y %H:%M:%S GMT") if seconds == "date" else seconds
        receiver.answer = lambda _: Answer(429, {"Retry-After": said})
        office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.open() as dispatcher:
            happen(office, "system.error")
            eventually(lambda: office.standing("hook") == [("system.error", "pending", 1)], "an attempt")
            happen(office, "system.error")
            eventually(lambda: len(office.standing("hook")) == 2, "the second delivery")
            dispatcher._start_due()
        assert len(receiver.hits) == 1
        (first, second) = office.deliveries("hook")
        assert abs(first.next_attempt_at - later) < timedelta(seconds=60)
        assert second.attempts == 0

    def test_a_target_that_is_down(self, office: Office, receiver: Receiver) -> None:
        url = receiver.url()
        receiver.close()
        office.tell("hook", "webhook", url, "system_error")
        with office.open():
            happen(office, "system.error")
            eventually(lambda: office.attempts("hook") > 2, "some attempts")
        assert "could not be reached" in (office.deliveries("hook")[0].last_error or "")

    @pytest.mark.parametrize(
        "said", ["Wed, 21 Oct 2015 07:28:00 +99999999999999999999", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"]
    )
    def test_a_wait_that_cannot_be_is_not_waited_for(
        self, office: Office, receiver: Receiver, said: str
    ) -> None:
        answers = iter([Answer(503, {"Retry-After": said}), Answer()])
        receiver.answer = lambda _: next(answers)
        office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
        assert office.standing("hook") == [("system.error", "delivered", 2)]

    def test_an_address_that_no_library_takes_is_given_up_at_last(
        self, office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever comes out of sending is an attempt; such an address was accepted once."""
        monkeypatch.setattr(dispatching, "MOST_ATTEMPTS", 3)
        config = office.tell("hook", "webhook", receiver.url(), "system_error")
        with office.desk.transactions() as uow:
            kept = uow.notification_configs.get(config.id)
            assert kept is not None
            kept.sealed_url = FernetCipher().encrypt("https://a..b/T0SECRET")
        with office.open():
            happen(office, "system.error")
            office.settled("hook")
        (delivery,) = office.deliveries("hook")
        assert (str(delivery.status), delivery.attempts) == ("failed", 3)
        assert delivery.last_error == "Sending failed: UnicodeError."

    def test_a_slow_target_holds_nobody_up(
        self, office: Office, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SECONDS", "ALL_SECONDS"):
            monkeypatch.setattr(sender, name, 120.0)  # slower than this machine may be
        release = threading.Event()

        def answer(hit: Hit) -> Answer:
            if hit.path == "/slow":
                release.wait(120)
            return Answer()

        receiver.answer = answer
        office.tell("slow", "webhook", receiver.url("/slow"), "system_error")
        office.tell("quick", "webhook", receiver.url("/quick"), "system_error")
        with office.open():
            happen(office, *["system.error"] * 40)
            eventually(lambda: len(receiver.at("/quick")) == 40, "those of the quick one")
            eventually(lambda: len(receiver.at("/slow")) >= dispatching.MOST_TO_ONE, "those of the slow one")
            assert len(receiver.at("/slow")) == dispatching.MOST_TO_ONE
            release.set()
            office.settled("slow", "quick")
        assert len(receiver.at("/slow")) == 40

    def test_an_apprise_service_that_refuses(self, office: Office, receiver: Receiver) -> None:
        receiver.answer = lambda _: Answer(500)
        office.tell("chat", "mattermost", f"mmost://127.0.0.1:{receiver.port}/{'a' * 26}", "system_error")
        with office.open():
            happen(office, "system.error")
            eventually(lambda: office.attempts("chat") > 1, "a second attempt")
            receiver.answer = lambda _: Answer(200)
            office.settled("chat")
        assert office.standing("chat")[0][1] == "delivered"
        assert b"SVOps has a problem" in receiver.hits[0].body


def test_two_dispatchers_send_once(office: Office, receiver: Receiver) -> None:
    office.tell("hook", "webhook", receiver.url(), "system_error")
    with office.open(), office.open():
        happen(office, *["system.error"] * 20)
        office.settled("hook")
    assert len(receiver.hits) == 20
