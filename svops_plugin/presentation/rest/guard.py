"""What stands before and behind every view: sizes, sites, rates and headers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from flask import Request, Response, request
from werkzeug.exceptions import BadRequest, LengthRequired, RequestEntityTooLarge

from svops_plugin.bootstrap import host

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MAX_BODY = 1024**2  # bytes
MAX_DIGITS = 1000
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Idempotency-Key",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    "Access-Control-Max-Age": "600",
}
READABLE_HEADERS = "Location, Retry-After"


def take_body(asked: Request) -> None:
    """Read a body, whether or not a view looks at it, or refuse it before it is read.

    Gunicorn reads what is left unread after the answer; its version 25 loses a request right behind that.

    :raises LengthRequired: if its length is not said, so that nothing bounds it
    :raises RequestEntityTooLarge: if there is too much of it
    """
    if asked.content_length is None and "Transfer-Encoding" in asked.headers:
        raise LengthRequired("Send the body with a Content-Length.")
    if (asked.content_length or 0) > MAX_BODY:
        raise RequestEntityTooLarge(f"A body has {MAX_BODY:,} bytes at the most.")
    asked.get_data()


def harden(answer: Response) -> Response:
    """Let browsers make nothing of an answer that it is not; a view may have said what it needs."""
    for name, value in SECURITY_HEADERS.items():
        answer.headers.setdefault(name, value)
    return answer


def share(answer: Response) -> Response:
    """Let pages of the sites that ``[svops] cors_origins`` names read an answer. Never with a cookie."""
    allowed = host().allowed_origins()
    if not allowed:
        return answer
    answer.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin in allowed:
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Expose-Headers"] = READABLE_HEADERS
        if request.method == "OPTIONS":
            answer.headers.update(PREFLIGHT_HEADERS)
    return answer


def from_own_page() -> bool:
    """Tell whether a page of this very site sent a request: by its Origin, or the host's CSRF token."""
    origin = request.headers.get("Origin")
    if origin is not None:
        return origin.partition("://")[2] == request.host
    return _shows_csrf_token()


def _shows_csrf_token() -> bool:
    from flask_wtf.csrf import validate_csrf  # type: ignore[import-untyped]
    from wtforms import ValidationError  # type: ignore[import-untyped]

    try:
        validate_csrf(request.headers.get("X-CSRFToken"))
    except ValidationError:
        return False
    return True


def parse_json(text: bytes) -> Any:
    """Read JSON that says everything once.

    :raises BadRequest: if it says something twice, is nested too deeply, or is no JSON
    """
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_int=_whole)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None
    except ValueError as error:  # what cannot be decoded, too
        raise BadRequest(f"The body is not JSON: {error}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise BadRequest(f"The body says {twice[:80]!r} more than once.")
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadRequest(f"A number has {MAX_DIGITS} digits at the most.")
    return int(digits)
