"""Deleting what is old: all of it, nothing else, and again after an interruption."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, select
from sqlalchemy.engine import Engine

from svops_plugin.application import housekeeping
from svops_plugin.application.housekeeping import Housekeeper, Retention
from svops_plugin.application.housekeeping_ports import TABLES
from svops_plugin.bootstrap import services
from svops_plugin.domain.entities import (
    Artifact,
    Execution,
    IdempotencyKey,
    Metric,
    RefreshToken,
    Task,
    WorkflowRun,
    utcnow,
)
from svops_plugin.domain.errors import InvalidInput
from svops_plugin.domain.permissions import OPERATOR
from svops_plugin.domain.states import RunStatus
from svops_plugin.infrastructure.database import tables
from svops_plugin.infrastructure.storage import ConfinedPaths
from svops_plugin.presentation.cli import main
from tests.integration.desk import Desk, cause
from tests.integration.live import an_event, happen
from tests.integration.support import ok

LONG_AGO = timedelta(days=100)


def bound() -> datetime:
    return utcnow() - timedelta(days=90)


class Told(list[tuple[str, float, dict[str, str]]]):
    """What was told to the metrics."""

    def __call__(self, name: str, value: float = 1, **tags: str) -> None:
        self.append((name, value, tags))


class Keeper(Desk):
    """A desk whose outputs lie in a folder, and who cleans up after itself."""

    root: Path
    told: Told

    @property
    def housekeeper(self) -> Housekeeper:
        return Housekeeper(self.transactions, ConfinedPaths([], [str(self.root)]), self.told)

    def clean(self, *names: str) -> dict[str, int]:
        found = self.housekeeper.clean(bound(), names or TABLES)
        return {table: cleaned.rows for table, cleaned in found if cleaned.rows}

    def task_here(self, name: str = "train") -> Task:
        return self.new_task(name, log_out_path=str(self.root))

    def failed(self, task: Task) -> Execution:
        """Let an attempt fail in its first step, long ago, and leave a file, a metric and an artifact."""
        execution = self.execute(task)
        run = self.begin(execution, 1)
        self.controller.fail(execution.controller_run_id, cause("prepare"))
        file = Path(execution.output_path) / "report.html"
        file.parent.mkdir(parents=True)
        file.write_text("report")
        with self.transactions() as uow:
            ids = {"execution_id": execution.id, "workflow_run_id": run.id}
            uow.tracking.save_metric(Metric(**ids, name="m", value=1.0))
            uow.tracking.save_artifact(Artifact(**ids, name="a", path=str(file), media_type="", size=6))
            held = uow.executions.lock(execution.id)
            assert held is not None
            held.ended_at = utcnow() - LONG_AGO
        return execution

    def rows(self, name: str) -> int:
        with self.engine.connect() as connection:
            table = tables.metadata.tables[f"svops_{name}"]
            return int(connection.scalar(select(func.count()).select_from(table)) or 0)


@pytest.fixture
def desk(engine: Engine, tmp_path: Path) -> Keeper:
    made = Keeper(engine)
    made.root, made.told = tmp_path / "outputs", Told()
    made.root.mkdir()
    return made


class TestExecutions:
    def test_an_old_one_goes_with_all_that_is_its_own(self, desk: Keeper) -> None:
        task = desk.task_here()
        old, last = desk.failed(task), desk.failed(task)
        assert desk.clean("execution") == {"execution": 1}
        assert not Path(old.output_path).exists()
        assert (Path(last.output_path) / "report.html").exists()
        assert [desk.rows(name) for name in ("execution", "workflow_run", "metric", "artifact")] == [
            1,
            3,
            1,
            1,
        ]
        assert desk.execution(last.id).attempt == 2
        assert desk.told == [("svops.housekeeping.deleted", 1, {"table": "execution"})]

    def test_what_has_not_ended_stays(self, desk: Keeper) -> None:
        task = desk.task_here()
        desk.failed(task)
        running = desk.execute(task)
        desk.age(running, days=200)
        assert desk.clean("execution") == {"execution": 1}
        assert desk.execution(running.id).status == "running"

    def test_what_a_running_one_goes_on_from_stays(self, desk: Keeper) -> None:
        task = desk.task_here()
        desk.failed(task), desk.failed(task)
        desk.service.retry(OPERATOR, task.id, lambda started: {"id": started.execution.id})
        assert desk.clean("execution") == {"execution": 1}
        assert desk.rows("execution") == 2

    def test_what_is_younger_stays(self, desk: Keeper) -> None:
        task = desk.task_here()
        desk.failed(task), desk.failed(task)
        young = desk.housekeeper.clean(utcnow() - timedelta(days=101))
        assert not any(cleaned.rows for _, cleaned in young)

    def test_files_out_of_reach_keep_their_rows_and_hold_up_no_others(
        self, desk: Keeper, tmp_path: Path
    ) -> None:
        elsewhere = desk.new_task("elsewhere", log_out_path=str(tmp_path / "elsewhere"))
        here = desk.task_here()
        for task in (elsewhere, here):
            desk.failed(task), desk.failed(task)
        ((_, cleaned),) = desk.housekeeper.clean(bound(), ["execution"])
        assert cleaned.rows == 1
        (reason,) = cleaned.kept
        assert "output_roots" in reason
        assert desk.rows("execution") == 3

    def test_links_are_not_followed(self, desk: Keeper, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "data").write_text("x")
        task = desk.task_here()
        old = desk.failed(task)
        desk.failed(task)
        (Path(old.output_path) / "link").symlink_to(precious)
        assert desk.clean("execution") == {"execution": 1}
        assert (precious / "data").exists()

    def test_interrupted_between_files_and_rows_it_goes_on(
        self, desk: Keeper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        task = desk.task_here()
        folders = [Path(desk.failed(task).output_path) for _ in range(4)]
        remove, removed = ConfinedPaths.remove, list[str]()

        def interrupted(paths: ConfinedPaths, folder: str) -> None:
            remove(paths, folder)
            removed.append(folder)
            if len(removed) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(ConfinedPaths, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            desk.clean("execution")
        assert (len(removed), desk.rows("execution")) == (2, 4)
        assert desk.clean("execution") == {"execution": 3}
        assert [folder.exists() for folder in folders] == [False, False, False, True]


class TestRunsAlone:
    def run(self, desk: Keeper, task: Task, *, ended: bool = True) -> tuple[WorkflowRun, Path]:
        run = desk.run_alone("prepare", task_id=task.id)
        desk.tracker(run).begin()
        folder = self.root(desk, task) / f"alone/run_{run.id}"
        folder.mkdir(parents=True)
        if ended:
            with desk.transactions() as uow:
                held = uow.runs.lock(run.id)
                assert held is not None
                held.status, held.end_date = RunStatus.SUCCESS, utcnow() - LONG_AGO
        return run, folder

    def root(self, desk: Keeper, task: Task) -> Path:
        return desk.root / f"task_{task.id}"

    def test_an_old_one_goes_with_its_folder(self, desk: Keeper) -> None:
        task = desk.task_here()
        _, old = self.run(desk, task)
        run, young = self.run(desk, task, ended=False)
        assert desk.clean() == {"workflow_run": 1}
        assert (old.exists(), young.exists()) == (False, True)
        assert desk.run(run.id).status in {RunStatus.QUEUED, RunStatus.RUNNING}

    def test_what_another_reads_stays_until_that_has_ended(self, desk: Keeper) -> None:
        task = desk.task_here()
        _, folder = self.run(desk, task)
        reader = desk.run_alone("train", task_id=task.id)
        desk.tracker(reader, "prepare").begin()
        ((_, cleaned),) = desk.housekeeper.clean(bound(), ["workflow_run"])
        assert (cleaned.rows, cleaned.kept) == (0, [f"{folder} is being read."])
        with desk.transactions() as uow:
            held = uow.runs.lock(reader.id)
            assert held is not None
            held.status, held.end_date = RunStatus.FAILED, utcnow()
        assert desk.clean() == {"workflow_run": 1}
        assert not folder.exists()


class TestOthers:
    def add_keys(self, desk: Keeper, number: int, age: timedelta) -> None:
        with desk.transactions() as uow:
            for index in range(number):
                key = IdempotencyKey(scope=f"{age}", key=str(index), digest="", answer={})
                key.created_at = utcnow() - age
                uow.idempotency.add(key)

    def test_keys_in_transactions_of_few_rows(self, desk: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(housekeeping, "CHUNK", 10)
        self.add_keys(desk, 25, LONG_AGO)
        self.add_keys(desk, 3, timedelta(days=1))
        begun = []

        def transactions() -> object:
            begun.append(1)
            return Desk.transactions(desk)

        keeper = Housekeeper(transactions, ConfinedPaths([], []), desk.told)  # type: ignore[arg-type]
        assert [cleaned.rows for _, cleaned in keeper.clean(bound(), ["idempotency_key"])] == [25]
        assert len(begun) == 3
        assert desk.rows("idempotency_key") == 3

    def test_refresh_tokens_that_have_expired(self, desk: Keeper) -> None:
        with desk.transactions() as uow:
            user = uow.users.identify("1", "ann")
            for name, expired in (("old", LONG_AGO), ("new", timedelta(days=-1))):
                token = RefreshToken(
                    digest=name, family=name, user_id=user.id, claims={}, expires_at=utcnow() - expired
                )
                uow.users.add_refresh_token(token)
        assert desk.clean() == {"refresh_token": 1}
        with desk.transactions() as uow:
            assert uow.users.refresh_token("new") is not None

    def test_retention_keeps_each_as_long_as_is_said_and_what_is_zero_for_ever(self, desk: Keeper) -> None:
        self.add_keys(desk, 2, LONG_AGO)
        self.add_keys(desk, 3, timedelta(days=10))

        def purge(days: float) -> dict[str, int]:
            return Retention(desk.transactions, desk.housekeeper, {"idempotency_key": days}).purge()

        assert purge(0) == {}
        assert purge(50) == {"idempotency_key": 2}
        assert purge(5) == {"idempotency_key": 3}

    def test_retention_takes_old_executions_with_their_files(self, desk: Keeper) -> None:
        task = desk.task_here()
        folders = [Path(desk.failed(task).output_path) for _ in range(3)]

        def purge(days: float) -> dict[str, int]:
            return Retention(desk.transactions, desk.housekeeper, {"execution": days}).purge()

        assert purge(0) == {}
        assert purge(50) == {"execution": 2}
        assert [folder.exists() for folder in folders] == [False, False, True]

    def test_counting_is_what_cleaning_deletes(self, desk: Keeper) -> None:
        task = desk.task_here()
        for _ in range(3):
            desk.failed(task)
        self.add_keys(desk, 2, LONG_AGO)
        with desk.transactions() as uow:
            for age in (200, 150, 1):
                uow.record(an_event(created_at=utcnow() - timedelta(days=age)))
        counted = desk.housekeeper.count(bound())
        assert counted["execution"] == counted["idempotency_key"] == 2
        assert {table: rows for table, rows in counted.items() if rows} == desk.clean()

    def test_refusals(self, desk: Keeper) -> None:
        with pytest.raises(InvalidInput, match="has not come yet"):
            desk.housekeeper.count(utcnow() + timedelta(days=1))
        with pytest.raises(InvalidInput, match="known are event"):
            desk.housekeeper.count(bound(), ["task"])


class TestCommand:
    def clean(self, *options: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(
            main, ["db", "clean", "--before", bound().isoformat(), *options], input=answer
        )

    @pytest.fixture(autouse=True)
    def made(self, svops_database: str) -> list[int]:  # noqa: ARG002
        old = [an_event(created_at=utcnow() - LONG_AGO) for _ in range(3)]
        return happen(*old, an_event())

    @staticmethod
    def events() -> int:
        with services().transactions() as uow:
            return uow.old.count("event", utcnow() + LONG_AGO) + 1

    def test_a_dry_run_deletes_nothing(self) -> None:
        result = self.clean("--dry-run")
        assert (result.exit_code, self.events()) == (0, 4)
        assert "svops_event: 3 rows" in result.output

    def test_it_asks(self) -> None:
        assert self.clean(answer="n\n").exit_code == 1
        assert self.events() == 4
        assert self.clean(answer="y\n").exit_code == 0
        assert self.events() == 1

    def test_it_tells_what_it_deleted_by_table(self) -> None:
        result = self.clean("--yes", "--tables", "event, execution")
        assert result.exit_code == 0, result.output
        assert "svops_event: 3 deleted" in result.output
        assert "svops_execution: 0 deleted" in result.output
        assert "idempotency" not in result.output
        assert "3 rows" not in self.clean("--yes").output

    @pytest.mark.parametrize(
        ("options", "words"),
        [(["--tables", "nothing"], "known are event"), (["--before", "2999-01-01"], "not come")],
    )
    def test_refusals(self, options: list[str], words: str) -> None:
        result = self.clean(*options)
        assert result.exit_code == 1
        assert words in result.output
        assert self.events() == 4

    def test_what_is_no_time(self) -> None:
        assert self.clean("--before", "yesterday").exit_code == 2

    def test_a_client_that_resumes_is_told(
        self, made: list[int], client: Callable[..., httpx.Client]
    ) -> None:
        self.clean("--yes")
        viewer = client("viewer")
        told = {since: ok(viewer.get("events", params={"since": since})) for since in (0, made[0], made[2])}
        assert {since: answer["resync"] for since, answer in told.items()} == {
            0: False,
            made[0]: True,
            made[2]: False,
        }
        assert all([item["id"] for item in answer["items"]] == [made[3]] for answer in told.values())
