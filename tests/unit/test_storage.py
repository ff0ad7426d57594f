"""Which paths may be read and written, whatever is tried to get out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from svops_plugin.domain.errors import InvalidInput
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


@pytest.mark.parametrize("path", ["", "set", "./set", "~/set", "file:///etc/passwd", "s3://bucket/key"])
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
