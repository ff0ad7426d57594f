"""The gateway to Airflow, the DAGs, and the chain's trigger, on Airflow's real metadata database."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.event import listen, remove
from sqlalchemy.orm import Session

from svops_plugin.application.airflow_ports import RunTaken
from svops_plugin.application.doctor import DAG_ID
from svops_plugin.application.executions import CONTROLLER
from svops_plugin.bootstrap import host
from svops_plugin.domain.errors import Conflict, Unavailable
from tests.conftest import PostgreSQL
from tests.hosts import hosting
from tests.integration.support import at_once
from tests.server import AddDag

CHAIN = ["data_processing_pipeline", "ml_training_pipeline", "simple_workflow_example"]
TASKS = {
    "data_processing_pipeline": "extract_data, transform_data, load_data, validate_pipeline, generate_report",
    "ml_training_pipeline": (
        "prepare_training_data, train_model, evaluate_model, validate_model_performance, save_model_artifacts"
    ),
    "simple_workflow_example": "start_workflow, validate_data, process_data, finalize_workflow",
    CONTROLLER: f"1_{CHAIN[0]}, 2_{CHAIN[1]}, 3_{CHAIN[2]}",
}


@pytest.fixture
def airflow(airflow_metadata: None) -> Any:  # noqa: ARG001
    return host().DagRuns()


@pytest.fixture
def run_id() -> str:
    return f"test__{uuid4().hex}"


class TestDags:
    @pytest.mark.parametrize("dag_id", TASKS)
    def test_the_tasks_that_people_look_for_in_the_grid(self, airflow_metadata: None, dag_id: str) -> None:  # noqa: ARG002
        wanted = TASKS[dag_id].split(", ")
        following = {task.task_id: task.downstream_task_ids for task in hosting().dag(dag_id).tasks}
        assert following == {
            task_id: set(after)
            for task_id, after in zip(wanted, [*([name] for name in wanted[1:]), []], strict=True)
        }

    @pytest.mark.parametrize("dag_id", TASKS)
    def test_every_task_tells_of_its_failure(self, airflow_metadata: None, dag_id: str) -> None:  # noqa: ARG002
        assert hosting().all_tell_of_failure(dag_id)
        assert hosting().dag(CONTROLLER).has_on_failure_callback

    def test_none_runs_by_itself_and_none_begins_paused(self, airflow_metadata: None) -> None:  # noqa: ARG002
        from airflow.models.dag import DagModel
        from airflow.utils.session import create_session

        with create_session() as session:
            rows = session.execute(select(DagModel.dag_id, DagModel.is_paused)).all()
        shipped = {*TASKS, DAG_ID}
        assert {tuple(row) for row in rows} == {(dag_id, False) for dag_id in shipped}
        assert not any(hosting().dag(dag_id).timetable.can_be_scheduled for dag_id in shipped)

    def test_the_trigger_form_asks_for_a_task(self, airflow_metadata: None) -> None:  # noqa: ARG002
        params = hosting().dag(CONTROLLER).params
        assert set(params) == {"task_id", "parameters", "note"}
        assert params.get_param("task_id").schema["type"] == "integer"


class TestGateway:
    def test_nothing_keeps_the_chain_from_running(self, airflow: Any) -> None:
        assert airflow.problems([CONTROLLER, *CHAIN]) == []

    def test_missing_dags_are_named_in_their_order(self, airflow: Any) -> None:
        first, second = airflow.problems(["zzz", CONTROLLER, "aaa"])
        assert "DAG zzz is missing" in str(first)
        assert "DAG aaa is missing" in str(second)

    def test_how_many_tasks_a_dag_has(self, airflow: Any) -> None:
        assert airflow.task_counts([*CHAIN, "zzz"]) == dict(zip(CHAIN, (5, 5, 4), strict=True))

    def test_a_run_is_made_once(self, airflow: Any, run_id: str) -> None:
        conf = {"task_id": 1, "execution_id": 2}
        assert airflow.run_conf(CONTROLLER, run_id) is None
        airflow.trigger(CONTROLLER, run_id, conf, "ann")
        assert airflow.run_conf(CONTROLLER, run_id) == conf
        with pytest.raises(RunTaken):
            airflow.trigger(CONTROLLER, run_id, {"task_id": 9}, "ann")
        assert airflow.run_conf(CONTROLLER, run_id) == conf

    def test_of_many_at_once_one_makes_it(self, airflow: Any, run_id: str) -> None:
        answers = at_once(6, lambda _: airflow.trigger(CONTROLLER, run_id, {"task_id": 1}, "ann"))
        assert Counter(type(answer) for answer in answers) == {type(None): 1, RunTaken: 5}

    def test_two_runs_in_the_same_moment(self, airflow: Any, run_id: str) -> None:
        answers = at_once(
            6, lambda number: airflow.trigger(CONTROLLER, f"{run_id}{number}", {"task_id": 1}, "a")
        )
        assert answers == [None] * 6

    def test_a_missing_dag(self, airflow: Any, run_id: str) -> None:
        with pytest.raises(Conflict, match="nothing_of_the_kind"):
            airflow.trigger("nothing_of_the_kind", run_id, {}, "ann")

    def test_a_conf_that_the_dag_refuses(self, airflow: Any, run_id: str) -> None:
        with pytest.raises(Conflict, match="task_id"):
            airflow.trigger(CONTROLLER, run_id, {"task_id": "x"}, "ann")
        assert airflow.run_conf(CONTROLLER, run_id) is None

    def test_states_of_any_number_of_runs_are_two_queries(self, airflow: Any, run_id: str) -> None:
        keys = [(CHAIN[0], f"{run_id}{number}") for number in range(20)]
        for dag_id, each in keys:
            airflow.trigger(dag_id, each, {}, "ann")
        with counted() as few:
            airflow.states(keys[:2])
        with counted() as many:
            known = airflow.states([*keys, (CHAIN[0], "nothing")])
        assert len(few) == len(many) == 2
        assert set(known) == set(keys)
        assert {state.state for state in known.values()} == {"queued"}
        assert {(state.done, state.total) for state in known.values()} == {(0, 5)}
        assert airflow.states([]) == {}

    def test_a_run_is_stopped_once(self, airflow: Any, run_id: str) -> None:
        assert not airflow.stop(CHAIN[0], run_id)
        airflow.trigger(CHAIN[0], run_id, {}, "ann")
        assert airflow.stop(CHAIN[0], run_id)
        assert airflow.states([(CHAIN[0], run_id)])[CHAIN[0], run_id].state == "failed"
        assert not airflow.stop(CHAIN[0], run_id)

    def test_what_tears_down_still_runs(self, airflow: Any, add_dag: AddDag, run_id: str) -> None:
        """Until it has, there is nothing more to stop."""
        add_dag("torn_down", 'EmptyOperator(task_id="work") >> EmptyOperator(task_id="tidy").as_teardown()')
        airflow.trigger("torn_down", run_id, {}, "ann")
        assert airflow.stop("torn_down", run_id)
        assert not airflow.stop("torn_down", run_id)
        states = {one.task_id: one.state for one in airflow.task_instances("torn_down", run_id)}
        assert states == {"work": hosting().NEVER_RAN, "tidy": None}
        assert airflow.states([("torn_down", run_id)])["torn_down", run_id].state == "queued"

    def test_nobody_sees_a_run_half_stopped(self, airflow: Any, run_id: str) -> None:
        """Its skipped tasks alone would look like a success to the scheduler."""
        from airflow import settings

        airflow.trigger(CHAIN[0], run_id, {}, "ann")
        commits: list[str] = []

        def note(_connection: Any) -> None:
            commits.append("commit")

        listen(settings.engine, "commit", note)
        try:
            assert airflow.stop(CHAIN[0], run_id)
        finally:
            remove(settings.engine, "commit", note)
        assert commits == ["commit"]
        states = Counter(one.state for one in airflow.task_instances(CHAIN[0], run_id))
        assert states == {hosting().NEVER_RAN: 5}

    def test_a_stop_waits_for_what_the_scheduler_decides(self, airflow: Any, run_id: str) -> None:
        from airflow import settings
        from airflow.models.dagrun import DagRun

        airflow.trigger(CHAIN[0], run_id, {}, "ann")
        with Session(settings.engine) as scheduler, ThreadPoolExecutor(1) as pool, counted() as statements:
            own = select(DagRun).where(DagRun.run_id == run_id)
            run = scheduler.scalars(own.with_for_update()).one()
            stop = pool.submit(airflow.stop, CHAIN[0], run_id)
            while not any("FOR UPDATE OF dag_run" in statement for statement in statements):
                assert not stop.done()
            run.state = "success"
            scheduler.commit()
            assert stop.result() is False
        assert airflow.states([(CHAIN[0], run_id)])[CHAIN[0], run_id].state == "success"

    def test_task_instances(self, airflow: Any, run_id: str) -> None:
        airflow.trigger(CHAIN[2], run_id, {}, "ann")
        instances = airflow.task_instances(CHAIN[2], run_id)
        assert {one.task_id for one in instances} == set(TASKS[CHAIN[2]].split(", "))
        assert all(run_id in one.log_url and one.task_id in one.log_url for one in instances)
        assert airflow.task_instances(CHAIN[2], "nothing") == []

    def test_a_metadata_database_that_is_down(
        self, airflow: Any, postgresql: PostgreSQL, run_id: str
    ) -> None:
        postgresql.close("airflow")
        try:
            for call in (
                lambda: airflow.problems([CONTROLLER]),
                lambda: airflow.task_counts([CONTROLLER]),
                lambda: airflow.trigger(CONTROLLER, run_id, {"task_id": 1}, "ann"),
                lambda: airflow.run_conf(CONTROLLER, run_id),
                lambda: airflow.states([(CONTROLLER, run_id)]),
                lambda: airflow.stop(CONTROLLER, run_id),
            ):
                with pytest.raises(Unavailable, match="Airflow's database does not answer"):
                    call()
        finally:
            postgresql.open("airflow")
        assert airflow.problems([CONTROLLER]) == []
        assert airflow.run_conf(CONTROLLER, run_id) is None


class counted:  # noqa: N801  # reads as a function
    """Collect the statements that Airflow's engine executes meanwhile."""

    def __enter__(self) -> list[str]:
        from airflow import settings

        self.statements: list[str] = []
        self.engine = settings.engine
        listen(self.engine, "before_cursor_execute", self.note)
        return self.statements

    def __exit__(self, *_: object) -> None:
        remove(self.engine, "before_cursor_execute", self.note)

    def note(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.statements.append(statement)


class TestTrigger:
    """How a step waits: the states that a child's run goes through, and what becomes of the step."""

    @pytest.fixture
    def waits(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """Seconds that the trigger would have slept; none of them is."""
        from svops_plugin.orchestration import trigger

        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        monkeypatch.setattr(trigger.asyncio, "sleep", sleep)
        return slept

    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch, waits: list[float]) -> Callable[..., Any]:  # noqa: ARG002
        from svops_plugin.orchestration import trigger

        def follow(*states: Any, started: float = 0.0, completes: str | None = None) -> Any:
            following = iter(states)

            class Host:
                @staticmethod
                async def child_state(*_: str) -> str | None:
                    state = next(following)
                    if isinstance(state, Exception):
                        raise state
                    return state

            async def first() -> Any:
                return await anext(trigger.ChainStepTrigger("dag", "run", started, completes).run())

            monkeypatch.setattr(trigger, "host", lambda: Host)
            return asyncio.run(first())

        return follow

    def test_success_ends_the_task_from_the_trigger(self, run: Callable[..., Any]) -> None:
        from airflow.triggers.base import TaskSuccessEvent

        assert isinstance(run("queued", "running", "success"), TaskSuccessEvent)

    @pytest.mark.parametrize(("state", "said"), [("failed", "failed"), (None, "deleted")])
    def test_anything_else_that_is_final_wakes_it(
        self, run: Callable[..., Any], state: str | None, said: str
    ) -> None:
        assert run("running", state).payload == {"state": said}

    def test_a_failed_poll_is_repeated(self, run: Callable[..., Any]) -> None:
        assert run(OSError("down"), RuntimeError("defect"), "failed").payload == {"state": "failed"}

    def test_it_asks_less_often_the_longer_it_takes(
        self, run: Callable[..., Any], waits: list[float]
    ) -> None:
        import time

        for age, expected in [(0, 0.5), (100, 5), (10_000, 10)]:
            waits.clear()
            run("running", "failed", started=time.time() - age)
            assert waits == [pytest.approx(expected, rel=0.2)]

    def test_it_is_the_same_after_a_move_to_another_triggerer(self) -> None:
        from svops_plugin.orchestration.trigger import ChainStepTrigger

        path, arguments = ChainStepTrigger("dag", "run", 5.0, "controller").serialize()
        module, _, name = path.rpartition(".")
        again = getattr(import_module(module), name)(**arguments)
        assert again.serialize() == (path, arguments)
