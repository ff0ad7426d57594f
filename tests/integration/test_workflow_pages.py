"""The pages of workflows in a browser: a DAG is registered, run alone, watched, stopped and retried."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import TriggerType
from svops_plugin.domain.failures import failure
from svops_plugin.domain.states import RunStatus
from tests.conftest import OUTPUT
from tests.hosts import hosting
from tests.integration.browser import WIDER, Desk, api, dataset, keep, serve, server, sit_down
from tests.integration.support import in_airflow

__all__ = ["api", "dataset", "serve", "server", "sit_down"]

pytestmark = pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)
DAG, PIPELINE, CONTROLLER = "simple_workflow_example", "data_processing_pipeline", "svops_controller"


def register(api: httpx.Client, dag_id: str = DAG, name: str = "example") -> str:
    answer = api.post("api/v1/workflows", json={"name": name, "dag_id": dag_id})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def run_alone(api: httpx.Client, workflow_id: str, **values: Any) -> dict[str, Any]:
    answer = api.post(f"api/v1/workflows/{workflow_id}/runs", json=values)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def end(run: dict[str, Any], status: RunStatus, **values: Any) -> None:
    """Let a run end as the monitor would see it."""
    with services(pooled=True).transactions() as uow:
        held = uow.runs.lock(int(run["id"].removeprefix("run_")))
        assert uow.runs.move(held, status, **values)


def test_any_dag_is_registered_and_run_alone(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    task_id = keep(api, "for the run", dataset_id=dataset)
    desk = sit_down()
    page = desk.open("workflows")
    page.get_by_role("link", name="New workflow").first.click()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#sv-dag_id-error")).to_have_text("This is needed.")
    page.get_by_label("DAG").fill("controller")
    expect(page.locator("datalist option")).to_have_count(1)
    page.get_by_label("DAG").fill("nothing_of_the_kind")
    page.get_by_label("Name").fill("by hand")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#sv-dag_id-error")).to_contain_text("missing")
    desk.complaints[:] = [text for text in desk.complaints if "422" not in text]  # the one that was refused
    page.get_by_label("DAG").fill(CONTROLLER)
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="by hand").wait_for()
    page.get_by_role("link", name="Run it alone").click()
    expect(page.get_by_role("row", name="task_id")).to_contain_text("The SVOps task to execute")
    page.get_by_label("Note").fill("tried by hand")
    page.get_by_role("button", name="Run").click()
    expect(page.locator("#sv-parameters-error")).to_contain_text("task_id")
    desk.complaints[:] = [text for text in desk.complaints if "422" not in text]  # the one that was refused
    expect(page.get_by_label("Note")).to_have_value("tried by hand")
    page.get_by_label("Task", exact=True).fill("for the")
    expect(page.locator("#sv-task_id-list option")).to_have_attribute("value", str(task_id))
    page.get_by_label("Task", exact=True).fill(str(task_id))
    page.get_by_role("button", name="Run").click()
    page.wait_for_url("**/workflows/*/runs/run_*")
    expect(page.locator(".sv-facts")).to_contain_text("tried by hand")
    expect(page.get_by_text("1_data_processing_pipeline").first).to_be_visible()
    run = api.get(f"api/v1/workflows/{page.url.rpartition('workflows/')[2]}").json()
    conf = in_airflow(CONTROLLER, run["external_trigger_id"]).conf
    assert (conf["task_id"], conf["note"]) == (task_id, "tried by hand")


def test_a_run_is_watched_and_its_failure_explained(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int, tmp_path: Path
) -> None:
    workflow = register(api, PIPELINE)
    task_id = keep(api, "for the run", dataset_id=dataset)
    run = run_alone(api, workflow, task_id=task_id, note="alone")
    tracker = services().tracker(PIPELINE, run["external_trigger_id"])
    tracker.begin()
    desk = sit_down()
    page = desk.open(f"workflows/{workflow}/runs/{run['id']}")
    expect(page.locator(".sv-head .sv-state")).to_have_text("Running")
    expect(page.get_by_text("validate_pipeline")).to_be_visible()
    report = OUTPUT / f"{tmp_path.name}.html"
    report.write_text("<h1>All of it</h1>")
    tracker.log_artifact(report, "report.html", "text/html")
    tracker.log_metric("accuracy", 0.5, None)
    told = failure(PIPELINE, "no such file", task_id="load_data", log_url="/log")
    end(run, RunStatus.FAILED, error={**told, "log_tail": ["first", "the last line"]})
    page.reload()
    expect(page.locator(".sv-cause")).to_contain_text("load_data")
    expect(page.locator(".sv-log")).to_contain_text("the last line")
    expect(page.frame_locator(".sv-report").get_by_role("heading")).to_have_text("All of it")
    expect(page.get_by_role("row", name="accuracy")).to_contain_text("0.5")
    page.get_by_role("button", name="Retry").click()
    page.get_by_role("dialog").get_by_label("Note").fill("once more")
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    expect(page.locator(".sv-facts")).to_contain_text("once more")
    assert not page.url.endswith(f"/{run['id']}")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("dialog").get_by_role("button", name="Stop").click()
    expect(page.locator(".sv-head .sv-state")).to_have_text("Cancelled")


def test_runs_are_filtered_and_change_live(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    workflow = register(api)
    ended, queued = (run_alone(api, workflow) for _ in range(2))
    end(ended, RunStatus.FAILED)
    desk = sit_down()
    page = desk.open(f"workflows/{workflow}?status=failed")
    rows = {
        run["id"]: page.locator("tbody tr").filter(has=page.get_by_role("link", name=run["id"], exact=True))
        for run in (ended, queued)
    }  # among those that other tests left in Airflow
    expect(rows[ended["id"]]).to_be_visible()
    expect(rows[queued["id"]]).to_have_count(0)
    page.get_by_label("State").select_option("")
    expect(rows[queued["id"]]).to_be_visible()
    expect(page.locator("#sv-connection")).to_have_text("Live")
    path = f"api/v1/workflows/{workflow}/runs/{queued['id']}/control"
    assert api.post(path, json={"action": "stop"}).status_code == 200
    expect(rows[queued["id"]].locator(".sv-state")).to_have_text("Cancelled")
    page.get_by_label("From").fill("2001-01-01T00:00")
    page.get_by_label("Until").fill("2001-01-02T00:00")
    expect(page.get_by_text("Nothing is like that.")).to_be_visible()
    page.reload()
    expect(page.get_by_label("Until")).to_have_value("2001-01-02T00:00")
    expect(page.get_by_text("Nothing is like that.")).to_be_visible()


def test_the_tab_of_a_dag_run_leads_to_it(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    workflow = register(api)
    run = run_alone(api, workflow)
    page = sit_down("viewer").open(f"run?dag_id={DAG}&run_id={run['external_trigger_id']}")
    page.wait_for_url(f"**/workflows/{workflow}/runs/{run['id']}")
    expect(page.get_by_role("heading", name=run["id"])).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    page = sit_down("viewer").open("run?dag_id=another&run_id=unknown")
    expect(page.get_by_text("SVOps does not know this run.")).to_be_visible()


@pytest.mark.parametrize(("trigger_type", "offered"), [("api", 1), ("external", 0)])
def test_a_run_is_stopped_by_who_asked_svops_for_it(
    sit_down: Callable[..., Desk], api: httpx.Client, trigger_type: str, offered: int
) -> None:
    """The name that Airflow tells of a run need not be that of the user who has it."""
    workflow = register(api)
    run = run_alone(api, workflow)
    with services(pooled=True).transactions() as uow:
        held = uow.runs.lock(int(run["id"].removeprefix("run_")))
        assert held is not None
        held.triggered_by, held.trigger_type = "user", TriggerType(trigger_type)
    page = sit_down("user").open(f"workflows/{workflow}/runs/{run['id']}")
    expect(page.get_by_role("heading", name=run["id"])).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_have_count(offered)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_is_seriously_hard_to_use(
    sit_down: Callable[..., Desk], api: httpx.Client, theme: str
) -> None:
    workflow = register(api, name="<b>long</b> " * 20)
    run = run_alone(api, workflow)
    runs = f"workflows/{workflow}/runs"
    desk = sit_down(color_scheme=theme, bypass_csp=True, viewport={"width": 375, "height": 800})
    for path in ("workflows/new", f"workflows/{workflow}", f"{runs}/new", f"{runs}/{run['id']}"):
        page = desk.open(path)
        page.locator("h1").wait_for()
        page.wait_for_load_state("networkidle")
        assert page.evaluate(WIDER) == 0, path
        assert desk.serious() == [], path
