"""What every page stands in: who may see it, its tabs, its language, and what it is allowed to load."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from flask import Response, make_response, redirect, request
from flask_appbuilder import BaseView  # type: ignore[import-untyped]

from svops_plugin import __version__
from svops_plugin.application.ports import Account
from svops_plugin.bootstrap import host, services
from svops_plugin.domain.errors import NotAuthenticated, SVOpsError
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.rest.api import ROOT
from svops_plugin.presentation.views.language import language_of, speaker
from svops_plugin.presentation.views.pages import TABS, Page, tabs_for

STATIC = Path(__file__).with_name("static")
FORBIDDEN = "Your role does not open this page; an administrator can give you another."
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'{styles}; img-src 'self' data:; "
    "font-src 'self'{fonts}; connect-src 'self'; frame-src 'self'; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'self'"
)
# The bar of Airflow 2.11 brings styles and a font of its own; scripts it may not.
PLAIN = {"styles": "", "fonts": ""}
WITH_BAR = {"styles": " 'unsafe-inline'", "fonts": " data:"}


def shell(
    view: BaseView,
    page: Page,
    actor: Actor | None = None,
    *,
    template: str = "svops/page.html",
    problem: str = "",
    status: int = 200,
    **content: Any,
) -> Response:
    """Return the answer that a page is, for somebody who may see these tabs.

    :param problem: what is told in place of the content, if something is wrong
    :param content: what the template gets
    """
    language, root = language_of(request), request.script_root + ROOT
    say = speaker(language)
    answer = make_response(
        view.render_template(
            template,
            frame="svops/alone.html" if host().HAS_API_SERVER else "svops/airflow2.html",
            page=page,
            tabs={name: f"{root}/{TABS[name]}" for name in tabs_for(actor)} if actor else {},
            static=f"{root}/static/{files_version()}",
            **content,
            problem=problem,
            language=language,
            say=say,
            title=say(page.title),
        ),
        status,
    )
    policy = POLICY.format_map(PLAIN if host().HAS_API_SERVER else WITH_BAR)
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Referrer-Policy"] = "same-origin"
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def opened(view: BaseView, page: Page, show: Callable[[Account, Actor], Response]) -> Any:
    """Return what ``show`` returns for somebody who is signed in and may see a page; refuse all others."""
    own = services(pooled=True)
    try:
        token = own.accounts.token_of(request)
        if token is None:
            return redirect(login())
        account = own.accounts.by_token(token[0])
        actor = own.auth.actor(account)
        if not page.open_to(actor):
            return shell(view, page, actor, problem=FORBIDDEN, status=403)
        return show(account, actor)
    except NotAuthenticated:
        return redirect(login())
    except SVOpsError as refusal:
        return shell(view, page, problem=str(refusal), status=503)


def login() -> str:
    """Return where somebody signs in to come back to this page."""
    return str(host().login_url(request.url))


@cache
def files_version() -> str:
    """Return what changes whenever the files do, as long as the server is started anew then."""
    newest = max(path.stat().st_mtime_ns for path in STATIC.iterdir())
    return f"{__version__}-{newest:x}"
