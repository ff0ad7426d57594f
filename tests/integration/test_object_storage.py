"""Datasets and outputs on S3, which is moto's server: the same chain as on disk, and the same answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import delete

from svops_plugin.bootstrap import Services, copy_outputs, services
from svops_plugin.domain.entities import Dataset, DataType
from svops_plugin.domain.errors import ConfigurationProblem, PermissionDenied
from svops_plugin.infrastructure.airflow.common import metadata_session
from svops_plugin.infrastructure.dataset_files import dataset_problems
from svops_plugin.infrastructure.object_storage import ObjectPath, location
from svops_plugin.infrastructure.storage import ConfinedPaths
from svops_plugin.pipelines import tracking
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.readers import VectorReader
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.samples import SampleDataset, create
from svops_plugin.pipelines.steps import STEPS, run_step
from svops_plugin.settings import load
from tests.conftest import LABELS, VECTORS

BUCKET = "bucket"
FRAMES = 200
URL = f"s3://store@{BUCKET}"
COMMAND = "from svops_plugin.presentation.cli import main; main()"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def connection_to(endpoint: str) -> dict[str, Any]:
    """Return what Airflow has to know of the store."""
    extra = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    return {"conn_type": "aws", "login": "key", "password": "secret", "extra": extra}


@pytest.fixture
def s3(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client of the store, whose bucket is empty, and Airflow's connection to it."""
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(connection_to(endpoint)))
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",  # noqa: S106  # moto takes any
    )
    httpx.post(f"{endpoint}/moto-api/reset", trust_env=False).raise_for_status()
    client.create_bucket(Bucket=BUCKET)
    return client


def put(s3: Any, **objects: str) -> None:
    for key, content in objects.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=content.encode())


def upload(s3: Any, base: Path, name: str) -> None:
    for file in (base / name).iterdir():
        s3.upload_file(str(file), BUCKET, f"{name}/{file.name}")


def keys(s3: Any, prefix: str) -> set[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {one["Key"].removeprefix(prefix) for page in pages for one in page.get("Contents", [])}


class Kept(NamedTuple):
    """What a chain has told: metrics by name and step, artifacts' media types by name."""

    metrics: dict[tuple[str, int | None], float]
    artifacts: dict[str, str]
    fingerprints: list[str]

    def log_metric(self, name: str, value: float, step: int | None) -> None:
        self.metrics[name, step] = value

    def log_artifact(self, path: Path, name: str, media_type: str) -> None:
        assert path.stat().st_size > 0
        self.artifacts[name] = media_type

    def progress(self, done: int, total: int, message: str) -> None:
        """Not kept."""

    def dataset_profile(self, profile: Any, fingerprint: str) -> None:  # noqa: ARG002
        self.fingerprints.append(fingerprint)


def chain(sample: SampleDataset, base: str, output: str) -> Kept:
    """Run all steps with a dataset below a base, as their tasks do."""
    dataset = {"id": 1, "name": "digits", "path": f"{base}/{sample.path.name}", "data_type": sample.data_type}
    snapshot = {
        "execution_id": 1,
        "workflow_run_id": 1,
        "task_id": 1,
        "attempt": 1,
        "task_name": "t",
        "customer": "c",
        "configuration": {
            "build_config": "test-config-e2e",
            "build_config_customized": True,
            "build_config_custom_ini": {"report": {"title": "From afar"}},
        },
        "dataset": {**dataset, "gt_path": f"{base}/{sample.path.name}/labels.csv"},
        "output": f"{output}/task_1/1",
        "video_output": f"{output}/video",
    }
    kept = Kept({}, {}, [])
    with tracking.use(kept):
        for dag_id, steps in STEPS.items():
            for step in steps:  # each is a process of its own
                run_step(dag_id, step, PipelineRun.from_snapshot(snapshot, (), location))
    return kept


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[SampleDataset]:
    """The sample sets, and of the one with a file for each sample only some: each is a request or more."""
    made = create(tmp_path_factory.mktemp("samples"))
    frames = next(one for one in made if one.data_type == "Jetson").path
    header, *rows = (frames / "labels.csv").read_text().splitlines()
    for row in rows[FRAMES:]:
        (frames / row.partition(",")[0]).unlink()
    (frames / "labels.csv").write_text("\n".join([header, *rows[:FRAMES], ""]))
    return made


@pytest.mark.parametrize("data_type", ["Vector", "Jetson"])
def test_a_chain_comes_to_the_same(
    s3: Any, samples: list[SampleDataset], tmp_path: Path, data_type: str
) -> None:
    sample = next(one for one in samples if one.data_type == data_type)
    upload(s3, sample.path.parent, sample.path.name)
    here = chain(sample, str(sample.path.parent), str(tmp_path))
    there = chain(sample, URL, f"{URL}/output")
    assert there == here
    assert here.metrics["accuracy", None] > 0.5
    left = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert keys(s3, "output/") == left


def test_objects_that_change_while_they_are_read_are_noticed(
    s3: Any, samples: list[SampleDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = next(one for one in samples if one.data_type == "Vector")
    read, written = VectorReader.read, ["digits.csv", "more.csv"]
    upload(s3, sample.path.parent, sample.path.name)

    def overtaken(self: VectorReader, *given: Any) -> Any:
        recording = read(self, *given)
        content = (sample.path / "digits.csv").read_bytes().replace(b"digit-", written[-1].encode())
        s3.put_object(Bucket=BUCKET, Key=f"{sample.path.name}/{written.pop()}", Body=content)
        return recording

    monkeypatch.setattr(VectorReader, "read", overtaken)
    with pytest.raises(DataError, match=r"'more\.csv' was changed while the dataset was read"):
        chain(sample, URL, f"{URL}/output")
    s3.delete_object(Bucket=BUCKET, Key=f"{sample.path.name}/more.csv")
    # Of an object that was listed, the store itself refuses another version.
    with pytest.raises(OSError, match="no longer exists"):
        chain(sample, URL, f"{URL}/output")


class TestPaths:
    def test_what_is_there(self, s3: Any) -> None:
        put(s3, **{"data/a.csv": "x", "data/sub/b.csv": "yy"})
        data = ObjectPath(f"{URL}/data")
        assert sorted(str(one) for one in data.iterdir()) == [f"{URL}/data/a.csv", f"{URL}/data/sub"]
        assert [data.is_dir(), (data / "sub").is_dir(), (data / "a.csv").is_dir()] == [True, True, False]
        assert [(data / "a.csv").is_file(), data.is_file(), (data / "c").is_file()] == [True, False, False]
        b = data / "sub" / "b.csv"
        assert (b.name, b.suffix, b.parent, b.stat().st_size) == ("b.csv", ".csv", data / "sub", 2)
        assert (b.read_bytes(), b.read_text("utf-8"), b.open().read()) == (b"yy", "yy", "yy")
        assert str(data.parent) == URL

    def test_a_server_sees_what_others_have_written_since(self, s3: Any) -> None:
        put(s3, **{"data/a.csv": "x"})
        assert not (ObjectPath(f"{URL}/data") / "b.csv").is_file()
        put(s3, **{"data/b.csv": "y"})
        assert len(list(ObjectPath(f"{URL}/data").iterdir())) == 2
        put(s3, **{"data/b.csv": "longer"})
        assert ObjectPath(f"{URL}/data/b.csv").stat().st_size == 6

    def test_what_goes_wrong_is_as_with_files(self, s3: Any) -> None:  # noqa: ARG002
        with pytest.raises(FileNotFoundError):
            ObjectPath(f"{URL}/none").read_bytes()
        with pytest.raises(OSError, match="unheard"):
            ObjectPath("unheard://of/it").is_file()
        with pytest.raises(OSError, match="no_such_connection"):
            ObjectPath("s3://no_such_connection@bucket/x").is_file()

    def test_completions(self, s3: Any) -> None:
        put(s3, **{"data/sea/a.csv": "x", "data/set/a.csv": "x", "data/seb.csv": "x", "data/.hidden/x": ""})
        paths = ConfinedPaths([f"{URL}/data"], [])
        assert paths.completions("", 5) == [(f"{URL}/data", True)]
        found = [(f"{URL}/data/sea", True), (f"{URL}/data/set", True), (f"{URL}/data/seb.csv", False)]
        assert paths.completions(f"{URL}/data/se", 5) == found
        assert paths.completions(f"{URL}/data/", 2) == found[:2]

    def test_copies_between_disk_and_store(self, s3: Any, tmp_path: Path) -> None:
        put(s3, **{"old/report.html": "r", "old/work/state.json": "s", "old/work/.half": "h"})
        copy_outputs(f"{URL}/old", f"{URL}/new")
        assert keys(s3, "new/") == {"report.html", "work/state.json"}
        copy_outputs(f"{URL}/new", str(tmp_path / "here"))
        assert (tmp_path / "here" / "work" / "state.json").read_text() == "s"
        copy_outputs(f"{URL}/gone", f"{URL}/none")
        assert keys(s3, "none/") == set()

    def test_what_is_removed(self, s3: Any) -> None:
        put(s3, **{"out/1/report.html": "r", "out/1/work/state.json": "s", "out/10/report.html": "r"})
        (ObjectPath(f"{URL}/out/1/work") / "state.json").unlink()
        assert keys(s3, "out/1/") == {"report.html"}
        paths = ConfinedPaths([], [f"{URL}/out"])
        paths.remove(f"{URL}/out/1")
        paths.remove(f"{URL}/out/1")  # once more, as after a kill
        assert keys(s3, "out/") == {"10/report.html"}
        with pytest.raises(PermissionDenied):
            paths.remove(f"{URL}/other")


@pytest.mark.usefixtures("s3")
def test_the_doctor_writes_to_output_roots(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(root: str) -> str:
        monkeypatch.setenv("AIRFLOW__SVOPS__OUTPUT_ROOTS", root)
        return Services(load()).checks.output_roots()

    assert found(f"{URL}/out") == f"{URL}/out"
    with pytest.raises(ConfigurationProblem, match="no_such_connection"):
        found(f"s3://no_such_connection@{BUCKET}/out")


def test_the_doctor_looks_into_data_roots(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(root: str) -> str:
        monkeypatch.setenv("AIRFLOW__SVOPS__DATA_ROOTS", root)
        return Services(load()).checks.data_roots()

    def refused(root: str) -> str:
        with pytest.raises(ConfigurationProblem) as refusal:
            found(root)
        assert "uid" not in str(refusal.value)
        return str(refusal.value)

    assert found(URL) == URL
    assert found(f"{URL}/data") == f"{URL}/data (nothing is there yet)"
    put(s3, **{"data/table.csv": "x"})
    assert found(f"{URL}/data") == f"{URL}/data"
    for root in ("s3://store@no-such-bucket", "s3://store@no-such-bucket/data"):
        assert f"{root}: The specified bucket does not exist; see that the connection" in refused(root)
    assert "no_such_connection" in refused(f"s3://no_such_connection@{BUCKET}/data")


@pytest.fixture
def stored(endpoint: str, airflow_metadata: None) -> Iterator[str]:  # noqa: ARG001
    """The bucket's URL by a connection that only Airflow's own database has."""
    from airflow.models.connection import Connection

    known = connection_to(endpoint)
    with metadata_session() as session:
        session.add(Connection("stored", **{**known, "extra": json.dumps(known["extra"])}))
    yield f"s3://stored@{BUCKET}"
    with metadata_session() as session:
        session.execute(delete(Connection).where(Connection.conn_id == "stored"))


@pytest.mark.usefixtures("svops_database")
def test_commands_find_connections_that_airflow_stores(
    s3: Any, stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In processes of their own, as people start them: Airflow 3 asks what a process says that it is."""
    put(s3, **{"data/table.csv": VECTORS, "data/labels.csv": LABELS})
    monkeypatch.delenv("AIRFLOW_CONN_STORE")
    monkeypatch.setenv("AIRFLOW__SVOPS__DATA_ROOTS", f"{stored}/data")
    monkeypatch.setenv("AIRFLOW__SVOPS__OUTPUT_ROOTS", f"{stored}/output")

    def svops(*arguments: str) -> subprocess.CompletedProcess[str]:
        command, variables = [sys.executable, "-c", COMMAND, *arguments], {"PYTHONPATH": str(Path.cwd())}
        return subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, check=False
        )

    findings = {one["check"]: one for one in json.loads(svops("doctor", "--json").stdout)}
    for check in ("data roots", "output roots"):
        assert findings[check]["ok"], findings[check]["message"]
    made = svops("dataset", "create", "stored", f"{stored}/data", "--type", "Vector")
    assert made.returncode == 0, made.stderr


def test_a_dataset_that_cannot_be_read_says_why(s3: Any) -> None:
    def problems(path: str) -> str:
        (one,) = dataset_problems(Dataset(name="d", path=path, data_type=DataType.VECTOR))
        return one

    put(s3, **{"data/table.csv": VECTORS})
    assert "labels.csv" in problems(f"{URL}/data")
    assert "does not exist" in problems(f"{URL}/none")
    assert "no_such_connection" in problems("s3://no_such_connection@bucket/data")


@pytest.fixture
def roots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SVOPS__DATA_ROOTS", f"{URL}/data")
    monkeypatch.setenv("AIRFLOW__SVOPS__OUTPUT_ROOTS", f"{URL}/output")


@pytest.mark.usefixtures("roots")
def test_samples_are_had_through_rest(s3: Any, admin: httpx.Client) -> None:
    put(s3, **{"data/table.csv": VECTORS, "data/labels.csv": LABELS})
    dataset = {"name": "seen", "path": f"{URL}/data", "data_type": "Vector"}
    address = f"datasets/{admin.post('datasets', json=dataset).json()['id']}/samples"
    found = admin.get(address)
    assert found.status_code == 200, found.text
    shown = {f"{one['name']},{one['label']}" for one in found.json()["items"]}
    assert {"sample,label", *shown} == set(LABELS.split())
    s3.delete_object(Bucket=BUCKET, Key="data/labels.csv")
    assert admin.get(address).status_code == 410


def test_a_report_is_had_through_rest(s3: Any, roots: None, admin: httpx.Client) -> None:  # noqa: ARG001
    put(s3, **{"data/table.csv": VECTORS, "data/labels.csv": LABELS})
    assert load().output_roots == (f"{URL}/output",)
    dataset = {"name": "far", "path": f"{URL}/data", "data_type": "Vector"}
    made = admin.post("datasets", json=dataset)
    assert made.status_code == 201, made.text
    task = {"name": "t", "customer": "c", "log_out_path": f"{URL}/output", "dataset_id": made.json()["id"]}
    task_id = admin.post("tasks", json=task).json()["id"]
    started = admin.post(f"tasks/{task_id}/execute", json={})
    assert started.status_code == 201, started.text
    run = started.json()["workflow_runs"][0]
    tracker = services().tracker(run["dag_id"], run["external_trigger_id"])
    told = tracker.begin()
    assert told["output"] == f"{URL}/output/task_{task_id}/1"
    put(s3, **{f"output/task_{task_id}/1/report.html": "<p>0123456789"})
    tracker.log_artifact(location(f"{told['output']}/report.html"), "report.html", "text/html")

    address = f"executions/{started.json()['execution_id']}/artifacts/report.html"
    whole = admin.get(address)
    assert (whole.status_code, whole.text) == (200, "<p>0123456789")
    assert whole.headers["content-type"].startswith("text/html")
    part = admin.get(address, headers={"Range": "bytes=3-5"})
    assert (part.status_code, part.text) == (206, "012")
    same = admin.get(address, headers={"If-None-Match": whole.headers["etag"]})
    assert same.status_code == 304
    s3.delete_object(Bucket=BUCKET, Key=f"output/task_{task_id}/1/report.html")
    assert admin.get(address).status_code == 410
    outside = {**task, "log_out_path": f"s3://store@{BUCKET}/elsewhere"}
    assert admin.post("tasks", json=outside).status_code == 422
