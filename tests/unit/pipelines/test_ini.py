from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from svops_plugin.pipelines import ini
from svops_plugin.pipelines.errors import ConfigurationError


def names(forbidden: str) -> st.SearchStrategy[str]:
    return (
        st.text(min_size=1, max_size=12)
        .filter(lambda text: text == text.strip() and text.isprintable())
        .filter(lambda text: not set(text) & set(forbidden) and text != "DEFAULT")
    )


values = st.text(max_size=20).filter(lambda text: text == text.strip() and text.isprintable())


@given(st.dictionaries(names("[]"), st.dictionaries(names("=:[#;"), values, max_size=3), max_size=3))
def test_what_is_written_is_read_again(sections):
    sections.pop("report", None)
    sections.pop("video", None)
    assert ini.loads(ini.dumps(ini.parse(sections))) == sections


def test_values_become_text_and_keys_keep_their_case():
    assert ini.parse({"A": {"Key": 1, "ratio": 0.5, "on": True, "text": " x%y "}}) == {
        "A": {"Key": "1", "ratio": "0.5", "on": "true", "text": "x%y"}
    }


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ([], ""),
        ("text", ""),
        ({"a": "b"}, ".a"),
        ({"a": None}, ".a"),
        ({"a": {"b": None}}, ".a.b"),
        ({"a": {"b": [1]}}, ".a.b"),
        ({"a": {"b": "two\nlines"}}, ".a.b"),
        ({"a": {"b = c": "d"}}, ".a"),
        ({"a": {"#b": "d"}}, ".a"),
        ({"a": {" b": "d"}}, ".a"),
        ({"a": {"": "d"}}, ".a"),
        ({"a]": {}}, ""),
        ({"a\n[b": {}}, ""),
        ({1: {}}, ""),
        ({"DEFAULT": {"a": "b"}}, ".DEFAULT"),
        ({"video": {"frame_ms": "fast"}}, ".video.frame_ms"),
        ({"video": {"frame_ms": 0}}, ".video.frame_ms"),
        ({"video": {"max_frames": 2.5}}, ".video.max_frames"),
        ({"report": {"max_pictures": -1}}, ".report.max_pictures"),
        ({"report": {"title": "x" * 201}}, ".report.title"),
    ],
)
def test_what_an_ini_file_cannot_hold_is_named(content, field):
    with pytest.raises(ConfigurationError) as caught:
        ini.parse(content)
    assert caught.value.field == ini.FIELD + field


def test_honoured_keys_have_defaults_and_others_are_left_alone():
    assert ini.options({}) == ini.Options()
    assert ini.options({"report": {"title": "T", "other": "x"}, "video": {"frame_ms": "80"}}) == ini.Options(
        title="T", frame_ms=80
    )


@pytest.mark.parametrize("text", ["key = value", "[a]\nb = 1\nb = 2", "[a]\n[a]", "[a]\nnonsense"])
def test_a_damaged_file_is_refused(text):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ini.loads(text)
