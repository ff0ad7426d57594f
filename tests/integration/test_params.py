"""What a run alone gives its DAG: parameters by the schema of its Params, and what is said beside them."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import Client

from svops_plugin.application.executions import CONTROLLER
from svops_plugin.domain.entities import Json
from tests.integration.support import in_airflow, ok, problem
from tests.server import AddDag, Clients

DAG = "of_a_day"
PARAMS = """{
    "day": Param(type="integer", minimum=1),
    "note": Param(type="string", minLength=1),
    "task_id": Param("the first", type="string"),
    "dataset_id": Param(1.5, type="number"),
    "parameters": Param({"all": 1}, type="object"),
}"""
GOOD: Json = {"day": 3, "note": "of the DAG"}


def register(user: Client, dag_id: str) -> str:
    """Register a DAG, and return the path of its runs."""
    made = ok(user.post("workflows", json={"name": dag_id, "dag_id": dag_id}), 201)
    return f"workflows/{made['id']}/runs"


@pytest.fixture
def runs(user: Client, add_dag: AddDag) -> str:
    """The path of the runs of a DAG with Params of its own, four of them named as what is beside them."""
    add_dag(DAG, 'EmptyOperator(task_id="look")', PARAMS)
    return register(user, DAG)


def given(user: Client, runs: str, **values: Any) -> Json:
    """Run the DAG, and return what Airflow gives it."""
    run = ok(user.post(runs, json=values), 201)
    return in_airflow(DAG, run["external_trigger_id"]).conf


def refused(user: Client, runs: str, **values: Any) -> set[str]:
    """Return what is named where a run is refused."""
    errors = set(problem(user.post(runs, json=values), 422)["errors"])
    assert ok(user.get(runs))["total"] == 0
    return errors


class TestSchema:
    def test_parameters_that_keep_to_it(self, user: Client, runs: str) -> None:
        conf = given(user, runs, parameters=GOOD)
        assert (conf["day"], conf["note"]) == (3, "of the DAG")

    @pytest.mark.parametrize("day", ["3", "x", 0, 2.5, True, None, [3]])
    def test_a_parameter_that_breaks_it(self, user: Client, runs: str, day: Any) -> None:
        assert refused(user, runs, parameters={**GOOD, "day": day}) == {"parameters.day"}

    @pytest.mark.parametrize("name", ["day", "note"])
    def test_one_that_is_missing(self, user: Client, runs: str, name: str) -> None:
        parameters = {one: value for one, value in GOOD.items() if one != name}
        assert refused(user, runs, parameters=parameters) == {f"parameters.{name}"}

    def test_several_at_once(self, user: Client, runs: str) -> None:
        bad = {"day": "x", "note": "", "task_id": 5, "dataset_id": "y", "parameters": [1]}
        assert refused(user, runs, parameters=bad) == {f"parameters.{name}" for name in bad}


class TestNames:
    """The DAG has Params that are named as what may be said beside the parameters."""

    def test_the_parameters_go_before(self, user: Client, runs: str) -> None:
        own = {**GOOD, "task_id": "the second", "dataset_id": 2.5, "parameters": {"y": 1}}
        run = ok(user.post(runs, json={"note": "of the run", "parameters": own}), 201)
        conf = in_airflow(DAG, run["external_trigger_id"]).conf
        assert {name: conf[name] for name in own} == own
        assert run["note"] == "of the run"
        assert run["configuration"] == {
            "task_id": None,
            "dataset_id": None,
            "parameters": own,
            "note": "of the run",
        }

    def test_what_nobody_has_said_is_left_to_the_dag(self, user: Client, runs: str) -> None:
        conf = given(user, runs, parameters=GOOD)
        assert conf.keys() == {*GOOD, "parameters", "workflow_run_id"}
        assert conf["parameters"] == GOOD

    def test_what_is_said_beside_the_parameters_alone_counts(self, user: Client, runs: str) -> None:
        conf = given(user, runs, note="of the run", parameters={"day": 3})
        assert conf["note"] == "of the run"

    def test_a_retry_gives_the_same(self, user: Client, runs: str) -> None:
        run = ok(user.post(runs, json={"parameters": GOOD}), 201)
        ok(user.post(f"{runs}/{run['id']}/control", json={"action": "stop"}))
        again = ok(user.post(f"{runs}/{run['id']}/control", json={"action": "retry"}))
        conf = in_airflow(DAG, again["external_trigger_id"]).conf
        assert (conf["day"], conf["note"]) == (3, "of the DAG")

    def test_a_dag_without_params_gets_them_all_and_may_believe_the_rest(self, user: Client) -> None:
        runs = register(user, "simple_workflow_example")
        run = ok(user.post(runs, json={"note": "n", "parameters": {"x": 1, "dataset_id": "mine"}}), 201)
        conf = in_airflow("simple_workflow_example", run["external_trigger_id"]).conf
        assert {name: conf[name] for name in ("x", "dataset_id", "note", "task_id")} == {
            "x": 1,
            "dataset_id": None,
            "note": "n",
            "task_id": None,
        }
        assert conf["parameters"] == {"x": 1, "dataset_id": "mine"}


class TestController:
    """Its task is SVOps' own, whom not everybody may execute: it is named where that is looked at."""

    @pytest.mark.parametrize("named", ["x", 1, None])
    def test_its_task_is_no_parameter(self, user: Client, named: Any) -> None:
        runs = register(user, CONTROLLER)
        answer = problem(user.post(runs, json={"parameters": {"task_id": named}}), 422)
        assert answer["errors"] == {
            "parameters.task_id": ["name the task as task_id, beside the parameters."]
        }
        assert ok(user.get(runs))["total"] == 0

    def test_its_task_is_needed(self, user: Client) -> None:
        assert refused(user, register(user, CONTROLLER)) == {"parameters.task_id"}

    def test_its_task_beside_the_parameters(self, client: Clients, admin: Client, task_id: int) -> None:
        """The task is the administrator's, the workflow somebody else's."""
        runs = register(client("other"), CONTROLLER)
        body = {"task_id": task_id, "note": "n", "parameters": {"x": 1}}
        problem(client("other").post(runs, json=body), 403)
        run = ok(admin.post(runs, json=body), 201)
        conf = in_airflow(CONTROLLER, run["external_trigger_id"]).conf
        assert {name: conf[name] for name in body} == body
