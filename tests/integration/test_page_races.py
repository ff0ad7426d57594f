"""Pages whose answers come late or not at all, and lists that lose what they show: in the end it is so."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from tests.hosts import hosting
from tests.integration.browser import CUT, Desk, api, dataset, keep, row, serve, server, sit_down
from tests.integration.live import eventually
from tests.integration.test_workflow_pages import register, run_alone

__all__ = ["api", "dataset", "serve", "server", "sit_down"]

# Sessions are known to Airflow's own server only, not to the one that stands in for another host's.
pytestmark = pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)
SOON = 30_000  # milliseconds


class Held:
    """The server's next answer to a question, kept from the page until it is given."""

    def __init__(self, page: Page, question: str) -> None:
        self.page, self.question = page, re.compile(question)
        self._held: list[tuple[Route, APIResponse]] = []
        page.route(self.question, lambda route: self._held.append((route, route.fetch())), times=1)

    def wait(self) -> None:
        eventually(lambda: self.page.title() and self._held, "the question")

    def give(self) -> None:
        ((route, answer),) = self._held
        with self.page.expect_response(self.question) as late:
            route.fulfill(response=answer)
        late.value.finished()
        self.page.evaluate("async () => (await fetch(location.href)).text()")  # the page has had it by now


def running(api: httpx.Client, dataset: int) -> int:
    task_id = keep(api, "under way", dataset_id=dataset)
    assert api.post(f"api/v1/tasks/{task_id}/execute", json={}).status_code == 201
    return task_id


def stop(api: httpx.Client, task_id: int) -> None:
    assert api.post(f"api/v1/tasks/{task_id}/stop").json()["overall_status"] == "cancelled"


def watched(desk: Desk, path: str) -> Page:
    page = desk.open(path)
    expect(page.locator("#sv-connection")).to_have_text("Live")
    return page


def of_run(page: Page, run_id: str) -> Locator:
    return page.locator("tbody tr").filter(has=page.get_by_role("link", name=run_id, exact=True))


def test_a_row_does_not_go_back_to_what_it_was(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    task_id = running(api, dataset)
    keep(api, "another")
    page = watched(sit_down(), "board")
    of_both = Held(page, r"/tasks/standing\?ids=\d+%2C\d+$")
    page.get_by_role("button", name="All", exact=True).click()
    of_both.wait()
    stop(api, task_id)
    expect(row(page, task_id).locator(".sv-state")).to_have_text("Cancelled")
    of_both.give()
    expect(row(page, task_id).locator(".sv-state")).to_have_text("Cancelled")


def test_a_task_does_not_go_back_to_what_it_was(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    task_id = running(api, dataset)
    stop(api, task_id)
    assert api.post(f"api/v1/tasks/{task_id}/execute", json={}).status_code == 201
    page = watched(sit_down(), f"tasks/{task_id}")
    late = Held(page, r"/executions/\d+$")
    page.get_by_role("button", name="#1", exact=True).click()
    late.wait()
    stop(api, task_id)
    expect(page.locator(".sv-head .sv-state")).to_have_text("Cancelled")
    late.give()
    expect(page.locator(".sv-head .sv-state")).to_have_text("Cancelled")
    expect(page.get_by_role("heading", name="Chain of attempt 1")).to_be_visible()


def test_a_run_in_a_list_does_not_go_back_to_what_it_was(
    sit_down: Callable[..., Desk], api: httpx.Client
) -> None:
    workflow = register(api)
    run = run_alone(api, workflow)
    page = watched(sit_down(), f"workflows/{workflow}")
    late = Held(page, r"/runs\?.*until=")
    page.get_by_label("Until").fill("2999-01-01T00:00")
    late.wait()
    path = f"api/v1/workflows/{workflow}/runs/{run['id']}/control"
    assert api.post(path, json={"action": "stop"}).status_code == 200
    expect(of_run(page, run["id"]).locator(".sv-state")).to_have_text("Cancelled")
    late.give()
    expect(of_run(page, run["id"]).locator(".sv-state")).to_have_text("Cancelled")


def test_a_notification_does_not_go_back_to_what_it_was(
    sit_down: Callable[..., Desk], api: httpx.Client
) -> None:
    path = "api/v1/notifications/configs"
    assert api.post(path, json={"name": "oncall", "channel": "inbound"}).is_success
    page = watched(sit_down(), "notifications/oncall")
    late = Held(page, r"/configs/oncall$")
    page.get_by_role("button", name="Disable").click()
    late.wait()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    assert api.post(f"{path}/oncall/enable").status_code == 200
    expect(page.get_by_role("button", name="Disable")).to_be_visible()
    late.give()
    expect(page.get_by_role("button", name="Disable")).to_be_visible()


def refuse(route: Route) -> None:
    route.fulfill(status=503, json={"detail": "Not now."})


def cut_off(route: Route) -> None:
    route.abort()


def forget_failures(desk: Desk, number: int) -> None:
    """Take from a desk's complaints that so many questions were not answered."""
    failures = [text for text in desk.complaints if re.search("503|ERR_FAILED", text)]
    assert len(failures) >= number
    desk.complaints[:] = [text for text in desk.complaints if text not in failures]


@pytest.mark.parametrize("fail", [refuse, cut_off])
def test_what_was_not_answered_is_asked_again(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int, fail: Callable[[Route], None]
) -> None:
    task_id = running(api, dataset)
    desk = sit_down()
    page = watched(desk, "board")
    page.route("**/tasks/standing?*", fail, times=3)
    stop(api, task_id)
    expect(row(page, task_id).locator(".sv-state")).to_have_text("Cancelled", timeout=SOON)
    assert page.locator("#sv-notices").text_content() == ""
    forget_failures(desk, 3)


def test_what_is_not_answered_for_long_is_told(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    task_id = running(api, dataset)
    desk = sit_down()
    desk.page.clock.install()
    page = watched(desk, "board")

    def a_second_later(selector: str) -> str | None:
        page.clock.fast_forward(1_000)
        return page.locator(selector).text_content()

    page.route("**/tasks/standing?*", refuse)
    stop(api, task_id)
    assert "Not now." in eventually(lambda: a_second_later("#sv-notices"), "the notice")
    page.unroute("**/tasks/standing?*")
    badge = f"tr[data-task='{task_id}'] .sv-state"
    eventually(lambda: a_second_later(badge) == "Cancelled", "the end")
    forget_failures(desk, 3)


def test_after_lost_events_everything_is_loaded_anew_until_it_is(
    sit_down: Callable[..., Desk], api: httpx.Client
) -> None:
    task_id = keep(api, "before")
    desk = sit_down()
    lost: list[bool] = []

    def tell_nothing(route: Route) -> None:
        route.fulfill(json={"items": [], "last_event_id": 0, "resync": bool(lost and lost.pop())})

    desk.page.add_init_script(CUT)
    desk.page.route("**/api/v1/events?*", tell_nothing)
    page = desk.open(f"tasks/{task_id}")
    expect(page.locator("#sv-connection")).to_have_text("Polling")
    assert api.put(f"api/v1/tasks/{task_id}", json={"name": "after", "version": 1}).status_code == 200
    page.route(f"**/api/v1/tasks/{task_id}", refuse, times=1)
    lost.append(True)
    expect(page.get_by_role("heading", name="after")).to_be_visible(timeout=SOON)
    forget_failures(desk, 1)


def test_a_deleted_task_leaves_the_board(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    stays, goes = keep(api, "stays"), keep(api, "goes")
    page = watched(sit_down(), "board")
    expect(page.locator(".sv-pages")).to_have_text("2 in all")
    assert api.delete(f"api/v1/tasks/{goes}").is_success
    expect(row(page, goes)).to_have_count(0)
    expect(row(page, stays)).to_be_visible()
    expect(page.locator(".sv-pages")).to_have_text("1 in all")


def test_the_runs_of_a_deleted_task_leave_their_list(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    task_id = keep(api, "goes", dataset_id=dataset)
    run = api.post(f"api/v1/tasks/{task_id}/execute", json={}).json()["workflow_runs"][0]
    stop(api, task_id)
    page = watched(sit_down(), f"workflows/{run['workflow_id']}")
    expect(of_run(page, run["id"])).to_be_visible()
    assert api.delete(f"api/v1/tasks/{task_id}").is_success
    expect(of_run(page, run["id"])).to_have_count(0)
