"""What a dataset's page needs: a path that is being typed, samples, pictures, and what has changed since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from httpx import Client
from PIL import Image

from svops_plugin.bootstrap import services
from svops_plugin.pipelines import files, readers
from svops_plugin.pipelines.gallery import LISTING
from svops_plugin.pipelines.readers import reader_for
from tests.conftest import DATA, OUTPUT
from tests.hosts import hosting
from tests.integration.support import ok, problem
from tests.server import BASE

NOTHING = {"total": 0, "names": []}


@pytest.fixture
def frames(admin: Client, tmp_path: Path) -> dict[str, Any]:
    """A dataset of four camera frames, two of them in a folder."""
    folder = DATA / tmp_path.name
    (folder / "camera 1").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b#.png", "camera 1/a.png", "camera 1/b.png"]):
        Image.new("L", (200, 100), number).save(folder / name)
    lines = ["sample,label", "a.png,car", "b#.png,<b>bus", "camera 1/a.png,car", "camera 1/b.png,car"]
    (folder / "labels.csv").write_text("\n".join(lines))
    body = {"name": "frames", "path": str(folder), "data_type": "Jetson"}
    made: dict[str, Any] = ok(admin.post("datasets", json=body), 201)
    return made


class TestCheckPath:
    def check(self, client: Client, **asked: str) -> dict[str, Any]:
        found: dict[str, Any] = ok(client.get("datasets/check-path", params=asked))
        return found

    def test_what_is_good(self, admin: Client, dataset_folder: Path) -> None:
        found = self.check(admin, path=str(dataset_folder), data_type="Vector")
        assert (found["valid"], found["errors"]) == (True, {})
        assert found["completions"] == [{"path": str(dataset_folder), "is_folder": True}]
        assert self.check(admin, path=str(dataset_folder), data_type="Vector", gt_path="")["valid"] is True
        table = str(dataset_folder / "table.csv")
        truth = str(dataset_folder / "labels.csv")
        assert self.check(admin, path=table, data_type="Vector", gt_path=truth)["valid"] is True
        assert self.check(admin, path=f"{dataset_folder}/")["completions"] == [
            {"path": truth, "is_folder": False},
            {"path": table, "is_folder": False},
        ]

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"path": "/etc"}, "path"),
            ({"path": ""}, "path"),
            ({"path": "relative"}, "path"),
            ({"path": f"{DATA}/nothing"}, "path"),
            ({"data_type": "Surf"}, "path"),
            ({"gt_path": "/etc/passwd"}, "gt_path"),
        ],
    )
    def test_the_reasons_are_those_of_registering_it(
        self, admin: Client, dataset_body: dict[str, Any], change: dict[str, str], field: str
    ) -> None:
        body = {**dataset_body, **change}
        found = self.check(admin, **{name: body[name] for name in body if name != "name"})
        assert (found["valid"], set(found["errors"])) == (False, {field})
        if body["path"]:
            assert problem(admin.post("datasets", json=body), 422)["errors"] == found["errors"]

    def test_a_type_without_a_reader(
        self, admin: Client, dataset_body: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As where SVOps was not installed anew after it had got one."""
        body = {**dataset_body, "data_type": "Surf"}
        monkeypatch.setattr(readers, "ENTRY_POINT_GROUP", "nothing")
        found = self.check(admin, **{name: body[name] for name in body if name != "name"})
        assert (found["valid"], found["errors"]) == (False, {"path": ["unknown data type 'Surf'; known: "]})
        assert problem(admin.post("datasets", json=body), 422)["errors"] == found["errors"]

    def test_the_beginning(self, admin: Client) -> None:
        assert self.check(admin, path="")["completions"] == [{"path": str(DATA), "is_folder": True}]

    def test_nothing_outside_is_told(self, admin: Client, dataset_folder: Path) -> None:
        (dataset_folder / "out").symlink_to("/etc")
        for path in ("/etc/", f"{DATA}/../", f"{dataset_folder}/out/", "/etc/pass"):
            found = self.check(admin, path=path)
            assert (found["valid"], found["completions"]) == (False, []), path

    @pytest.mark.parametrize(
        ("asked", "field"),
        [
            ({}, "path"),
            ({"path": "x" * 4097}, "path"),
            ({"path": "\0"}, "path"),
            ({"path": "/", "data_type": "x"}, "data_type"),
            ({"path": "/", "more": "x"}, "more"),
        ],
    )
    def test_bad_input(self, admin: Client, asked: dict[str, str], field: str) -> None:
        assert set(problem(admin.get("datasets/check-path", params=asked), 422)["errors"]) == {field}


class TestSamples:
    @pytest.mark.parametrize("root", hosting().ROOTS)
    def test_with_pictures(self, admin: Client, frames: dict[str, Any], root: str) -> None:
        path = f"{root}/datasets/{frames['id']}/samples"
        items = ok(admin.get(f"{BASE}{path}"))["items"]
        assert [(item["name"], item["label"]) for item in items] == [
            ("b#.png", "<b>bus"),
            ("a.png", "car"),
            ("camera 1/a.png", "car"),
            ("camera 1/b.png", "car"),
        ]
        assert items[0]["picture_url"] == f"{path}/b%23.png"
        for item in items:
            answer = admin.get(f"{BASE}{item['picture_url']}")
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "private" in answer.headers["cache-control"]
            assert answer.content.startswith(b"\x89PNG")

    def test_rows_of_a_table_have_none(self, admin: Client, dataset_id: int) -> None:
        items = ok(admin.get(f"datasets/{dataset_id}/samples"))["items"]
        assert [(item["name"], item["picture_url"]) for item in items] == [
            ("a", None),
            ("b", None),
            ("c", None),
            ("d", None),
        ]
        problem(admin.get(f"datasets/{dataset_id}/samples/a"), 404)

    @pytest.mark.parametrize("name", ["nothing.png", "labels.csv", "..%2Fa.png", "%2Fetc%2Fpasswd"])
    def test_what_is_no_sample(self, admin: Client, frames: dict[str, Any], name: str) -> None:
        problem(admin.get(f"datasets/{frames['id']}/samples/{name}"), 404)

    def test_what_cannot_be_read_any_more(self, admin: Client, frames: dict[str, Any]) -> None:
        (Path(frames["path"]) / "a.png").write_bytes(b"no image")
        assert "a.png" in problem(admin.get(f"datasets/{frames['id']}/samples/a.png"), 410)["detail"]
        (Path(frames["path"]) / "labels.csv").unlink()
        problem(admin.get(f"datasets/{frames['id']}/samples"), 410)

    def test_a_link_that_was_swapped_in_since(
        self, admin: Client, frames: dict[str, Any], tmp_path: Path
    ) -> None:
        folder = Path(frames["path"])
        folder.rename(tmp_path / "moved")
        folder.symlink_to(tmp_path / "moved")
        for path in ("samples", "samples/a.png", "changes"):
            problem(admin.get(f"datasets/{frames['id']}/{path}"), 403)

    @pytest.mark.parametrize("path", ["samples", "samples/x", "changes"])
    def test_of_nothing(self, admin: Client, path: str) -> None:
        assert "no dataset 99" in problem(admin.get(f"datasets/99/{path}"), 404)["detail"]


class TestChanges:
    @pytest.fixture
    def listing(self, frames: dict[str, Any], tmp_path: Path) -> Path:
        """Where the list of files is that a run has left."""
        import json

        folder = Path(frames["path"])
        found = files.listing(reader_for("Jetson").files(folder, None), folder / "labels.csv")
        path = OUTPUT / f"{tmp_path.name}-{LISTING}"
        path.write_text(json.dumps(found))
        with services(pooled=True).transactions() as uow:
            dataset = uow.datasets.lock(frames["id"])
            dataset.profile, dataset.fingerprint = {"listing": str(path)}, files.fingerprint(found)
        return path

    def test_none(self, admin: Client, frames: dict[str, Any], listing: Path) -> None:
        assert listing.is_file()
        assert ok(admin.get(f"datasets/{frames['id']}/changes")) == {
            "changed": False,
            "certain": True,
            "added": NOTHING,
            "removed": NOTHING,
            "modified": NOTHING,
            "reason": None,
        }

    def test_some(self, admin: Client, frames: dict[str, Any], listing: Path) -> None:  # noqa: ARG002
        folder = Path(frames["path"])
        for number in range(22):
            (folder / f"n{number:02}.png").write_bytes(b"x")
        (folder / "a.png").unlink()
        (folder / "labels.csv").write_text("sample,label\n")
        found = ok(admin.get(f"datasets/{frames['id']}/changes"))
        assert (found["changed"], found["certain"]) == (True, True)
        assert found["added"] == {"total": 22, "names": [f"n{number:02}.png" for number in range(20)]}
        assert found["removed"] == {"total": 1, "names": ["a.png"]}
        assert found["modified"] == {"total": 1, "names": ["labels.csv"]}

    def test_what_is_not_known(self, admin: Client, frames: dict[str, Any], dataset_id: int) -> None:
        found = ok(admin.get(f"datasets/{dataset_id}/changes"))
        assert (found["changed"], "No pipeline" in found["reason"]) == (None, True)
        for profile in ({}, {"listing": "/etc/passwd"}, {"listing": None}, {"listing": f"{OUTPUT}/nothing"}):
            with services(pooled=True).transactions() as uow:
                uow.datasets.lock(frames["id"]).profile = profile
            found = ok(admin.get(f"datasets/{frames['id']}/changes"))
            assert (found["changed"], "is gone" in found["reason"]) == (None, True)
        bad = OUTPUT / f"bad-{frames['id']}"
        bad.write_text("[]")
        with services(pooled=True).transactions() as uow:
            uow.datasets.lock(frames["id"]).profile = {"listing": str(bad)}
        found = ok(admin.get(f"datasets/{frames['id']}/changes"))
        assert (found["changed"], "cannot be read" in found["reason"]) == (None, True)
