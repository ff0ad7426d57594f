"""What a view takes and gives, said once: its decorators do it, and the API's description is made of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast

from flask import Response
from marshmallow import Schema
from msgspec.json import Encoder

from svops_plugin.domain.errors import SVOpsError
from svops_plugin.presentation.rest.schemas import dump_page

View = Callable[..., Any]
F = TypeVar("F", bound=View)
JSON = "application/json"
_encoder = Encoder(order="sorted")


@dataclass
class Operation:
    """One operation of the API.

    :param answer: what it answers with; none for no body, or where ``media_type`` is not JSON
    :param in_pages: whether ``answer`` is an item of a list
    :param status: which it answers with; none as long as no decorator has said it
    :param also: a second status with the same body, which the view then returns with it
    :param refuses: refusals beside those that follow from what it takes
    :param once: whether it takes an ``Idempotency-Key``
    """

    body: Schema | None = None
    form: bool = False
    query: Schema | None = None
    answer: Schema | None = None
    in_pages: bool = False
    status: HTTPStatus | None = None
    also: HTTPStatus | None = None
    media_type: str = JSON
    refuses: tuple[type[SVOpsError], ...] = ()
    once: bool = False
    anonymous: bool = False


def operation_of(view: View) -> Operation:
    """Return what is known of a view; ``functools.wraps`` hands it on from decorator to decorator."""
    return cast("Operation", view.__dict__.setdefault("operation", Operation()))


def anonymous(view: F) -> F:
    """Let anybody call a view."""
    operation_of(view).anonymous = True
    return view


def takes(schema: Schema) -> Callable[[F], F]:
    """Say what the body is that a view reads itself."""

    def decorate(view: F) -> F:
        operation_of(view).body = schema
        return view

    return decorate


def once(view: F) -> F:
    """Say that a view does the same request only once, where it carries an ``Idempotency-Key``."""
    operation_of(view).once = True
    return view


def as_json(value: Any, status: HTTPStatus) -> Response:
    """Return an answer in JSON, its keys in their order.

    Flask's encoder takes five times as long for a page of tasks.
    """
    try:
        content = _encoder.encode(value)
    except (UnicodeEncodeError, OverflowError):  # half a character in a file's name; more than 64 bits
        content = json.dumps(value, sort_keys=True).encode()
    return Response(content, status, mimetype=JSON)


def answers(
    schema: Schema | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    *,
    also: HTTPStatus | None = None,
    refuses: tuple[type[SVOpsError], ...] = (),
    media_type: str = JSON,
    dumped: bool = False,
) -> Callable[[View], View]:
    """Answer with what the view returns, dumped by the schema; without one, as it is.

    :param dumped: whether the view has dumped it already
    """

    def decorate(view: View) -> View:
        operation = operation_of(view)
        operation.answer, operation.status, operation.also = schema, status, also
        operation.media_type, operation.refuses = media_type, refuses

        @wraps(view)
        def answering(*args: Any, **kwargs: Any) -> Any:
            value, code = view(*args, **kwargs), status
            if also is not None and isinstance(value, tuple):
                value, code = value
            if isinstance(value, Response):
                return value
            if status is HTTPStatus.NO_CONTENT:
                return "", code
            return as_json(value if schema is None or dumped else schema.dump(value), code)

        return answering

    return decorate


def answers_page(schema: Schema, *, refuses: tuple[type[SVOpsError], ...] = ()) -> Callable[[View], View]:
    """Answer with the page that the view returns, its items dumped by the schema."""

    def decorate(view: View) -> View:
        operation = operation_of(view)
        operation.answer, operation.status, operation.in_pages = schema, HTTPStatus.OK, True
        operation.refuses = refuses

        @wraps(view)
        def answering(*args: Any, **kwargs: Any) -> Any:
            return as_json(dump_page(schema, view(*args, **kwargs)), HTTPStatus.OK)

        return answering

    return decorate
