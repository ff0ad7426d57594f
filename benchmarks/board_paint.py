"""How soon the board is on the screen with few and with 10,000 tasks, beside Airflow's own list of DAGs.

A real stack and a real browser, whose cache is empty for each look. *First paint* is the browser's own
``first-contentful-paint``; the rows are there when a frame has been drawn after the first of them was added.
Printed is a line of JSON for each page, with medians in milliseconds since the address was asked for.
"""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from chain_overhead import Bench, running
from figures import Figure, json_option, keep
from playwright.sync_api import Browser, Page, StorageState, sync_playwright
from sqlalchemy import text

from svops_plugin.bootstrap import host

MANY = 10_000
CHROMIUM = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
COPIES = text("""INSERT INTO svops_task
(name, customer, log_out_path, build_config, build_config_customized, build_config_custom_conf,
 build_config_custom_ini, dataset_id, video_out_enabled, video_out_path, tags, status, created_by_id,
 created_at, updated_at, version)
SELECT name || ' ' || n, customer, log_out_path, build_config, build_config_customized,
 build_config_custom_conf, build_config_custom_ini, dataset_id, video_out_enabled, video_out_path, tags,
 (ARRAY['completed', 'failed', 'pending', 'cancelled'])[1 + n % 4], created_by_id,
 now() - (n || ' seconds')::interval, now(), 1
FROM (SELECT * FROM svops_task ORDER BY id LIMIT 1) task, generate_series(1, :many) n""")
MARK_ROWS = """new MutationObserver((_, watching) => {
    if (window.rowsAt || !document.querySelector("tbody tr")) return;
    watching.disconnect();
    requestAnimationFrame(() => requestAnimationFrame(() => { window.rowsAt = performance.now(); }));
}).observe(document, { subtree: true, childList: true });"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def look(
    browser: Browser, session: StorageState, url: str, times: int, *, has_rows: bool
) -> Iterator[tuple[float, float]]:
    """Open a page so often, and give when something was painted and when rows were there, 0 without."""
    for _ in range(times):
        with browser.new_context(storage_state=session, bypass_csp=True) as context:
            context.add_init_script(MARK_ROWS)
            page = context.new_page()
            page.goto(url)
            page.wait_for_function(f"window.rowsAt && {FIRST_PAINT}" if has_rows else FIRST_PAINT)
            yield page.evaluate(FIRST_PAINT), page.evaluate("window.rowsAt ?? 0")


def sign_in(page: Page, bench: Bench) -> None:
    """Fill in Airflow's login form, to which its first page leads."""
    page.goto(bench.access.url)
    page.locator("[name=username]").fill("admin")
    page.locator("[name=password]").fill(bench.access.password)
    page.locator("[type=submit]").click()
    page.wait_for_url(lambda url: "login" not in url)


@click.command()
@click.option("--times", default=7, show_default=True, type=click.IntRange(1))
@json_option
def main(times: int, report: Path | None) -> None:
    """Look at the pages so often each."""
    modern = host().HAS_API_SERVER
    board = f"{'/pluginsv2' if modern else ''}/svops/board"
    dags = "/dags" if modern else "/home"
    with running("tuned", 10) as bench, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=CHROMIUM)
        with browser.new_context() as context:
            sign_in(context.new_page(), bench)
            session = context.storage_state()
        found: list[Figure] = []
        pages: list[tuple[str, str]] = [("board, 10 tasks", board), ("Airflow's DAGs", dags)]
        for name, path in [*pages, (f"board, {MANY} more", board)]:
            if name.endswith("more"):
                with bench.svops.begin() as connection:
                    connection.execute(COPIES, {"many": MANY})
            url, has_rows = bench.access.url + path, path == board
            list(look(browser, session, url, 1, has_rows=has_rows))  # which loads the server's modules
            looks = look(browser, session, url, times, has_rows=has_rows)
            paints, rows = zip(*looks, strict=True)
            outcome: dict[str, Any] = {
                "page": name,
                "first_paint_ms": round(statistics.median(paints)),
                "worst_first_paint_ms": round(max(paints)),
                "rows_ms": round(statistics.median(rows)) if has_rows else None,
                "load": round(os.getloadavg()[0], 2),
            }
            print(json.dumps(outcome), flush=True)
            found.append(Figure(f"{name}: first paint", outcome["first_paint_ms"], "ms"))
            if has_rows:
                found.append(Figure(f"{name}: rows are there", outcome["rows_ms"], "ms"))
        browser.close()
    keep(report, found)


if __name__ == "__main__":
    main()
