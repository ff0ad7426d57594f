"""The view behind all pages. What they show comes through the REST API, which decides who may see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response, request, send_from_directory
from flask_appbuilder import BaseView, expose  # type: ignore[import-untyped]

from svops_plugin.application.ports import Account
from svops_plugin.bootstrap import host, services
from svops_plugin.domain.entities import DataType
from svops_plugin.domain.permissions import Actor, granted
from svops_plugin.presentation.rest.api import PREFIX, ROOT
from svops_plugin.presentation.rest.bridge import FLASK_MOUNT
from svops_plugin.presentation.views.language import COOKIE, language_of, languages, messages
from svops_plugin.presentation.views.pages import PAGES
from svops_plugin.presentation.views.shell import STATIC, files_version, login, opened, shell

HERE = Path(__file__).parent
A_YEAR = 365 * 24 * 60 * 60


class Desk(BaseView):  # type: ignore[misc]  # Flask-AppBuilder is not typed
    """Serves the shell of each page, and the files that it needs."""

    route_base = ROOT
    template_folder = str(HERE / "templates")

    def page(self, **parameters: Any) -> Any:
        """Serve a page to somebody who is signed in and may see it."""
        rule = str(request.url_rule).removeprefix(ROOT)
        shown = PAGES[rule]
        return opened(
            self,
            shown,
            lambda account, actor: shell(self, shown, actor, context=_context(account, actor, parameters)),
        )

    for _rule in PAGES:
        page = expose(_rule)(page)

    @expose("/static/<version>/<path:name>")  # type: ignore[untyped-decorator]
    def asset(self, version: str, name: str) -> Response:
        """Serve a file; below a version it never changes."""
        return send_from_directory(STATIC, name, max_age=A_YEAR if version == files_version() else 0)


def _context(account: Account, actor: Actor, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return what the scripts have to know before they ask anything."""
    root = request.script_root.removesuffix(FLASK_MOUNT)
    language = language_of(request)
    return {
        "api": root + PREFIX,
        "live": f"{root}{ROOT}/ws",
        "pages": request.script_root + ROOT,
        "login": login(),
        "user": {"id": actor.user_id, "username": account.username},
        "may": granted(actor.roles),
        "owns_only": not actor.may("task", "edit"),
        "outputs": services(pooled=True).settings.output_roots,
        "data_types": [kind.value for kind in DataType],
        "parameters": parameters,
        "language": {"is": language, "known": languages(), "cookie": COOKIE, "path": root or "/"},
        "messages": messages(language),
        "run_page": host().RUN_PAGE,
        "root": root,
    }
