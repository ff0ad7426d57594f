"""Takes pictures of every page of a whole stack, on the Airflow that is installed, with real data in it.

``build/screenshots/<host>`` gets every page in light and dark, as wide as a desk and as a phone;
``docs/screenshots/<host>`` the few that the README shows, in Airflow's own frame.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, Request, expect, sync_playwright

from svops_plugin.presentation.views.pages import PAGES, TABS
from tests.e2e.conftest import Stack, standing
from tests.e2e.test_chain import CHROMIUM
from tests.hosts import hosting

REPOSITORY = Path(__file__).parents[1]
THEMES = ("light", "dark")
WIDTHS = (1280, 375)
COLOURS = 128
PATIENCE_MS = 60_000
LOAD_ALL = """() => Promise.all([...document.querySelectorAll("img, iframe")].map((one) => {
    const end = (resolve) => ["load", "error"].forEach((name) => one.addEventListener(name, resolve));
    const loaded = one.complete || new Promise(end);
    one.loading = "eager";
    if (!("complete" in one)) one.src = one.src; // a frame does not tell whether it has been loaded
    return loaded;
}))"""
HEIGHT = "document.documentElement.scrollHeight"
QUIET_MS = 300  # that nothing is asked for
API = "/svops/api/"
# Where the machine that takes the pictures keeps its files is of no interest.
RENAME = """(body, names) => {
    const texts = document.createTreeWalker(body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode())
        for (const [name, other] of Object.entries(names))
            texts.currentNode.data = texts.currentNode.data.replaceAll(name, other);
}"""
SHOWN = {"board": 640, "task": 1000, "cause": 760, "compare": 900, "dataset": 760}  # and how high, in pixels
ESTIMATORS = ("svc", "logistic_regression", "random_forest", "knn")


class Silent(BaseHTTPRequestHandler):
    """Takes a message of a webhook's."""

    def do_POST(self) -> None:
        """Answer that it is well."""
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing of it."""


@contextmanager
def hook() -> Iterator[str]:
    """Give the address of a webhook."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/svops"
        server.shutdown()


def furnish(stack: Stack, address: str) -> dict[str, Any]:
    """Let people have worked there; return what the addresses of the pages have to name."""
    oncall = {"name": "oncall", "channel": "webhook", "webhook_url": address}
    stack.post("notifications/configs", {**oncall, "notification_types": ["task_completed", "task_failed"]})
    stack.post("notifications/configs", {"name": "new-recordings", "channel": "inbound"})
    tasks = [
        stack.task(
            name=f"Digits by descriptors, {estimator}",
            data_type="Surf",
            customer="acme",
            tags=["nightly", "digits"],
            build_config_customized=True,
            build_config_custom_conf={"estimator": estimator, "seed": 7},
            branch_name="main",
            commit_id="4f9c2b1",
        )
        for estimator in ESTIMATORS
    ]
    failing = stack.task(
        name="Strict: no release below 99.9 %",
        customer="globex",
        tags=["release"],
        description="What does not reach this accuracy is not shipped.",
        build_config_customized=True,
        build_config_custom_conf={"min_accuracy": 0.999},
    )
    for task_id in (*tasks, failing):
        stack.post(f"tasks/{task_id}/execute", {"note": "as every night", "parameters": {"camera": "left"}})
    ends = {task_id: stack.end_of(task_id)["execution_id"] for task_id in (*tasks, failing)}
    for verb in ("retry", "retry"):
        stack.post(f"tasks/{failing}/{verb}")
        ends[failing] = stack.end_of(failing)["execution_id"]
    stack.post(f"tasks/{tasks[0]}/execute", {"note": "once more"})
    again = stack.end_of(tasks[0])["execution_id"]
    stack.task(name="A new camera, not yet run", customer="initech", data_type="Jetson")
    return {
        "task_id": tasks[0],
        "failing": failing,
        "dataset_id": stack.dataset("Jetson"),
        "workflow_id": "wf_1",
        "run_id": stack.get("workflows/wf_1/runs")["items"][0]["id"],
        "config_name": "oncall",
        "ids": [again, *ends.values()][:6],
    }


def addresses(known: dict[str, Any]) -> dict[str, str]:
    """Return the address of every page, by the name of its picture."""
    found = {}
    for rule, page in PAGES.items():
        path = rule.strip("/")
        for name in ("task_id", "dataset_id"):
            path = path.replace(f"<int:{name}>", str(known[name]))
        for name in ("workflow_id", "run_id", "config_name"):
            path = path.replace(f"<{name}>", str(known[name]))
        ending = rule.rsplit("/", 1)[1]
        found[f"{page.module}-{ending}" if page.module.endswith("_form") else page.module] = path
    ids = ",".join(map(str, known["ids"]))
    return found | {
        "task_form-edit": f"tasks/{known['failing']}/edit",
        "cause": f"tasks/{known['failing']}",
        "compare": f"compare?ids={ids}",
        "compare-two": f"compare?ids={','.join(map(str, known['ids'][:2]))}",
        "run": "run?dag_id=d&run_id=manual",
        "board-none": "board?q=nothing+like+it",
        "records": TABS["Records"],
        "records-one": f"{TABS['Records']}{known['failing']}",
    }


class Photographer:
    """Somebody signed in, who looks at pages in a theme, in a window of a width."""

    def __init__(self, browser: Browser, address: str, password: str, home: Path) -> None:
        self._browser, self._address = browser, address
        self._renamed = {
            str(home.resolve()): "/srv/svops",
            str(home): "/srv/svops",
            str(REPOSITORY): "/opt/svops",
        }
        self._asked: set[Request] = set()
        page = self._context("light", WIDTHS[0]).new_page()
        page.goto(f"{address}{hosting().PAGES}/board")
        page.locator("[name=username]").fill("admin")
        page.locator("[name=password]").fill(password)
        page.locator("[type=submit]").click()
        page.wait_for_url("**/svops/board")
        self._state = page.context.storage_state()

    _state: Any = None

    def _context(self, theme: Any, width: int, language: str = "en") -> BrowserContext:
        window = {"width": width, "height": 800}
        context = self._browser.new_context(
            locale=language,
            color_scheme=theme,
            viewport=window,
            storage_state=self._state,  # type: ignore[arg-type]
        )
        context.on("request", lambda one: self._asked.add(one) if API in one.url else None)
        context.on("requestfinished", self._answered)
        context.on("requestfailed", self._answered)
        context.add_init_script(f"localStorage.setItem('darkTheme', '{str(theme == 'dark').lower()}')")
        return context

    def _answered(self, request: Request) -> None:
        self._asked.discard(request)

    def every_page(self, paths: dict[str, str], folder: Path) -> None:
        """Take pictures of whole pages, in each theme and width, and of the board in Korean."""
        for theme in THEMES:
            for width in WIDTHS:
                context = self._context(theme, width)
                for name, path in paths.items():
                    self._take(context.new_page(), path, folder / f"{name}-{theme}-{width}.png")
                context.close()
        korean = self._context("light", WIDTHS[0], "ko")
        for name in ("board", "cause", "task_form-new"):
            self._take(korean.new_page(), paths[name], folder / f"{name}-korean.png")

    def _take(self, page: Page, path: str, picture: Path) -> None:
        page.goto(f"{self._address}{hosting().PAGES}/{path}")
        self._settle(page, page)
        # In a picture of more than the window, a frame that is not in sight stays white.
        window = {"width": page.viewport_size["width"], "height": page.evaluate(HEIGHT)}
        page.set_viewport_size(window)  # type: ignore[arg-type]
        self._settle(page, page)
        page.screenshot(path=picture)
        page.close()

    def _settle(self, page: Page, desk: Page | FrameLocator) -> None:
        """Wait until the desk shows all that it has asked for, also what lies further down."""
        expect(desk.locator(".sv-panel, .sv-empty").first).to_be_visible(timeout=PATIENCE_MS)
        live = desk.locator("#sv-connection[data-state=live], #sv-connection:not([data-state])")
        expect(live).to_be_attached(timeout=PATIENCE_MS)
        page.wait_for_timeout(QUIET_MS)
        while self._asked:
            page.wait_for_timeout(QUIET_MS)
        desk.locator("body").evaluate(LOAD_ALL, timeout=PATIENCE_MS)
        desk.locator("body").evaluate(RENAME, self._renamed)

    def shown_pages(self, paths: dict[str, str], folder: Path) -> None:
        """Take the pictures of the README, with what the host puts around the pages."""
        for theme in THEMES:
            context = self._context(theme, WIDTHS[0])
            for name, height in SHOWN.items():
                page = context.new_page()
                page.set_viewport_size({"width": WIDTHS[0], "height": height})
                page.goto(self._address + hosting().framed(paths[name]))
                self._settle(page, hosting().desk(page))
                save_small(page.screenshot(), folder / f"{name}-{theme}.png")
                page.close()
            context.close()


def save_small(picture: bytes, path: Path) -> None:
    """Keep a picture with few colours."""
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def main() -> None:
    """Start a stack, furnish it, take all pictures."""
    host = hosting().AIRFLOW
    whole, shown = REPOSITORY / "build/screenshots" / host, REPOSITORY / "docs/screenshots" / host
    for folder in (whole, shown):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    with (
        tempfile.TemporaryDirectory(prefix="svops-screenshots-") as temporary,
        standing(Path(temporary, "home")) as (api, password),
        hook() as address,
        sync_playwright() as playwright,
        httpx.Client() as airflow,
    ):
        stack = Stack(Path(temporary, "home"), api, airflow)
        known = furnish(stack, address)
        running = stack.task(
            name="Camera frames, every estimator", data_type="Jetson", build_config="release"
        )
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        site = str(api.base_url.copy_with(path="/")).rstrip("/")
        photographer = Photographer(browser, site, password, stack.home)
        paths = addresses(known)
        stack.post(f"tasks/{running}/execute")
        photographer.shown_pages(paths, shown)
        photographer.every_page(paths, whole)
        browser.close()


if __name__ == "__main__":
    main()
