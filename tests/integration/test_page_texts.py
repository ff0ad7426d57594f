"""What pages say is known in every language, and nothing is that no page says."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import pytest

from svops_plugin.domain.entities import DataType
from svops_plugin.domain.notifications import NOTIFICATION_TYPES
from svops_plugin.presentation import views
from svops_plugin.presentation.views.language import SOURCE, languages, messages
from svops_plugin.presentation.views.pages import PAGES, TABS
from svops_plugin.presentation.views.records import NOT_THERE, RECORDS
from svops_plugin.presentation.views.shell import FORBIDDEN

HERE = Path(views.__file__).parent
IN_SCRIPTS = re.compile(r'\bt\("((?:[^"\\]|\\.)*)"')
IN_TEMPLATES = re.compile(r'\bsay\("([^"]*)"\)')


def said() -> set[str]:
    texts = {
        FORBIDDEN,
        NOT_THERE,
        *TABS,
        *(view.list_title for view in RECORDS),
        *(page.title for page in PAGES.values()),
    }
    for script in (HERE / "static").glob("*.js"):
        texts.update(IN_SCRIPTS.findall(script.read_text()))
    for template in (HERE / "templates").rglob("*.html"):
        texts.update(IN_TEMPLATES.findall(template.read_text()))
    return texts


@pytest.mark.parametrize("language", [language for language in languages() if language != SOURCE])
def test_every_text_has_its_translation(language: str) -> None:
    known = messages(language)
    assert known.keys() == said()
    for text, translation in known.items():
        assert set(re.findall(r"\{(\w+)\}", translation)) == set(re.findall(r"\{(\w+)\}", text)), text


@pytest.mark.parametrize(
    ("script", "types"),
    [
        ("dataset_form.js", [kind.value for kind in DataType]),
        ("notification_words.js", NOTIFICATION_TYPES.values()),
    ],
)
def test_every_type_that_can_be_chosen_is_told_in_words(script: str, types: Collection[str]) -> None:
    (words,) = re.findall(r"\bTYPES = \{(.*?)\};", (HERE / "static" / script).read_text(), re.DOTALL)
    assert set(re.findall(r"(\w+): t\(", words)) == set(types)


def test_every_page_has_its_script() -> None:
    modules = {path.stem for path in (HERE / "static").glob("*.js")}
    assert {page.module for page in PAGES.values()} <= modules


def test_no_script_makes_html_of_text() -> None:
    for script in (HERE / "static").glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|\beval\b", script.read_text()), script
