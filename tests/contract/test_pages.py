"""Every page for everybody: {nobody, Viewer, User, Op, Admin}, on either host."""

from __future__ import annotations

import re
from threading import Event

import httpx
import pytest

from svops_plugin.bootstrap import services
from svops_plugin.domain.permissions import MENU, Actor
from svops_plugin.presentation.views import frames, menu
from svops_plugin.presentation.views.pages import PAGES, TABS
from tests.hosts import hosting
from tests.server import BASE, Clients

ROLES = {"viewer": "Viewer", "user": "User", "op": "Op", "admin": "Admin"}
IDS = {"task_id": "1", "dataset_id": "1", "workflow_id": "wf_1", "run_id": "run_1", "config_name": "oncall"}
INLINE = re.compile(r"<script(?![^>]*\bsrc=)(?![^>]*application/json)[^>]*>|\son\w+=\"|javascript:(?!void)")


def address(rule: str) -> str:
    """Return the address of a page about something."""
    return BASE + hosting().PAGES + re.sub(r"<(?:\w+:)?(\w+)>", lambda found: IDS[found[1]], rule)


def signed_in(client: Clients, name: str) -> httpx.Client:
    made = client(None)
    hosting().sign_in(made, name)
    return made


@pytest.mark.parametrize("name", ROLES)
def test_each_page_opens_to_whom_it_is_for(client: Clients, name: str) -> None:
    asker, actor = signed_in(client, name), Actor(1, name, frozenset({ROLES[name]}))
    for rule, page in PAGES.items():
        answer = asker.get(address(rule))
        opens, desk = page.open_to(actor), answer.text.split("sv-tabs")[-1]
        assert answer.status_code == (200 if opens else 403), (rule, answer.text)
        assert f"<title>{page.title} · SVOps</title>" in answer.text
        assert (f"/{page.module}.js" in answer.text) is opens
        for tab in MENU:
            shown = re.search(rf'/svops/{TABS[tab]}"[^>]*>{tab}</a>', desk) is not None
            assert shown is actor.may(*MENU[tab]), (rule, tab)
        assert ('aria-current="page"' in desk) is actor.may(*MENU[page.tab])


def test_what_a_viewer_may_not_do_has_no_page() -> None:
    viewer = Actor(1, "viewer", frozenset({"Viewer"}))
    closed = {rule for rule, page in PAGES.items() if not page.open_to(viewer)}
    notifications = {rule for rule, page in PAGES.items() if page.tab == "Notifications"}
    forms = {"/tasks/new", "/datasets/new", "/workflows/new", "/workflows/<workflow_id>/runs/new"}
    assert closed == forms | notifications


def test_nobody_is_sent_to_sign_in_and_back(nobody: httpx.Client) -> None:
    for rule in PAGES:
        answer = nobody.get(f"{address(rule)}?q=1", follow_redirects=False)
        assert answer.status_code == 302
        back = httpx.URL(answer.headers["location"])
        assert "/login" in back.path
        assert httpx.URL(back.params["next"]).path == httpx.URL(address(rule)).path


def test_no_page_lets_anything_run_that_is_no_file_of_this_host(client: Clients) -> None:
    asker = signed_in(client, "admin")
    for rule in PAGES:
        answer = asker.get(address(rule))
        policy = answer.headers["Content-Security-Policy"]
        directives = {one.split()[0]: one.split()[1:] for one in policy.split(";")}
        assert directives["default-src"] == ["'none'"]
        assert directives["script-src"] == ["'self'"]
        assert directives["frame-ancestors"] == ["'self'"]
        assert ("'unsafe-inline'" in directives["style-src"]) is hosting().BAR
        assert "no-store" in answer.headers["Cache-Control"]
        assert not INLINE.findall(answer.text), rule


def test_the_files_of_a_page_are_served_once_and_for_all(client: Clients) -> None:
    asker = signed_in(client, "viewer")
    shell = asker.get(address("/board")).text
    files = re.findall(r'(?:src|href)="([^"]*/svops/static/[^"]+)"', shell)
    assert {name.rsplit("/", 1)[1] for name in files} >= {"tokens.css", "svops.css", "theme.js", "board.js"}
    for name in files:
        answer = asker.get(BASE + name)
        assert answer.status_code == 200, name
        assert "max-age=31536000" in answer.headers["Cache-Control"]
    stale = re.sub(r"/static/[^/]+/", "/static/0/", files[0])
    assert "max-age=31536000" not in asker.get(BASE + stale).headers["Cache-Control"]
    assert asker.get(f"{BASE}{hosting().PAGES}/static/0/..%2fdesk.py").status_code == 404


def test_the_language_is_the_readers(client: Clients) -> None:
    asker = signed_in(client, "viewer")
    assert ">데이터셋</a>" in asker.get(address("/board"), headers={"Accept-Language": "ko-KR,ko;q=0.9"}).text
    assert ">Datasets</a>" in asker.get(address("/board"), headers={"Accept-Language": "fr"}).text
    asker.cookies.set("svops_language", "ko")
    assert ">데이터셋</a>" in asker.get(address("/board"), headers={"Accept-Language": "en"}).text


@pytest.mark.parametrize("name", ["viewer", "op"])
def test_the_menu_leads_to_pages(client: Clients, name: str) -> None:
    services().sync_roles(Event())
    asker, actor = signed_in(client, name), Actor(1, name, frozenset({ROLES[name]}))
    if not hosting().BAR:
        (entry,) = (one for one in frames() if one["destination"] == "nav")
        assert asker.get(BASE + entry["href"]).status_code == 200
        return
    bar = asker.get(address("/board")).text.split("sv-desk")[0]
    for entry in menu():
        opens = actor.may(*MENU[entry["name"]])
        assert (f'href="{entry["href"]}"' in bar) is opens
        assert asker.get(BASE + entry["href"]).status_code == (200 if opens else 403)
