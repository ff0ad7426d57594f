"""Records for everybody, on either host: rows of each kind, to be read and no more."""

from __future__ import annotations

import re

import httpx
import pytest

from svops_plugin.application import chain
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import Event
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.views.records import RECORDS, Records
from tests.conftest import PostgreSQL
from tests.contract.test_pages import INLINE, ROLES, signed_in
from tests.hosts import hosting
from tests.integration.live import an_event, happen
from tests.integration.support import a_dataset, a_task, counted
from tests.server import BASE, Clients

EACH = pytest.mark.parametrize("view", RECORDS, ids=lambda view: view.__name__)
HOSTILE = "<script>alert(1)</script>" + "long" * 44


def address(view: type[Records], rest: str = "") -> str:
    return f"{BASE}{hosting().PAGES.removesuffix('/svops')}{view.route_base}/{rest}"


@pytest.fixture
def rows(svops_database: str) -> None:  # noqa: ARG001
    """One row of each kind, and more."""
    with services(pooled=True).transactions() as uow:
        dataset = uow.datasets.add(a_dataset(HOSTILE))
        task = uow.tasks.add(a_task(HOSTILE, dataset_id=dataset.id, dataset=dataset))
        chain.claim(uow, task, ["one", "two", "three"], chain.Request("tests"))


@EACH
@pytest.mark.parametrize("name", [*ROLES, None])
def test_each_opens_to_whom_it_is_for(
    client: Clients,
    rows: None,  # noqa: ARG001
    view: type[Records],
    name: str | None,
) -> None:
    if name is None:
        for rest in ("", "1"):
            answer = client(None).get(address(view, rest), follow_redirects=False)
            assert "/login" in httpx.URL(answer.headers["location"]).path
        return
    asker, actor = signed_in(client, name), Actor(1, name, frozenset({ROLES[name]}))
    assert actor.may(*view.needs)
    link = f'<a href="{httpx.URL(address(view, "1")).path}">1</a>'
    for rest, shown in (("", link), ("1", "<h2>#1</h2>")):
        answer = asker.get(address(view, rest))
        assert answer.status_code == 200, answer.text
        desk = answer.text.split("sv-tabs")[-1]
        assert re.search(r'aria-current="page">Records</a>', desk)
        assert not INLINE.findall(answer.text)
        assert shown in desk
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert asker.get(address(view, "99")).status_code == 404


@EACH
def test_nothing_is_written_here(client: Clients, rows: None, view: type[Records]) -> None:  # noqa: ARG001
    asker = signed_in(client, "admin")
    for rest in ("add", "edit/1", "delete/1", "api", "action/muldelete/1", "download/1", "list/"):
        assert asker.get(address(view, rest)).status_code == 404, rest
    assert asker.post(address(view)).status_code in {400, 404, 405}


@EACH
def test_as_many_queries_for_many_rows_as_for_one(
    client: Clients,
    rows: None,  # noqa: ARG001
    view: type[Records],
) -> None:
    asker = signed_in(client, "viewer")
    asker.get(address(view))

    def look() -> int:
        with counted(services(pooled=True).engine) as sent:
            assert asker.get(address(view)).status_code == 200
        return len(sent)

    before = look()
    with services(pooled=True).transactions() as uow:
        for number in range(60):
            dataset = uow.datasets.add(a_dataset(f"set {number}"))
            task = uow.tasks.add(a_task(f"task {number}", dataset_id=dataset.id, dataset=dataset))
            chain.claim(uow, task, ["one"], chain.Request("tests"))
    assert look() == before


def test_rows_are_searched_sorted_and_leafed_through(client: Clients, rows: None) -> None:  # noqa: ARG001
    view = RECORDS[0]
    with services(pooled=True).transactions() as uow:
        for number in range(60):
            uow.tasks.add(a_task(f"task {number:02}"))
    asker = signed_in(client, "viewer")

    def names(**asked: str) -> list[str]:
        page = asker.get(address(view), params=asked).text
        return re.findall(r'title="(task \d+)"', page)

    assert names()[0] == "task 59"
    assert names(order="name", name="task")[:2] == ["task 00", "task 01"]
    assert names(page="1") == [f"task {number:02}" for number in range(9, -1, -1)]
    assert names(name="task 3") == [f"task {number}" for number in range(39, 29, -1)]
    assert names(status="running") == names(customer="nobody") == []
    for odd in ({"order": "nothing"}, {"order": "-"}, {"page": "x"}, {"page": "-1"}, {"status": "x"}):
        assert names(**odd)[0] == "task 59", odd
    assert names(page=str(10**30)) == []
    assert names(name="task\0 59") == ["task 59"]
    executions = RECORDS[2]
    for text in ("x", "0", str(10**30), "-1"):
        assert asker.get(address(executions), params={"task_id": text}).status_code == 200


def test_whatever_is_in_a_row_is_text(client: Clients, rows: None) -> None:  # noqa: ARG001
    asker = signed_in(client, "viewer")
    for view in RECORDS:
        for rest in ("", "1"):
            assert "<script>alert" not in asker.get(address(view, rest)).text
    found = asker.get(address(RECORDS[0]), params={"name": '"><script>alert(2)</script>'}).text
    assert "<script>alert" not in found


def test_events_of_others_and_addresses_are_for_who_may_read_users(
    client: Clients,
    svops_database: str,  # noqa: ARG001
) -> None:
    of_user = Event(
        type="user.updated", actor="ann", user_id=77, data={"username": "x", "address": "192.0.2.1"}
    )
    public, private = happen(an_event(data={"address": "192.0.2.2"}), of_user)
    view = RECORDS[4]
    for name in ROLES:
        asker, admin = signed_in(client, name), name == "admin"
        listed = asker.get(address(view)).text
        assert ("user.updated" in listed) is admin, name
        assert asker.get(address(view, str(private))).status_code == (200 if admin else 404)
        shown = asker.get(address(view, str(public)))
        assert (shown.status_code, "192.0.2.2" in shown.text) == (200, admin)


def test_a_database_that_is_away_is_told_of(
    client: Clients, postgresql: PostgreSQL, svops_database: str
) -> None:
    asker = signed_in(client, "viewer")
    assert asker.get(address(RECORDS[0])).status_code == 200
    postgresql.close(svops_database)
    answer = asker.get(address(RECORDS[0]))
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)
