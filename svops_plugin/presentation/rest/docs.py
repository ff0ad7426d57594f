"""The API's description, and two readers of it. Nothing of them comes from another host."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, cast

from flask import Response, current_app, render_template_string, request, send_from_directory

from svops_plugin.domain.entities import Json
from svops_plugin.presentation.rest.api import PREFIX, make_blueprint
from svops_plugin.presentation.rest.openapi import SIGN_IN, describe
from svops_plugin.presentation.rest.operations import anonymous, answers

blueprint = make_blueprint("docs")

STATIC = Path(__file__).with_name("static")
HTML, FILE = "text/html", "*/*"
DAY = 24 * 60 * 60
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self'; connect-src 'self'; worker-src blob:; frame-ancestors 'self'; base-uri 'none'; "
    "form-action 'self'"
)
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SVOps API</title>
{% for name in styles %}<link rel="stylesheet" href="{{ url_for('.asset', name=name) }}">
{% endfor %}<body>
<div id="api"></div>
{% set spec = url_for('.openapi') -%}
{% for name in scripts %}<script src="{{ url_for('.asset', name=name) }}" data-spec="{{ spec }}"></script>
{% endfor %}"""


@blueprint.get("/openapi.json")
@anonymous
@answers()
def openapi() -> Json:
    """Return this description (OpenAPI 3.1)."""
    described = deepcopy(describe(cast("Any", current_app)._get_current_object()))
    root = request.script_root + PREFIX
    described["servers"] = [{"url": root}]
    described["components"]["securitySchemes"]["oauth2"]["flows"]["password"]["tokenUrl"] = root + SIGN_IN
    return described


@blueprint.get("/docs")
@anonymous
@answers(media_type=HTML)
def swagger_ui() -> Response:
    """Show it in Swagger UI, where every operation can be tried."""
    return _page(["swagger-ui/swagger-ui.css"], ["swagger-ui/swagger-ui-bundle.js", "swagger-ui.js"])


@blueprint.get("/redoc")
@anonymous
@answers(media_type=HTML)
def redoc() -> Response:
    """Show it in ReDoc, for reading."""
    return _page(["page.css"], ["redoc/redoc.standalone.js", "redoc.js"])


@blueprint.get("/docs/assets/<path:name>")
@anonymous
@answers(media_type=FILE)
def asset(name: str) -> Response:
    """Return a file that the two need."""
    return send_from_directory(STATIC, name, max_age=DAY)


def _page(styles: list[str], scripts: list[str]) -> Response:
    answer = Response(
        render_template_string(PAGE, styles=styles, scripts=scripts), content_type=f"{HTML}; charset=utf-8"
    )
    answer.headers["Content-Security-Policy"] = POLICY
    return answer
