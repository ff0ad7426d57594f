"""A chain with its dataset and outputs on S3, which is moto's server, by a connection that Airflow stores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from svops_plugin import __version__
from tests.distributed.native import Deployment
from tests.distributed.support import BUCKET, STORE, all_ended, ask, keep_tasks, vectors


@pytest.fixture(scope="module")
def s3(deployment: Deployment) -> Iterator[Any]:
    """A client of the store, whose bucket is empty, and to which Airflow has a connection now."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    extra = {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"}
    connection = {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}
    for process in ("scheduler", "dag-processor", "triggerer"):
        deployment.until(lambda one=process: deployment.is_healthy(one), process)  # type: ignore[misc]  # bound now
    deployment.run(
        "scheduler", "airflow", "connections", "add", "store", "--conn-json", json.dumps(connection)
    )
    known = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    client = boto3.client("s3", **extra, **known)
    client.create_bucket(Bucket=BUCKET)
    yield client
    server.stop()


@pytest.fixture(scope="module")
def sample(s3: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a dataset that is on S3, too."""
    folder = vectors(tmp_path_factory.mktemp("samples")).path
    for file in folder.iterdir():
        s3.upload_file(str(file), BUCKET, f"data/{folder.name}/{file.name}")
    return folder


def outcome(api: httpx.Client, task_id: int) -> dict[str, Any]:
    """Return what a task's execution has come to, but for where and when."""
    status = ask(api, "GET", f"tasks/{task_id}/status")
    assert status["overall_status"] == "completed", status
    told = ask(api, "GET", f"executions/{status['execution_id']}")
    artifacts = {(one["dag_id"], one["name"]): one["media_type"] for one in told["artifacts"]}
    metrics = [(one["dag_id"], one["name"], one["step"], one["value"]) for one in told["metrics"]]
    return {"artifacts": artifacts, "metrics": sorted(metrics, key=str), "id": told["execution_id"]}


@pytest.mark.timeout(1800)
def test_a_chain_comes_to_the_same_as_on_disk(
    deployment: Deployment, api: httpx.Client, s3: Any, sample: Path
) -> None:
    on_disk = vectors(deployment.data).path
    (here,) = keep_tasks(api, str(on_disk), str(deployment.output), ["here"])
    (there,) = keep_tasks(api, f"{STORE}/data/{sample.name}", f"{STORE}/output", ["there"])
    for task_id in (here, there):
        ask(api, "POST", f"tasks/{task_id}/execute", json={})
    deployment.until(lambda: all_ended(api, [here, there]), "both chains")
    disk, store = outcome(api, here), outcome(api, there)
    ids = disk.pop("id"), store.pop("id")
    assert store == disk
    assert store["metrics"]
    left = {
        str(file.relative_to(deployment.output / f"task_{here}"))
        for file in deployment.output.glob(f"task_{here}/1/**/*")
        if file.is_file()
    }
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"output/task_{there}/")["Contents"]
    assert {one["Key"].removeprefix(f"output/task_{there}/") for one in listed} == left
    for execution_id in ids:
        report = api.get(f"executions/{execution_id}/artifacts/report.html").raise_for_status()
        assert "confusion" in report.text.lower()


def test_the_doctor_and_a_worker_find_all_well(deployment: Deployment, s3: Any) -> None:  # noqa: ARG001
    findings = json.loads(deployment.run("scheduler", "svops", "doctor", "--worker", "--json"))
    assert [one["message"] for one in findings if not one["ok"]] == []
    roots = {one["check"]: one["message"] for one in findings}
    assert f"{STORE}/output" in roots["output roots"]
    logs = deployment.folder.glob("airflow/logs/dag_id=svops_doctor/**/*.log")
    said = "".join(log.read_text() for log in logs)
    assert f"SVOps {__version__} is healthy at" in said
    assert "not looked at" not in said
