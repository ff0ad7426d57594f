"""The desk on a whole stack, as people use it: from signing in to signing out, on either host."""

from __future__ import annotations

import pytest
from playwright.sync_api import FrameLocator, Locator, Page, expect

from tests.e2e.conftest import Stack
from tests.e2e.line import line
from tests.e2e.test_chain import CHAIN, statuses
from tests.e2e.visitor import Person, Visit, address, people, sessions, visit
from tests.hosts import hosting

__all__ = ["address", "people", "sessions", "visit"]
Desk = Page | FrameLocator
# Keeps what each segment of a task's chain bar has shown, and a mark that no other document has.
WATCH = """(bar) => {
    window.mark = "the same document";
    window.shown = [...bar.children].map(() => []);
    const look = () => [...bar.children].forEach((segment, index) => {
        const state = [segment.dataset.state, segment.firstChild.style.getPropertyValue("--done")].join(" ");
        if (window.shown[index].at(-1) !== state) window.shown[index].push(state);
    });
    new MutationObserver(look).observe(bar, { subtree: true, attributes: true });
}"""


def row(desk: Desk, name: str) -> Locator:
    return desk.locator("tbody tr").filter(has=desk.get_by_role("link", name=name, exact=True))


def make_dataset(desk: Desk, name: str, path: str) -> None:
    """Fill in the form of a new dataset, which is being opened."""
    expect(desk.get_by_role("heading", name="New dataset")).to_be_visible()
    desk.get_by_label("Name").fill(name)
    desk.get_by_label("Type").select_option("Vector")
    desk.get_by_label("Path").fill(f"{path}-of-nobody")
    expect(desk.locator("#sv-path-error")).not_to_be_empty()
    desk.get_by_label("Path").fill(path)
    expect(desk.locator("#sv-path-hint")).to_have_text("It can be read.")
    desk.get_by_role("button", name="Save").click()
    expect(desk.get_by_role("heading", name=name)).to_be_visible()


def make_task(desk: Desk, name: str) -> None:
    """Fill in the form of a new task, which is being opened with its dataset chosen."""
    expect(desk.get_by_role("heading", name="New task")).to_be_visible()
    desk.get_by_label("Name").fill(name)
    desk.get_by_label("Customer").fill("acme")
    desk.get_by_label("Preset", exact=True).select_option("test-config-e2e")
    desk.get_by_role("button", name="Save").click()
    expect(desk.get_by_role("heading", name=name)).to_be_visible()


def execute(desk: Desk, note: str) -> None:
    """Execute the task whose page is open, through the form."""
    desk.get_by_role("button", name="Execute").click()
    form = desk.get_by_role("dialog")
    form.get_by_label("Note").fill(note)
    form.get_by_label("Parameters").fill('{"reason": "a walk"}')
    form.get_by_role("button", name="Execute").click()
    expect(form).to_have_count(0)


def test_from_signing_in_to_the_report(stack: Stack, visit: Visit, people: dict[str, Person]) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(f"{visitor.address}/")
    visitor.sign_in(people["Admin"])
    desk = hosting().open_desk(page)
    sample = stack.get(f"datasets/{stack.dataset('Vector')}")
    desk.get_by_role("link", name="Datasets", exact=True).last.click()
    desk.get_by_role("link", name="New dataset").click()
    make_dataset(desk, "Walked over", sample["path"])
    desk.get_by_role("link", name="New task with it").click()
    make_task(desk, "A walk")

    board = visitor.context.new_page()
    board.goto(visitor.url("board"))
    bar = row(board, "A walk").locator(".sv-chain")
    expect(bar.locator(".sv-segment")).to_have_count(len(CHAIN))
    expect(board.locator("#sv-connection")).to_have_text("Live")
    bar.evaluate(WATCH)
    execute(desk, "as people do it")
    expect(row(board, "A walk").locator(".sv-state")).to_have_text("Completed")
    for index in range(len(CHAIN)):
        segment = bar.locator(".sv-segment").nth(index)
        expect(segment).to_have_attribute("data-state", "success")
    assert board.evaluate("window.mark") == "the same document"
    segments = board.evaluate("window.shown")
    for shown in segments:
        states = list(dict.fromkeys(one.split()[0] for one in shown))
        assert states[-2:] == ["running", "success"], shown
        assert shown[-1] == "success 100%"
    growing = [shown for shown in segments if len({one for one in shown if one.startswith("running")}) > 1]
    # On a busy machine one, of a step of two seconds, may have been full before it was painted again.
    assert len(growing) >= len(CHAIN) - 1, segments

    expect(desk.locator(".sv-state").first).to_have_text("Completed")
    expect(desk.get_by_text("as people do it")).to_be_visible()
    report = desk.frame_locator("iframe.sv-report")
    expect(report.get_by_text("confusion").first).to_be_visible()
    # A page of its own runs no scripts, not even those by which a test looks at it.
    address = desk.get_by_role("link", name="report.html").evaluate("link => link.href")
    answer = visitor.context.request.get(address)
    assert answer.ok
    assert "A walk" in answer.text()


def test_a_chain_that_fails_is_understood_retried_stopped_and_compared(stack: Stack, visit: Visit) -> None:
    task_id = stack.failing_task()
    page = visit("Admin").open(f"tasks/{task_id}")
    state = page.locator(".sv-head .sv-state")
    steps = page.locator(".sv-step .sv-state")
    execute(page, "asks for too much")
    cause = page.locator(".sv-cause")
    expect(cause).to_contain_text(f"Failed in {CHAIN[1]}")
    expect(cause).to_contain_text("validate_model_performance")
    expect(cause.locator(".sv-log")).to_contain_text("min_accuracy")
    expect(steps).to_have_text(["Success", "Failed", "Skipped"])
    cause.get_by_role("link", name="Open its log in Airflow").click()
    page.wait_for_url("**/dags/ml_training_pipeline/**validate_model_performance**")
    expect(page.get_by_text("min_accuracy").first).to_be_visible()
    page.go_back()

    page.get_by_role("button", name="Retry", exact=True).click()
    expect(page.get_by_role("heading", name="Chain of attempt 2")).to_be_visible()
    expect(steps).to_have_text(["Reused", "Failed", "Skipped"])
    page.get_by_role("button", name="Retry all").click()
    expect(page.get_by_role("heading", name="Chain of attempt 3")).to_be_visible()
    expect(steps.first).to_have_text("Running")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(state).to_have_text("Cancelled")
    expect(steps).to_have_text(["Cancelled", "Skipped", "Skipped"])
    assert statuses(stack.standing(task_id)) == ["cancelled", "skipped", "skipped"]

    page.get_by_role("link", name="Compare attempts").click()
    shown = page.locator(".sv-difference").last
    expect(shown.locator("thead th")).to_have_text(["", *(f"#{task_id}.{attempt}" for attempt in (3, 2, 1))])
    expect(shown.get_by_role("rowheader", name="accuracy", exact=True)).to_be_visible()


def test_a_clone_is_a_task_of_its_own(stack: Stack, visit: Visit) -> None:
    task_id = stack.task(name="The original", tags=["kept"])
    page = visit("Admin").open(f"tasks/{task_id}")
    page.get_by_role("button", name="Clone").click()
    expect(page.get_by_label("Name")).to_have_value("The original (copy)")
    page.get_by_label("Name").fill("The copy")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="The copy")).to_be_visible()
    original, copy = stack.get(f"tasks/{task_id}"), stack.get("tasks", q="The copy")["items"][0]
    assert (original["name"], copy["tags"]) == ("The original", ["kept"])
    assert copy["configuration"] == original["configuration"]


def test_a_viewer_looks_on(stack: Stack, visit: Visit) -> None:
    task_id = stack.task(name="Not theirs")
    visitor = visit("Viewer")
    page = visitor.open("board")
    expect(row(page, "Not theirs")).to_be_visible()
    expect(page.get_by_role("link", name="Notifications")).to_have_count(0)
    for path in ("board", f"tasks/{task_id}", f"datasets/{stack.dataset('Vector')}"):
        visitor.open(path).locator("h1").wait_for()
        for verb in ("Execute", "Edit", "Clone", "Delete", "New task", "New task with it"):
            by_name = page.get_by_role("button", name=verb).or_(page.get_by_role("link", name=verb))
            expect(by_name).to_have_count(0)
    refused = page.evaluate(
        """async (url) => {
            const headers = { "Content-Type": "application/json" };
            const answer = await fetch(url, { method: "POST", headers, body: "{}" });
            return [answer.status, (await answer.json()).detail];
        }""",
        f"/svops/api/v1/tasks/{task_id}/execute",
    )
    assert refused[0] == 403
    assert "roles" in refused[1]
    visitor.open("tasks/new")
    expect(page.get_by_role("alert")).to_contain_text("Your role does not open this page")
    visitor.forgive("403")
    assert stack.get(f"tasks/{task_id}")["status"] == "pending"


def test_a_line_that_is_cut_and_mended(stack: Stack, visit: Visit, address: str) -> None:
    task_id = stack.task(name="Watched")
    visit("Admin")  # signs in, if nobody has
    with line(address) as cable:
        visitor = visit("Admin", by=cable.address)
        page = visitor.open("board")
        sign = page.locator("#sv-connection")
        expect(sign).to_have_text("Live")
        page.evaluate("window.mark = 'the same document'")
        cable.cut()
        expect(sign).to_have_text("Offline")
        stack.task(name="Came meanwhile")
        stack.post(f"tasks/{task_id}/execute")
        stack.end_of(task_id)
        expect(row(page, "Watched").locator(".sv-state")).to_have_text("Pending")
        cable.mend()
        expect(sign).to_have_text("Live")
        expect(row(page, "Watched").locator(".sv-state")).to_have_text("Completed")
        expect(row(page, "Came meanwhile")).to_be_visible()
        assert page.evaluate("window.mark") == "the same document"
        page.close()
        visitor.forgive("ERR_")


def test_a_session_that_ends_while_a_form_is_filled_in(
    stack: Stack, visit: Visit, people: dict[str, Person]
) -> None:
    visitor = visit("Admin")
    page = visitor.open(f"tasks/new?dataset_id={stack.dataset('Vector')}")
    page.get_by_label("Name").fill("Typed with care")
    page.get_by_label("Customer").fill("acme")
    page.get_by_label("Customise the preset").check()
    page.get_by_label("Configuration (JSON)").fill('{"seed": 11}')
    visitor.context.clear_cookies()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("Typed with care")
    page.get_by_role("link", name="Sign in").click()
    visitor.sign_in(people["Admin"])
    expect(page.get_by_text("This is what you had typed before.")).to_be_visible()
    expect(page.get_by_label("Configuration (JSON)")).to_have_value('{"seed": 11}')
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", name="Typed with care")).to_be_visible()
    visitor.forgive("401")


def test_two_people_at_one_task(stack: Stack, visit: Visit) -> None:
    task_id = stack.task(name="As it was", description="theirs to change")
    first, second = (visit("Admin") for _ in range(2))
    for visitor in (first, second):
        visitor.open(f"tasks/{task_id}/edit")
        expect(visitor.page.get_by_label("Name")).to_have_value("As it was")
    first.page.get_by_label("Description").fill("changed by the first")
    first.page.get_by_role("button", name="Save").click()
    expect(first.page.get_by_role("heading", name="As it was")).to_be_visible()
    second.page.get_by_label("Name").fill("Renamed by the second")
    second.page.get_by_role("button", name="Save").click()
    difference = second.page.locator(".sv-difference tbody tr")
    expect(difference).to_have_count(2)
    expect(difference.filter(has_text="changed by the first")).to_be_visible()
    difference.filter(has_text="changed by the first").get_by_role("button", name="Take over").click()
    second.page.get_by_role("button", name="Save").click()
    expect(second.page.get_by_role("heading", name="Renamed by the second")).to_be_visible()
    saved = stack.get(f"tasks/{task_id}")
    assert (saved["name"], saved["description"]) == ("Renamed by the second", "changed by the first")
    second.forgive("409")


def test_the_language_follows_airflow(visit: Visit) -> None:
    visitor = visit("Admin")
    visitor.page.goto(f"{visitor.address}/")
    desk = hosting().open_desk(visitor.page)
    expect(desk.get_by_role("heading", name="Board")).to_be_visible()
    hosting().choose_korean(visitor.page)
    expect(desk.get_by_role("heading", name="보드")).to_be_visible()


def test_who_signs_out_is_out(visit: Visit, people: dict[str, Person]) -> None:
    visitor = visit()
    visitor.open("board")
    visitor.sign_in(people["Viewer"])
    visitor.page.wait_for_url("**/svops/board")
    visitor.page.goto(f"{visitor.address}/")
    hosting().sign_out(visitor.page)
    visitor.page.wait_for_url("**/login/**")
    visitor.open("board")
    expect(visitor.page.locator("[name=password]")).to_be_visible()


@pytest.mark.only_on("airflow3", "Pages")
def test_from_a_dag_run_to_its_task_and_back(stack: Stack, visit: Visit) -> None:
    sample = stack.get("tasks", order_by="created_at")["items"][0]
    run_id = stack.standing(sample["id"])["workflow_runs"][1]["external_trigger_id"]
    visitor = visit("Admin")
    page = visitor.page
    page.goto(f"{visitor.address}/dags/{CHAIN[1]}/runs/{run_id}")
    page.locator("a[href$='/plugin/svops-run']").click()  # the menu's link has the same name
    desk = page.frame_locator("iframe")
    expect(desk.get_by_role("heading", name=sample["name"])).to_be_visible()
    desk.get_by_role("link", name="Open in Airflow").first.click()
    page.wait_for_url(f"**/dags/{CHAIN[0]}/runs/**")
    expect(page.locator("iframe")).to_have_count(0)
    expect(page.get_by_text("validate_pipeline").first).to_be_visible()
