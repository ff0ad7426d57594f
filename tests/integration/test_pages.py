"""The pages in a browser: live rows, the keyboard, forms, and what people with and without a mouse meet."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import utcnow
from svops_plugin.infrastructure.database import tables
from svops_plugin.presentation.views.pages import PAGES
from svops_plugin.presentation.views.records import RECORDS
from tests.hosts import hosting
from tests.integration.browser import CUT, WIDER, Desk, api, dataset, keep, row, serve, server, sit_down
from tests.integration.live import a_workflow, eventually

__all__ = ["api", "dataset", "serve", "server", "sit_down"]

# Sessions are known to Airflow's own server only, not to the one that stands in for another host's.
pytestmark = pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)
MANY = 10_000
MARKUP = "<img src=x onerror=alert(1)>"
LONG = MARKUP + "long" * 43  # 200 characters
HALF = """
    window.halves = 0;
    const whole = window.fetch;
    window.fetch = async (url, options) => {
        const answer = await whole(url, options);
        if (!window.half || !url.includes("/tasks?")) return answer;
        window.halves += 1;
        const { signal } = options;
        const body = new ReadableStream({
            start: (stream) => signal.addEventListener("abort", () => stream.error(signal.reason)),
        });
        return new Response(body, answer);
    };
"""
WATCH = """() => {
    window.touched = new Set();
    new MutationObserver((changes) => changes.forEach(({ target }) => {
        const row = (target.closest ? target : target.parentElement).closest("tr");
        window.touched.add(row ? Number(row.dataset.task) : "the table");
    })).observe(document.querySelector("tbody"), {
        subtree: true, childList: true, characterData: true, attributes: true,
    });
}"""


def test_of_ten_thousand_tasks_one_page_is_loaded_and_one_row_changes(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    template = keep(api, "task", dataset_id=dataset)
    with services(pooled=True).engine.begin() as connection:
        (values,) = connection.execute(tables.task.select().where(tables.task.c.id == template)).mappings()
        copies = [{**values, "id": None, "name": f"task {n}", "created_at": utcnow()} for n in range(MANY)]
        for copy in copies:
            del copy["id"]
        connection.execute(tables.task.insert(), copies)
    newest = int(api.get("api/v1/tasks", params={"limit": 1}).json()["items"][0]["id"])
    desk = sit_down()
    page = desk.open("board")
    expect(page.locator("tbody tr")).to_have_count(50)
    expect(page.locator(".sv-pages")).to_contain_text("1 to 50 of 10001")
    expect(page.locator("#sv-connection")).to_have_text("Live")
    assert desk.asked("tasks?") == 1
    page.evaluate(WATCH)
    assert api.post(f"api/v1/tasks/{newest}/execute", json={}).status_code == 201
    expect(row(page, newest).locator(".sv-state")).to_have_text("Running")
    expect(row(page, newest).get_by_role("button", name="Stop")).to_be_visible()
    assert page.evaluate("[...window.touched]") == [newest]
    assert desk.asked("tasks?") == 1


def test_filters_stand_in_the_address(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    keep(api, "the first"), keep(api, "another")
    page = sit_down().open("board")
    page.get_by_role("searchbox").fill("first")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Failed").click()
    page.get_by_text("No task is like that.").wait_for()
    assert "q=first" in page.url
    assert "status=failed" in page.url
    page.reload()
    page.get_by_text("No task is like that.").wait_for()
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_list_that_nobody_waits_for_any_more_is_let_go(
    sit_down: Callable[..., Desk], api: httpx.Client
) -> None:
    keep(api, "the first"), keep(api, "another")
    desk = sit_down()
    desk.page.add_init_script(HALF)
    page = desk.open("board")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.evaluate("window.half = true")
    page.get_by_role("searchbox").fill("fir")
    # The head of an answer is there, its end is not.
    eventually(lambda: page.evaluate("window.halves") == 1, "the answer")
    page.evaluate("window.half = false")
    page.get_by_role("searchbox").fill("first")
    expect(page.locator("tbody tr")).to_have_count(1)
    assert page.locator("#sv-notices").text_content() == ""


def test_the_board_by_the_keyboard(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    ids = [keep(api, f"task {number}") for number in range(3)]
    page = sit_down().open("board")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(row(page, ids[1])).to_be_focused()
    page.keyboard.press("x")
    expect(page.get_by_text("1 selected")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Next or previous task")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/tasks/{ids[1]}")


def test_several_at_once_each_with_its_result(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    good, without = keep(api, "good", dataset_id=dataset), keep(api, "without a dataset")
    desk = sit_down()
    page = desk.open("board")
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Select all of this page").check()
    page.get_by_role("region", name="Selected tasks").get_by_role("button", name="Execute").click()
    expect(row(page, without)).to_contain_text("has no dataset")
    expect(row(page, good).locator(".sv-state")).to_have_text("Running")
    expect(page.get_by_text("1 of 2 done.")).to_be_visible()
    desk.complaints[:] = [text for text in desk.complaints if "422" not in text]  # the one that was refused


def test_a_viewer_reads_only(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    task_id = keep(api, "not theirs")
    desk = sit_down("viewer")
    page = desk.open("board")
    expect(row(page, task_id)).to_contain_text("not theirs")
    expect(page.get_by_role("button", name="Execute")).to_have_count(0)
    expect(page.get_by_role("link", name="New task")).to_have_count(0)
    page = desk.open(f"tasks/{task_id}")
    page.get_by_role("heading", name="not theirs").wait_for()
    for verb in ("Execute", "Clone", "Delete"):
        expect(page.get_by_role("button", name=verb)).to_have_count(0)


def test_markup_in_a_name_is_text_and_long_names_have_room(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset_folder: Path
) -> None:
    labels = dataset_folder / "labels.csv"
    labels.write_text(labels.read_text().replace(",x", f",{MARKUP}"))
    body = {"name": LONG, "path": str(dataset_folder), "data_type": "Vector", "tags": [MARKUP]}
    dataset = api.post("api/v1/datasets", json=body).json()["id"]
    task = keep(api, LONG, dataset_id=dataset, tags=[MARKUP], customer="<b>" + "c" * 29)
    workflow = {"name": LONG, "dag_id": "data_processing_pipeline", "description": MARKUP}
    workflow_id = api.post("api/v1/workflows", json=workflow).json()["id"]
    started = api.post(f"api/v1/tasks/{task}/execute", json={"note": LONG}).json()
    run_id = started["workflow_runs"][0]["id"]
    config = {"name": "n" * 64, "channel": "inbound"}
    assert api.post("api/v1/notifications/configs", json=config).is_success, config
    desk = sit_down(viewport={"width": 375, "height": 800})
    about = {
        "task_id": task,
        "dataset_id": dataset,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "config_name": config["name"],
    }
    paths = [
        re.sub(
            r"<(?:int:)?(\w+)>", lambda found: str({**about, "config_name": config["name"]}[found[1]]), rule
        )
        for rule in PAGES
    ]
    records = [view.route_base.removeprefix("/svops") + rest for view in RECORDS for rest in ("/", "/1")]
    for path in (*(path for path in paths if path != "/run"), *records):
        page = desk.open(path.lstrip("/"))
        page.locator("h1").wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate(WIDER) == 0, path
        assert page.locator("main img[src='x'], main b").count() == 0, path
    expect(desk.open("board").locator("tbody")).to_contain_text("<img src=x")


def test_the_language_is_switched_and_stays(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    keep(api, "in any language")
    desk = sit_down()
    page = desk.open("board")
    page.get_by_role("button", name="한국어").click()
    page.get_by_role("heading", name="보드").wait_for()
    expect(page.locator("#sv-connection")).to_have_text("실시간")
    page = desk.open("records/tasks/")
    expect(page.get_by_role("link", name="데이터셋").first).to_be_visible()
    page = desk.open("tasks")
    page.get_by_role("button", name="English").click()
    page.get_by_role("heading", name="Tasks").wait_for()


@pytest.mark.parametrize("number", [2, 6])
def test_executions_are_compared(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int, number: int
) -> None:
    task_id = keep(api, LONG, dataset_id=dataset)
    ids = []
    for attempt in range(number):
        answer = api.post(f"api/v1/tasks/{task_id}/execute", json={"parameters": {"threshold": attempt}})
        ids.append(str(answer.json()["execution_id"]))
        tracker = services().tracker("data_processing_pipeline", _first_run(answer.json()))
        tracker.log_metric("accuracy", 0.5 + attempt / 10, None)
        assert api.post(f"api/v1/tasks/{task_id}/stop").status_code == 200
    desk = sit_down(viewport={"width": 375, "height": 800})
    page = desk.open(f"tasks/{task_id}")
    page.get_by_role("link", name="Compare attempts").click()
    page.get_by_role("heading", name="What differs").wait_for()
    expect(page.locator(".sv-steps li")).to_have_count(number)
    differences = page.get_by_role("row", name="parameters.threshold").get_by_role("cell")
    expect(differences).to_have_text([str(attempt) for attempt in reversed(range(number))])
    expect(page.get_by_role("row", name="accuracy").get_by_role("cell")).to_have_count(number)
    expect(page.locator("polyline")).to_have_count(1)
    assert page.evaluate(WIDER) == 0
    page = desk.open(f"compare?ids={','.join([*ids, ids[0], '999'][: number + 2])}")
    page.get_by_text("An id stands there twice.").wait_for()
    desk.complaints[:] = [text for text in desk.complaints if "422" not in text]  # the one that was refused


def _first_run(started: dict[str, Any]) -> str:
    return str(started["workflow_runs"][0]["external_trigger_id"])


def test_a_late_answer_does_not_replace_a_newer_one(sit_down: Callable[..., Desk]) -> None:
    for dag_id in ("rest_dag", "rested_dag"):
        a_workflow(dag_id)
    desk = sit_down()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    desk.page.route(re.compile(r"q=rest_"), hold)
    page = desk.open("workflows")
    page.get_by_role("searchbox").fill("rest_")
    eventually(lambda: page.title() and held, "the first question")
    page.get_by_role("searchbox").fill("rested")
    expect(page.locator("tbody tr")).to_have_count(1)
    with page.expect_response(re.compile(r"q=rest_")) as late:
        held[0].continue_()
    late.value.finished()
    page.evaluate("async () => (await fetch(location.href)).text()")  # the page has had the late one by now
    expect(page.locator("tbody")).to_contain_text("rested_dag")


def test_a_page_lives_on_when_the_database_was_set_back(sit_down: Callable[..., Desk]) -> None:
    desk = sit_down()
    later = {"items": [], "last_event_id": 999_999}
    desk.page.route("**/tasks/standing?ids=1", lambda route: route.fulfill(json=later), times=1)
    page = desk.open("board")
    expect(page.locator("#sv-connection")).to_have_text("Live", timeout=30_000)


def test_without_a_socket_it_polls_and_says_so(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    task_id = keep(api, "watched")
    desk = sit_down()
    desk.page.add_init_script(CUT)
    page = desk.open("board")
    expect(page.locator("#sv-connection")).to_have_text("Polling")
    keep(api, "came later")
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(row(page, task_id)).to_be_visible()
    page.evaluate("window.cut = false")
    expect(page.locator("#sv-connection")).to_have_text("Live", timeout=60_000)


def test_a_socket_that_has_gone_silent_is_replaced(sit_down: Callable[..., Desk]) -> None:
    desk = sit_down()
    sockets: list[str] = []
    desk.page.on("websocket", lambda socket: sockets.append(socket.url))
    desk.page.clock.install()
    page = desk.open("board")
    expect(page.locator("#sv-connection")).to_have_text("Live")
    page.clock.fast_forward(49_000)  # two heartbeats and a half are fifty seconds
    assert len(sockets) == 1
    with page.expect_websocket():
        page.clock.fast_forward(2_000)
        expect(page.locator("#sv-connection")).to_have_text("Polling")
        page.clock.fast_forward(1_000)
    expect(page.locator("#sv-connection")).to_have_text("Live")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_seriously_hard_to_use(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int, theme: str
) -> None:
    task_id = keep(api, "for everybody", dataset_id=dataset)
    api.post(f"api/v1/tasks/{task_id}/execute", json={})
    desk = sit_down(color_scheme=theme, bypass_csp=True)
    name = {"name": f"for-everybody-{theme}", "channel": "inbound"}
    assert api.post("api/v1/notifications/configs", json=name).is_success
    lists = ("board", "tasks", "datasets", "workflows", "notifications", "notifications/new")
    found: dict[str, list[str]] = {}
    for path in (
        *lists,
        f"tasks/{task_id}",
        "tasks/new",
        f"datasets/{dataset}",
        f"notifications/{name['name']}",
        "records/tasks/",
        "records/executions/1",
    ):
        page = desk.open(path)
        page.locator("h1").wait_for()
        page.wait_for_load_state("networkidle")
        if serious := desk.serious():
            found[path] = serious
    assert found == {}
