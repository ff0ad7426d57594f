"""Forms in a browser: what is typed, refused, saved by somebody else meanwhile, and lost by nobody."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import httpx
import pytest
from playwright.sync_api import expect

from svops_plugin.presentation.views import desk as shown
from tests.hosts import hosting
from tests.integration.browser import Desk, api, dataset, keep, serve, server, sit_down

__all__ = ["api", "dataset", "serve", "server", "sit_down"]

# Sessions are known to Airflow's own server only, not to the one that stands in for another host's.
pytestmark = pytest.mark.parametrize("serve", hosting().SOCKETS[:1], indirect=True)


def test_a_form_tells_beside_each_field_and_loses_nothing(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    desk = sit_down()
    page = desk.open(f"tasks/new?dataset_id={dataset}")
    page.get_by_label("Name").fill("made by hand")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#sv-customer-error")).to_have_text("This is needed.")
    page.get_by_label("Customer").fill("acme")
    page.get_by_label("Customise the preset").check()
    editor = page.get_by_label("Configuration (JSON)")
    editor.fill('{"test_size": ')
    expect(page.locator("#sv-build_config_custom_conf-error")).not_to_be_empty()
    editor.fill('{"test_size": 7}')
    expect(page.locator("#sv-build_config_custom_conf-error")).to_contain_text("at most 0.5, not 7")
    page.reload()
    expect(page.get_by_text("This is what you had typed before.")).to_be_visible()
    expect(page.get_by_label("Name")).to_have_value("made by hand")
    page.get_by_label("Configuration (JSON)").fill('{"test_size": 0.3}')
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="made by hand").wait_for()
    (made,) = api.get("api/v1/tasks").json()["items"]
    assert made["configuration"]["build_config_custom_conf"] == {"test_size": 0.3}
    assert made["dataset"]["id"] == dataset


def test_who_saves_second_sees_the_difference(sit_down: Callable[..., Desk], api: httpx.Client) -> None:
    task_id = keep(api, "as it was")
    desk = sit_down()
    page = desk.open(f"tasks/{task_id}/edit")
    expect(page.get_by_label("Name")).to_have_value("as it was")
    assert api.put(f"api/v1/tasks/{task_id}", json={"name": "theirs", "version": 1}).status_code == 200
    page.get_by_label("Name").fill("mine")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".sv-difference")).to_contain_text("theirs")
    expect(page.get_by_label("Name")).to_have_value("mine")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="mine").wait_for()
    assert api.get(f"api/v1/tasks/{task_id}").json()["name"] == "mine"
    desk.complaints[:] = [text for text in desk.complaints if "409" not in text]  # the first save


def test_a_draft_does_not_undo_what_was_saved_meanwhile(
    sit_down: Callable[..., Desk], api: httpx.Client
) -> None:
    task_id = keep(api, "as it was")
    desk = sit_down()
    page = desk.open(f"tasks/{task_id}/edit")
    page.get_by_label("Name").fill("mine")
    assert api.put(f"api/v1/tasks/{task_id}", json={"customer": "theirs", "version": 1}).status_code == 200
    page.reload()
    page.get_by_text("This is what you had typed before.").wait_for()
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".sv-difference")).to_contain_text("theirs")
    page.get_by_role("row", name="customer").get_by_role("button", name="Take over").click()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="mine").wait_for()
    assert api.get(f"api/v1/tasks/{task_id}").json()["customer"] == "theirs"
    desk.complaints[:] = [text for text in desk.complaints if "409" not in text]  # the first save


def test_what_a_list_of_choices_lacks_stays(
    sit_down: Callable[..., Desk], api: httpx.Client, dataset: int
) -> None:
    task_id = keep(api, "before", dataset_id=dataset)
    desk = sit_down()
    desk.page.route("**/api/v1/datasets?*", lambda route: route.fulfill(json={"items": [], "total": 5000}))
    page = desk.open(f"tasks/{task_id}/edit")
    page.get_by_label("Name").fill("after")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("heading", name="after").wait_for()
    assert api.get(f"api/v1/tasks/{task_id}").json()["dataset"]["id"] == dataset


def test_the_types_of_datasets_are_the_servers(
    sit_down: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shown, "DataType", Enum("DataType", {"LIDAR": "Lidar"}))
    desk = sit_down()
    page = desk.open("datasets/new")
    expect(page.locator("#sv-data_type option")).to_have_text(["Lidar"])
    desk.open("datasets")
    expect(page.get_by_label("Any type").locator("option")).to_have_text(["Any type", "Lidar"])


def test_a_notification_is_made_and_its_secret_shown_once(
    sit_down: Callable[..., Desk], api: httpx.Client
) -> None:
    desk = sit_down()
    page = desk.open("notifications/new")
    page.get_by_label("Name").fill("oncall")
    page.get_by_label("Channel").select_option("webhook")
    page.get_by_label("Address").fill("https://127.0.0.1/hook")
    page.get_by_label("A task has failed").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#sv-webhook_url-error")).to_contain_text("127.0.0.1 is not public")
    desk.complaints[:] = [text for text in desk.complaints if "422" not in text]  # the one that was refused
    page.get_by_label("Channel").select_option("inbound")
    expect(page.get_by_label("Address")).to_be_hidden()
    page.get_by_role("button", name="Save").click()
    secret = page.locator("[data-secret]").inner_text()
    assert secret.startswith("whsec_")
    page.get_by_role("button", name="Close").click()
    page.get_by_role("heading", name="oncall").wait_for()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("button", name="Enable")).to_be_visible()
    (made,) = api.get("api/v1/notifications/configs").json()["items"]
    assert (made["channel"], made["enabled"]) == ("inbound", False)
    desk.open("notifications")
    expect(page.get_by_role("link", name="oncall")).to_be_visible()
    assert secret not in page.content()
