"""The names of executions, which Airflow's runs are found by, and what an execution remembers."""

from __future__ import annotations

import re
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from svops_plugin.domain.entities import Dataset, DataType, Execution, Task, utcnow

CHAIN = ["first_dag", "second_dag", "third_dag"]


def execution(task_id: int = 1, attempt: int = 1, log_out_path: str = "/out", **values: str) -> Execution:
    return Execution(
        task_id=task_id,
        attempt=attempt,
        chain=CHAIN,
        task_snapshot={"log_out_path": log_out_path},
        dataset_snapshot={},
        **values,
    )


@given(st.integers(1, 2**31 - 1), st.integers(1, 10_000))
def test_run_name(task_id: int, attempt: int) -> None:
    made = execution(task_id, attempt)
    assert re.fullmatch(rf"svops__task_{task_id}__{attempt}__[0-9a-f]{{8}}", made.run_name)
    assert made.run_name.endswith(made.uuid[:8])
    assert [made.step_run_id(position) for position in (1, 2, 3)] == [
        f"{made.run_name}__1_first_dag",
        f"{made.run_name}__2_second_dag",
        f"{made.run_name}__3_third_dag",
    ]


def test_the_name_is_the_same_each_time_and_another_for_each_execution() -> None:
    one, other = execution(), execution()
    assert one.run_name == one.run_name != other.run_name


def test_outputs_of_attempts_and_tasks_never_meet() -> None:
    folders = {execution(task_id, attempt).output_path for task_id in (1, 11) for attempt in (1, 11)}
    assert folders == {"/out/task_1/1", "/out/task_1/11", "/out/task_11/1", "/out/task_11/11"}
    assert execution(log_out_path="/out/").output_path == "/out/task_1/1"


def test_times_are_aware_and_in_utc() -> None:
    assert utcnow().utcoffset() == timedelta(0)
    assert execution().created_at.utcoffset() == timedelta(0)


def test_entities_compare_by_identity() -> None:
    one, other = (
        Task(name="t", customer="c", log_out_path="/o"),
        Task(name="t", customer="c", log_out_path="/o"),
    )
    assert one != other
    assert len({one, other}) == 2


def test_new_entities_share_nothing() -> None:
    one, other = (
        Task(name="t", customer="c", log_out_path="/o"),
        Task(name="t", customer="c", log_out_path="/o"),
    )
    one.tags.append("x")
    one.build_config_custom_conf["estimator"] = "svc"
    assert (other.tags, other.build_config_custom_conf) == ([], {})


def test_a_dataset_snapshot_is_made_of_json_values() -> None:
    dataset = Dataset(name="d", path="/data/d", data_type=DataType.SURF, gt_path="/data/gt.csv")
    dataset.id = 3
    assert dataset.snapshot() == {
        "id": 3,
        "name": "d",
        "path": "/data/d",
        "gt_path": "/data/gt.csv",
        "data_type": "Surf",
        "fingerprint": None,
    }
    assert type(dataset.snapshot()["data_type"]) is str
