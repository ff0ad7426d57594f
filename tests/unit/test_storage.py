"""Which paths may be read and written, whatever is tried to get out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svops_plugin.domain.errors import Gone, InvalidInput, PermissionDenied
from svops_plugin.infrastructure.storage import ConfinedPaths


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "data" / "set").mkdir(parents=True)
    (tmp_path / "data2").mkdir()
    (tmp_path / "secret").write_text("x")
    return tmp_path / "data"


@pytest.fixture
def paths(root: Path) -> ConfinedPaths:
    return ConfinedPaths([str(root)], [str(root.parent / "out")])


def refused(paths: ConfinedPaths, path: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refusal:
        paths.readable("path", path)
    assert set(refusal.value.errors) == {"path"}


def test_below_a_root(paths: ConfinedPaths, root: Path) -> None:
    paths.readable("path", str(root))
    paths.readable("path", f"{root}/set")
    paths.readable("path", f"{root}//set/./not-there-yet/at all")
    paths.writable("log_out_path", str(root.parent / "out" / "new"))


def test_each_kind_of_root_counts_for_itself(paths: ConfinedPaths, root: Path) -> None:
    with pytest.raises(InvalidInput, match="output_roots") as refusal:
        paths.writable("log_out_path", f"{root}/set")
    assert set(refusal.value.errors) == {"log_out_path"}
    refused(paths, str(root.parent / "out"), "data_roots")


@pytest.mark.parametrize("path", ["", "set", "./set", "~/set", "file:///etc/passwd"])
def test_not_absolute(paths: ConfinedPaths, path: str) -> None:
    refused(paths, path, "is not an absolute path")


@pytest.mark.parametrize("end", ["/..", "/../data/set", "/set/../../secret", "/set/..", "/../data2"])
def test_dots(paths: ConfinedPaths, root: Path, end: str) -> None:
    refused(paths, f"{root}{end}", r"without '\.\.'")


@pytest.mark.parametrize("end", ["\0", "/set\0", "/\0/set", "/set\0/../../secret"])
def test_nul(paths: ConfinedPaths, root: Path, end: str) -> None:
    refused(paths, f"{root}{end}", "is not an absolute path")


def test_outside(paths: ConfinedPaths, root: Path) -> None:
    for path in (root.parent, root.parent / "secret", root.parent / "data2", Path("/"), Path("/etc/passwd")):
        refused(paths, str(path), "outside the allowed folders")


def test_a_link_that_leads_out(paths: ConfinedPaths, root: Path) -> None:
    (root / "out").symlink_to(root.parent)
    (root / "file").symlink_to(root.parent / "secret")
    (root / "dangling").symlink_to(root.parent / "nowhere")
    for name in ("out", "out/secret", "out/not-there", "file", "dangling"):
        refused(paths, f"{root}/{name}", "outside the allowed folders")


def test_a_link_that_stays_inside(paths: ConfinedPaths, root: Path) -> None:
    (root / "alias").symlink_to(root / "set")
    paths.readable("path", f"{root}/alias/file")


def test_a_link_that_leads_round_in_circles(paths: ConfinedPaths, root: Path) -> None:
    (root / "one").symlink_to(root / "two")
    (root / "two").symlink_to(root / "one")
    refused(paths, f"{root}/one/file", "path")


def test_a_root_that_is_a_link(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    paths = ConfinedPaths([str(tmp_path / "link")], [])
    paths.readable("path", str(root / "set"))
    paths.readable("path", str(tmp_path / "link" / "set"))
    refused(paths, str(tmp_path / "secret"), "outside")


def test_several_roots(root: Path) -> None:
    paths = ConfinedPaths([str(root), str(root.parent / "data2")], [])
    paths.readable("path", str(root.parent / "data2" / "set"))
    refused(paths, str(root.parent / "data3"), "data_roots: .*data, .*data2")


def test_without_any_root_nothing_is_allowed(root: Path) -> None:
    refused(ConfinedPaths([], []), str(root), r"\[svops\] data_roots")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(["..", ".", "set", "data", "data2", "secret", "", "out", " ", "é"]), max_size=8)
)
def test_whatever_is_accepted_is_below_the_root(paths: ConfinedPaths, root: Path, parts: list[str]) -> None:
    path = f"{root}/{'/'.join(parts)}"
    try:
        paths.readable("path", path)
    except InvalidInput:
        return
    assert Path(path).resolve().is_relative_to(root)


@given(st.text())
def test_any_text_is_accepted_or_refused_by_field(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        ConfinedPaths(["/nowhere/at/all"], []).readable("gt_path", text)
    assert set(refusal.value.errors) == {"gt_path"}


class TestExisting:
    @pytest.fixture
    def out(self, root: Path) -> Path:
        made = root.parent / "out"
        made.mkdir()
        return made

    def test_links_are_followed(self, paths: ConfinedPaths, out: Path) -> None:
        (out / "report").write_text("x")
        (out / "link").symlink_to(out / "report")
        assert paths.existing(f"{out}/link") == out / "report"

    @pytest.mark.parametrize("path", ["../secret", "link", "linked/secret", "/etc/passwd", "relative"])
    def test_what_is_outside(self, paths: ConfinedPaths, root: Path, out: Path, path: str) -> None:
        (out / "link").symlink_to(root.parent / "secret")
        (out / "linked").symlink_to(root.parent)
        with pytest.raises(PermissionDenied):
            paths.existing(str(out / path) if path != "relative" else path)

    @pytest.mark.parametrize("path", ["gone", "folder", "pipe", "report/x"])
    def test_what_is_no_file(self, paths: ConfinedPaths, out: Path, path: str) -> None:
        (out / "folder").mkdir()
        (out / "report").write_text("x")
        os.mkfifo(out / "pipe")
        with pytest.raises(Gone):
            paths.existing(str(out / path))


class TestCompletions:
    def found(self, paths: ConfinedPaths, typed: str, limit: int = 50) -> list[tuple[str, bool]]:
        return [tuple(one) for one in paths.completions(typed, limit)]

    def test_roots(self, root: Path) -> None:
        other = root.parent / "elsewhere"
        paths = ConfinedPaths([str(root), str(other)], [])
        assert self.found(paths, "") == [(str(root), True), (str(other), True)]
        assert self.found(paths, str(root)[:-1]) == [(str(root), True)]
        assert self.found(paths, str(root)) == [(str(root), True)]
        assert self.found(paths, "/nothing") == self.found(paths, "relative/") == []

    def test_what_a_folder_holds(self, paths: ConfinedPaths, root: Path) -> None:
        (root / "sea").mkdir()
        (root / "a.csv").write_text("")
        (root / ".hidden").mkdir()
        every = [(f"{root}/sea", True), (f"{root}/set", True), (f"{root}/a.csv", False)]
        assert self.found(paths, f"{root}/") == every
        assert self.found(paths, f"{root}/se") == every[:2]
        assert self.found(paths, f"{root}/", 1) == every[:1]
        assert self.found(paths, f"{root}/set") == every[1:2]
        assert self.found(paths, f"{root}/set/") == []

    def test_nothing_outside_is_told(self, paths: ConfinedPaths, root: Path) -> None:
        (root / "out").symlink_to(root.parent)
        (root / "circle").symlink_to(root / "circle")
        (root / "inside").symlink_to(root / "set")
        assert self.found(paths, f"{root}/") == [(f"{root}/inside", True), (f"{root}/set", True)]
        for typed in (f"{root}/out/", f"{root}/../", f"{root.parent}/", f"{root.parent}/sec", "/etc/", "\0/"):
            assert self.found(paths, typed) in ([], [(str(root), True)]), typed

    def test_names_that_cannot_be_typed(self, paths: ConfinedPaths, root: Path) -> None:
        (root / "line\nbreak").mkdir()
        Path(os.fsdecode(os.fsencode(root) + b"/\xff")).mkdir()
        assert self.found(paths, f"{root}/") == [(f"{root}/set", True)]
