"""Reading the outbox: by REST, at the command line, and for as long as it is kept."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from svops_plugin.application.event_log import EventLog
from svops_plugin.application.event_ports import HubRow, Topic
from svops_plugin.application.housekeeping import Housekeeper, Retention
from svops_plugin.application.ports import Query
from svops_plugin.domain.entities import utcnow
from svops_plugin.domain.errors import InvalidInput, PermissionDenied
from svops_plugin.domain.metrics import untold
from svops_plugin.domain.notifications import DeliveryStatus, NotificationConfig, NotificationDelivery
from svops_plugin.domain.permissions import OPERATOR, Actor
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from svops_plugin.infrastructure.events import hub
from svops_plugin.infrastructure.events.hub import Hub
from svops_plugin.infrastructure.storage import ConfinedPaths
from svops_plugin.presentation.cli import main
from tests.integration.live import an_event, happen
from tests.integration.support import ok, problem

Transactions = Callable[[], SqlUnitOfWork]
VIEWER = Actor(7, "viewer", frozenset({"Viewer"}))


def write(transactions: Transactions, *ages: float) -> list[int]:
    """Let events have happened so many days ago, and return their ids."""
    events = [an_event(created_at=utcnow() - timedelta(days=age)) for age in ages]
    with transactions() as uow:
        for event in events:
            uow.record(event)
    return [event.id for event in events]


def retention(transactions: Transactions) -> Retention:
    keeper = Housekeeper(transactions, ConfinedPaths([], []), untold)
    return Retention(transactions, keeper, {"event": 30, "notification_delivery": 30})


def purge(transactions: Transactions) -> int:
    """Delete what is too old, and return how many events that were."""
    return retention(transactions).purge()["event"]


def kept(transactions: Transactions) -> list[int]:
    return [event.id for event in EventLog(transactions).after(OPERATOR, 0, 100, Topic()).events]


class TestRetention:
    def test_what_is_too_old_goes(self, transactions: Transactions) -> None:
        made = write(transactions, 40, 31, 29, 0)
        assert purge(transactions) == 2
        assert kept(transactions) == made[2:]
        assert purge(transactions) == 0

    def test_the_newest_stays_so_that_ids_go_on(self, transactions: Transactions) -> None:
        made = write(transactions, 40, 39)
        assert purge(transactions) == 1
        assert kept(transactions) == made[1:]
        (next_id,) = write(transactions, 0)
        assert next_id > made[1]

    def test_deliveries_go_with_their_events_unless_they_are_on_their_way(
        self, transactions: Transactions
    ) -> None:
        old = utcnow() - timedelta(days=40)
        with transactions() as uow:
            config = uow.notification_configs.add(NotificationConfig(name="c", channel="webhook"))
            uow.deliveries.add_missing(
                [
                    NotificationDelivery(
                        config_id=config.id, event_id=number, event_type="t", status=status, created_at=old
                    )
                    for number, status in enumerate(DeliveryStatus)
                ]
            )
        purge(transactions)
        with transactions() as uow:
            (kept,) = uow.deliveries.page(Query()).items
        assert kept.status is DeliveryStatus.PENDING

    def test_what_is_kept_has_no_gaps(self, transactions: Transactions) -> None:
        """An old event behind a young one, as after a clock was set back, stays."""
        made = write(transactions, 40, 1, 40, 0)
        assert purge(transactions) == 1
        assert kept(transactions) == made[1:]

    def test_of_an_empty_outbox(self, transactions: Transactions) -> None:
        assert purge(transactions) == 0

    def test_one_process_an_hour(self, transactions: Transactions) -> None:
        first, second = retention(transactions), retention(transactions)
        assert [one._is_due() for one in (first, second, first)] == [True, False, False]

    def test_a_stop_ends_it_between_transactions(self, transactions: Transactions) -> None:
        write(transactions, 40, 40)
        stop = threading.Event()
        stop.set()
        assert retention(transactions).purge(stop) == {"event": 0, "notification_delivery": 0}


class TestReading:
    def test_it_tells_what_is_not_kept_any_more(self, transactions: Transactions) -> None:
        made = write(transactions, 40, 40, 0)
        purge(transactions)
        log = EventLog(transactions)
        resyncs = {since: log.after(VIEWER, since, 10, Topic()).resync for since in (0, *made)}
        assert resyncs == {0: False, made[0]: True, made[1]: False, made[2]: False}

    def test_pages_are_taken_up_where_they_end(self, transactions: Transactions) -> None:
        made, found, position = write(transactions, *[0] * 7), [], 0
        log = EventLog(transactions)
        while not (page := log.after(VIEWER, position, 3, Topic())).complete:
            found += [event.id for event in page.events]
            position = page.last_event_id
        assert [*found, *(event.id for event in page.events)] == made
        assert page.last_event_id == made[-1]

    def test_a_topic_nobody_speaks_of_moves_on(self, transactions: Transactions) -> None:
        made = write(transactions, 0, 0)
        page = EventLog(transactions).after(VIEWER, 0, 10, Topic(task_id=99))
        assert (list(page.events), page.last_event_id, page.complete) == ([], made[-1], True)

    def test_refusals(self, transactions: Transactions) -> None:
        log = EventLog(transactions)
        with pytest.raises(InvalidInput, match="newest event is 0"):
            log.after(VIEWER, 1, 10, Topic())
        with pytest.raises(PermissionDenied, match="another user"):
            log.after(VIEWER, 0, 10, Topic(user_id=8))
        with pytest.raises(PermissionDenied, match="Viewer"):
            log.after(Actor(7, "x", frozenset()), 0, 10, Topic(user_id=7))


def test_hubs_that_are_silent_are_forgotten(transactions: Transactions) -> None:
    now = utcnow()
    with transactions() as uow:
        uow.hubs.save(HubRow("a", "host", 1, now - timedelta(minutes=5)))
        uow.hubs.save(HubRow("b", "host", 2, now - timedelta(minutes=5)))
        uow.hubs.save(HubRow("b", "host", 2, now, connections=3, subscribers={"global": 3}))
    with transactions() as uow:
        (alive,) = uow.hubs.alive(now - timedelta(minutes=1))
        assert (alive.id, alive.connections, alive.subscribers) == ("b", 3, {"global": 3})
        uow.hubs.delete("b")
    with transactions() as uow:
        assert uow.hubs.alive(now - timedelta(days=1)) == []


def test_a_hub_tells_how_long_events_waited_since_it_last_told(
    transactions: Transactions, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, stop = Hub(transactions, lambda: engine), threading.Event()

    def told(period: float) -> float:
        """Let the hub look once, when its row is due after so many seconds, and return the row's lag."""
        monkeypatch.setattr(hub, "ROW_SECONDS", period)
        own._outlive(stop)
        with transactions() as uow:
            (row,) = uow.hubs.alive(utcnow() - timedelta(days=1))
        return row.lag

    hour, day = 3600.0, 86400.0
    assert told(0) == 0
    write(transactions, 1 / 24, 0)
    assert hour <= told(day) < day
    write(transactions, 2 / 24)
    assert told(day) < 2 * hour  # not due
    assert own.row().lag >= 2 * hour
    write(transactions, 0)
    own._row_due = 0.0
    assert told(0) >= 2 * hour
    assert told(0) == 0


def test_the_newest_first(transactions: Transactions) -> None:
    made = write(transactions, 3, 2, 1)
    log = EventLog(transactions)
    newest = log.before(OPERATOR, None, 2, Topic())
    assert ([event.id for event in newest.events], newest.complete) == ([made[2], made[1]], False)
    older = log.before(OPERATOR, made[1], 2, Topic())
    assert ([event.id for event in older.events], older.complete) == ([made[0]], True)
    assert log.before(OPERATOR, None, 2, Topic(task_id=99)).events == []
    with pytest.raises(PermissionDenied):
        log.before(VIEWER, None, 2, Topic(user_id=8))


class TestRest:
    def test_a_poller_gets_everything(self, viewer: httpx.Client) -> None:
        made, found, answer = happen(*(an_event(number) for number in range(5))), [], {"last_event_id": 0}
        while not answer.get("complete"):
            answer = ok(viewer.get("events", params={"since": answer["last_event_id"], "limit": 2}))
            found += [item["id"] for item in answer["items"]]
        assert found == made
        assert (answer["last_event_id"], answer["resync"]) == (made[-1], False)

    def test_filters(self, viewer: httpx.Client, admin: httpx.Client) -> None:
        made = happen(an_event(task_id=1), an_event(workflow_id=2), an_event(user_id=3))

        def found(client: httpx.Client, **filters: int | str) -> list[int]:
            return [item["id"] for item in ok(client.get("events", params=filters))["items"]]

        assert found(viewer, task_id=1) == made[:1]
        assert found(viewer, workflow_id="wf_2") == made[1:2]
        assert found(admin, user_id=3) == made[2:]
        problem(viewer.get("events", params={"user_id": 3}), 403)

    @pytest.mark.parametrize(
        "query",
        [
            {"since": -1},
            {"since": "x"},
            {"since": 2**40},
            {"since": 1},
            {"limit": 0},
            {"limit": 1001},
            {"task_id": 0},
        ],
    )
    def test_bad_input(self, viewer: httpx.Client, query: dict[str, int | str]) -> None:
        assert problem(viewer.get("events", params=query), 422)["errors"].keys() == query.keys()

    def test_an_unknown_workflow_id(self, viewer: httpx.Client) -> None:
        problem(viewer.get("events", params={"workflow_id": "x"}), 404)

    def test_leafing_back(self, viewer: httpx.Client) -> None:
        made, asked = (
            happen(*(an_event(task_id=number % 2) for number in range(6))),
            {"task_id": 1, "limit": 2},
        )
        first = ok(viewer.get("events", params={**asked, "newest_first": True}))
        assert [item["id"] for item in first["items"]] == [made[5], made[3]]
        assert (first["complete"], first["resync"], first["last_event_id"]) == (False, False, made[5])
        second = ok(viewer.get("events", params={**asked, "newest_first": True, "before": made[3]}))
        assert [item["id"] for item in second["items"]] == [made[1]]
        assert second["complete"] is True

    @pytest.mark.parametrize("query", [{"before": 0}, {"before": "x"}, {"newest_first": "maybe"}])
    def test_bad_places_to_leaf_back_from(self, viewer: httpx.Client, query: dict[str, int | str]) -> None:
        assert problem(viewer.get("events", params=query), 422)["errors"].keys() == query.keys()

    def test_nobody_may(self, nobody: httpx.Client) -> None:
        problem(nobody.get("events"), 401)


@pytest.mark.usefixtures("svops_database")
class TestCommand:
    def show(self, *options: str) -> list[str]:
        result = CliRunner().invoke(main, ["events", *options])
        assert result.exit_code == 0, result.output
        return result.output.splitlines()

    def test_show(self) -> None:
        made = happen(an_event(task_id=1), an_event(workflow_id=2, run_id=3), an_event(user_id=4))
        assert [int(line.split()[0]) for line in self.show()] == made
        assert "task=1" in self.show("--task", "1")[0]
        assert "workflow=wf_2 run=run_3" in self.show("--workflow", "wf_2")[0]
        assert [int(line.split()[0]) for line in self.show("--user", "4")] == made[2:]
        (shown,) = self.show("--since", str(made[1]), "--json")
        assert json.loads(shown)["id"] == made[2]

    def test_bad_input(self) -> None:
        assert CliRunner().invoke(main, ["events", "--since", "99"]).exit_code == 1
        assert CliRunner().invoke(main, ["events", "--workflow", "x"]).exit_code == 2
