"""Which URLs of object stores may be read and written; nothing is asked of any store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svops_plugin.domain.errors import InvalidInput
from svops_plugin.infrastructure.storage import ConfinedPaths

ROOT = "s3://store@bucket/data"
PATHS = ConfinedPaths([ROOT, "/srv/data"], ["s3://results"])


def refused(path: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as refusal:
        PATHS.readable("path", path)
    assert set(refusal.value.errors) == {"path"}


@pytest.mark.parametrize("end", ["", "/", "/set", "/set/", "/set/a b/é.csv", "/..hidden", "/a:b@c"])
def test_below_a_root(end: str) -> None:
    PATHS.readable("path", ROOT + end)


def test_a_whole_bucket() -> None:
    PATHS.writable("log_out_path", "s3://results")
    PATHS.writable("log_out_path", "s3://results/any/where")
    with pytest.raises(InvalidInput, match="output_roots"):
        PATHS.writable("log_out_path", ROOT)


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/data",  # by no connection
        "s3://other@bucket/data",
        "s3://store@bucket",
        "s3://store@bucket/",
        "s3://store@bucket/database",
        "s3://store@bucket2/data",
        "s3a://store@bucket/data",
        "gs://store@bucket/data",
    ],
)
def test_outside(url: str) -> None:
    refused(url, "outside the allowed folders")


@pytest.mark.parametrize(
    "url",
    [
        f"{ROOT}/..",
        f"{ROOT}/../secret",
        f"{ROOT}/./set",
        f"{ROOT}//set",
        f"{ROOT}/set//",
        f"{ROOT}/set\0",
        f"{ROOT}/set\n",
        f"{ROOT}/set?versionId=1",
        f"{ROOT}/set#part",
        f"{ROOT}\\..\\secret",
        f"{ROOT}/x::file:///etc/passwd",
        f"simplecache::{ROOT}",
        "S3://store@bucket/data",
        "s3://",
        "s3:///data",
        "s3://store@/data",
        "s3://a@b@bucket/data",
        "://bucket/data",
        "file:///srv/data",
        "local:///srv/data",
    ],
)
def test_what_is_no_url_of_an_object(url: str) -> None:
    refused(url, "is not an absolute path")


@pytest.mark.parametrize("path", ["file:///etc/passwd", "file://host/etc/passwd", "local://x/etc/passwd"])
def test_a_disk_is_no_object_store(path: str) -> None:
    """Whatever the roots say: on disk, links have to be followed."""
    with pytest.raises(InvalidInput):
        ConfinedPaths(["file:///etc", "file://host/etc", "local://x/etc"], []).readable("path", path)


@given(st.lists(st.sampled_from(["..", ".", "data", "data2", "", "?", "::", "x@y", " ", "é"]), max_size=6))
def test_whatever_is_accepted_is_below_the_root(parts: list[str]) -> None:
    url = "/".join(["s3://store@bucket", *parts])
    try:
        PATHS.readable("path", url)
    except InvalidInput:
        return
    assert parts[0] == "data"
    assert not {"..", "."} & set(parts)
