"""English and Korean: a gettext catalogue, read once, for templates and scripts alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po
from flask import Request

COOKIE = "svops_language"
SOURCE = "en"
CATALOGUES = Path(__file__).with_name("translations")


@cache
def languages() -> list[str]:
    """Return the languages that there are, the one that the texts are written in first."""
    return [SOURCE, *sorted(path.stem for path in CATALOGUES.glob("*.po"))]


def language_of(request: Request) -> str:
    """Return the language that a reader has chosen, or else prefers."""
    chosen = request.cookies.get(COOKIE)
    if chosen in languages():
        return chosen
    return request.accept_languages.best_match(languages(), SOURCE)


@cache
def messages(language: str) -> Mapping[str, str]:
    """Return what texts are in a language, by what they are in English; only those that differ."""
    if language == SOURCE:
        return {}
    with (CATALOGUES / f"{language}.po").open("rb") as stream:
        catalogue = read_po(stream, locale=language)
    return {str(entry.id): str(entry.string) for entry in catalogue if entry.id and entry.string}


def speaker(language: str) -> Callable[[str], str]:
    """Return a function that says in a language what is in English."""
    known = messages(language)
    return lambda text: known.get(text, text)
