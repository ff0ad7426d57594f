"""Paths, files and addresses that are not what they should be."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from svops_plugin.domain.entities import Dataset
from svops_plugin.infrastructure.dataset_files import dataset_problems
from tests.conftest import DATA, OUTPUT
from tests.hosts import hosting
from tests.integration.support import a_dataset, is_empty, problem, status
from tests.server import BASE

NOBODY = 65534


def problems_for_nobody(dataset: Dataset) -> list[str]:
    """Tell what is wrong with a dataset's files for a user like any other: nothing is forbidden to root."""
    own = os.geteuid()
    try:
        if own == 0:
            os.seteuid(NOBODY)
        return dataset_problems(dataset)
    finally:
        os.seteuid(own)


class TestPaths:
    """Dataset paths are read below data_roots, outputs written below output_roots, and nowhere else."""

    def refused(self, admin: Client, kind: str, body: dict[str, Any], field: str) -> str:
        answer = problem(admin.post(kind, json=body), 422)
        assert set(answer["errors"]) == {field}
        assert is_empty(admin, kind)
        return str(answer["detail"])

    @pytest.mark.parametrize(
        "path",
        [
            "/etc",
            "/",
            "relative",
            f"{DATA}/../output",
            f"{DATA}/x/..",
            f"{DATA}2",
            str(OUTPUT),
            "file:///etc",
            "~",
        ],
    )
    def test_datasets_outside(self, admin: Client, dataset_body: dict[str, Any], path: str) -> None:
        self.refused(admin, "datasets", {**dataset_body, "path": path}, "path")
        self.refused(admin, "datasets", {**dataset_body, "gt_path": path}, "gt_path")

    def test_a_link_that_leads_out(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        link = dataset_folder / "link"
        link.symlink_to("/etc")
        self.refused(admin, "datasets", {**dataset_body, "path": str(link)}, "path")

    def test_a_link_in_circles(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        link = dataset_folder / "link"
        link.symlink_to(link)
        self.refused(admin, "datasets", {**dataset_body, "path": f"{link}/x"}, "path")

    @pytest.mark.parametrize("path", ["/tmp", "relative", f"{OUTPUT}/../data", str(DATA)])  # noqa: S108  # refused
    def test_outputs_outside(self, admin: Client, task_body: dict[str, Any], path: str) -> None:
        self.refused(admin, "tasks", {**task_body, "log_out_path": path}, "log_out_path")
        body = {**task_body, "video_out_enabled": True, "video_out_path": path}
        self.refused(admin, "tasks", body, "video_out_path")

    def test_a_change_to_a_path_outside(self, admin: Client, dataset_id: int, task_id: int) -> None:
        assert set(problem(admin.put(f"datasets/{dataset_id}", json={"path": "/etc"}), 422)["errors"]) == {
            "path"
        }
        assert set(problem(admin.put(f"tasks/{task_id}", json={"log_out_path": "/etc"}), 422)["errors"]) == {
            "log_out_path"
        }

    @pytest.mark.parametrize(
        ("place", "field"),
        [
            ("path", "dataset"),
            ("gt_path", "dataset"),
            ("log_out_path", "log_out_path"),
            ("video_out_path", "video_out_path"),
        ],
    )
    def test_a_link_that_was_swapped_in_since(
        self, *, admin: Client, dataset_id: int, task_id: int, dataset_folder: Path, place: str, field: str
    ) -> None:
        output = OUTPUT / dataset_folder.name
        output.mkdir()
        truth = dataset_folder / "truth.csv"
        truth.write_text("sample,label\na,x\nb,y\nc,x\nd,y\n")
        swapped = {"path": dataset_folder, "gt_path": truth}.get(place, output)
        kept = f"datasets/{dataset_id}" if field == "dataset" else f"tasks/{task_id}"
        assert admin.put(kept, json={place: str(swapped)}).status_code == 200
        swapped.rename(f"{swapped}-aside")
        swapped.symlink_to("/etc/hostname" if place == "gt_path" else "/etc")
        answer = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)
        assert set(answer["errors"]) == {field}
        assert "outside the allowed folders" in answer["detail"]
        assert status(admin, task_id) == "pending"

    def test_roots_that_were_never_set(
        self,
        admin: Client,
        dataset_body: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        clean_services: None,  # noqa: ARG002
    ) -> None:
        monkeypatch.setenv("AIRFLOW__SVOPS__DATA_ROOTS", "")
        assert "[svops] data_roots" in self.refused(admin, "datasets", dataset_body, "path")


class TestFiles:
    @pytest.mark.parametrize("data_type", ["Vector", "Surf", "Jetson"])
    def test_a_missing_folder(self, admin: Client, data_type: str) -> None:
        body = {"name": "d", "path": f"{DATA}/nowhere", "data_type": data_type}
        answer = problem(admin.post("datasets", json=body), 422)
        assert "does not exist" in answer["detail"]
        assert set(answer["errors"]) == {"path"}
        assert is_empty(admin, "datasets")

    @pytest.mark.parametrize("data_type", ["Vector", "Surf", "Jetson"])
    def test_an_empty_folder(self, admin: Client, dataset_folder: Path, data_type: str) -> None:
        empty = dataset_folder / "empty"
        empty.mkdir()
        body = {"name": "d", "path": str(empty), "data_type": data_type}
        assert "is empty" in problem(admin.post("datasets", json=body), 422)["detail"]

    @pytest.mark.parametrize("data_type", ["Surf", "Jetson"])
    def test_files_of_another_type(self, admin: Client, dataset_body: dict[str, Any], data_type: str) -> None:
        answer = problem(admin.post("datasets", json={**dataset_body, "data_type": data_type}), 422)
        assert "no file ends in" in answer["detail"]

    def test_without_ground_truth(
        self, admin: Client, dataset_body: dict[str, Any], dataset_folder: Path
    ) -> None:
        (dataset_folder / "labels.csv").unlink()
        assert "ground truth" in problem(admin.post("datasets", json=dataset_body), 422)["detail"]
        body = {**dataset_body, "gt_path": f"{dataset_folder}/nowhere.csv"}
        assert "ground truth" in problem(admin.post("datasets", json=body), 422)["detail"]

    def test_a_name_that_no_file_system_takes(self, admin: Client, dataset_body: dict[str, Any]) -> None:
        problem(admin.post("datasets", json={**dataset_body, "path": f"{DATA}/{'x' * 300}"}), 422)
        problem(admin.post("datasets", json={**dataset_body, "gt_path": f"{DATA}/{'x' * 300}"}), 422)

    def test_files_that_went_away_since(self, admin: Client, task_id: int, dataset_folder: Path) -> None:
        for file in dataset_folder.iterdir():
            file.unlink()
        dataset_folder.rmdir()
        answer = problem(admin.post(f"tasks/{task_id}/execute", json={}), 422)
        assert "does not exist" in answer["detail"]
        assert "small" in answer["detail"]
        assert status(admin, task_id) == "pending"

    def test_a_folder_that_may_not_be_read(self, dataset_folder: Path) -> None:
        dataset = a_dataset(path=str(dataset_folder))
        assert problems_for_nobody(dataset) == []
        dataset_folder.chmod(0)
        try:
            (told,) = problems_for_nobody(dataset)
        finally:
            dataset_folder.chmod(0o755)
        assert "Permission denied" in told


class TestUnknown:
    @pytest.mark.parametrize("number", ["0", "12345", "2147483648", "9223372036854775808", "9" * 100])
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "tasks/{}"),
            ("PUT", "tasks/{}"),
            ("DELETE", "tasks/{}"),
            ("POST", "tasks/{}/execute"),
            ("GET", "tasks/{}/status"),
            ("GET", "datasets/{}"),
            ("PUT", "datasets/{}"),
            ("DELETE", "datasets/{}"),
        ],
    )
    def test_ids_that_nothing_has(self, admin: Client, method: str, path: str, number: str) -> None:
        body = {} if method in {"PUT", "POST"} else None
        assert number in problem(admin.request(method, path.format(number), json=body), 404)["detail"]

    @pytest.mark.parametrize("root", hosting().ROOTS)
    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/nothing",
            "/tasks/x",
            "/tasks/1/nothing",
            "/tasks/-1",
            "/tasks//1",
            "/datasets/1.5",
            "/auth",
            "/%00",
        ],
    )
    def test_paths_that_nothing_has(self, admin: Client, root: str, path: str) -> None:
        assert "nothing at" in problem(admin.get(f"{BASE}{root}{path}"), 404)["detail"]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", "notifications/webhook/a%00"),
            ("GET", "executions/1/artifacts/a%00"),
            ("GET", "tasks/%00"),
        ],
    )
    def test_paths_that_no_database_could_look_for(self, admin: Client, method: str, path: str) -> None:
        assert "nothing at" in problem(admin.request(method, path, json={}), 404)["detail"]

    @pytest.mark.parametrize("time", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
    def test_times_that_utc_has_not(self, admin: Client, time: str) -> None:
        assert "since" in problem(admin.get("workflows/wf_1/runs", params={"since": time}), 422)["errors"]

    @pytest.mark.parametrize("path", ["/svops/", "/svops/nothing", "/svops/api", "/svops/api/v2/tasks"])
    def test_paths_beside_the_api(self, admin: Client, path: str) -> None:
        assert "/svops/api/v1" in problem(admin.get(f"{BASE}{path}"), 404)["detail"]

    @pytest.mark.parametrize("root", hosting().ROOTS)
    @pytest.mark.parametrize(
        ("method", "path", "allowed"),
        [
            ("PATCH", "tasks/1", {"GET", "PUT", "DELETE"}),
            ("POST", "tasks/1", {"GET", "PUT", "DELETE"}),
            ("GET", "tasks/1/execute", {"POST"}),
            ("DELETE", "tasks/1/status", {"GET"}),
            ("DELETE", "datasets", {"GET", "POST"}),
            ("TRACE", "datasets", {"GET", "POST"}),
            ("QUERY", "datasets", {"GET", "POST"}),
            ("GET", "auth/login", {"POST"}),
        ],
    )
    def test_methods_that_a_path_does_not_take(
        self, admin: Client, root: str, method: str, path: str, allowed: set[str]
    ) -> None:
        for end in ("", "/"):
            answer = admin.request(method, f"{BASE}{root}/{path}{end}")
            assert path in problem(answer, 405)["detail"]
            assert set(answer.headers["allow"].split(", ")) == allowed

    @pytest.mark.parametrize("root", hosting().ROOTS)
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("tasks/1", {"GET", "HEAD", "PUT", "DELETE", "OPTIONS"}),
            ("auth/login", {"POST", "OPTIONS"}),
            ("nothing", {"OPTIONS"}),
        ],
    )
    def test_which_methods_a_path_takes(
        self, *, nobody: Client, root: str, path: str, allowed: set[str]
    ) -> None:
        for end in ("", "/"):
            answer = nobody.options(f"{BASE}{root}/{path}{end}")
            assert set(answer.headers["allow"].split(", ")) == allowed
