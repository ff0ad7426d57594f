"""What the blueprints share: who asks, what may be sent, and the answers to paths that nobody has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, g, request
from flask.blueprints import BlueprintSetupState
from marshmallow import Schema, ValidationError, missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import UnsupportedMediaType
from werkzeug.routing import PathConverter, RequestRedirect

from svops_plugin.application.ports import Account
from svops_plugin.bootstrap import Services, host
from svops_plugin.bootstrap import services as build_services
from svops_plugin.domain.errors import InvalidInput, NotAuthenticated, NotFound, PermissionDenied
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.rest import bridge, guard
from svops_plugin.presentation.rest.errors import install, problem
from svops_plugin.presentation.rest.operations import F, anonymous, operation_of

ROOT = "/svops"
PREFIX = f"{ROOT}/api/v1"


class ResourceBlueprint(Blueprint):
    """A blueprint whose paths are good with and without a slash at their end."""

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        """Add a rule that does not insist on its slash."""
        options.setdefault("strict_slashes", False)
        super().add_url_rule(rule, *args, **options)


def make_blueprint(name: str, path: str = "", below: str = PREFIX) -> Blueprint:
    """Return a blueprint below the API's prefix, with its errors, its sign-in and its place in the host."""
    blueprint = ResourceBlueprint(f"svops_{name}", __name__, url_prefix=below + path)
    install(blueprint)
    blueprint.before_request(_admit)
    blueprint.after_request(_say_methods)
    blueprint.after_request(guard.harden)
    blueprint.after_request(guard.share)
    blueprint.record(_attach)
    return blueprint


def _attach(state: BlueprintSetupState) -> None:
    if state.options.get("serves", True):
        host().attach(cast("Flask", state.app), state.blueprint)
        bridge.serve(cast("Flask", state.app))


def _allowed_methods() -> list[str]:
    """Return the methods that the path of the request takes; the catch-all's own are none."""
    adapter = current_app.create_url_adapter(request)
    allowed = []
    for method in bridge.METHODS if adapter else ():
        try:
            endpoint, _ = adapter.match(request.path, method)  # type: ignore[union-attr]  # not none here
        except RequestRedirect:
            continue
        if not endpoint.startswith((f"{fallback.name}.", f"{outside.name}.")):
            allowed.append(method)
    return allowed


def _say_methods(answer: Response) -> Response:
    """Let the answer to OPTIONS leave out what only the catch-all takes."""
    if request.method == "OPTIONS":
        allowed = _allowed_methods()
        answer.headers["Allow"] = ", ".join([*allowed, *(["HEAD"] if "GET" in allowed else []), "OPTIONS"])
    return answer


def services() -> Services:
    """Return the services of this server."""
    return build_services(pooled=True)


def _admit() -> None:
    """Look at a request before any view does."""
    guard.take_body(request)
    if "\0" in request.path:  # no database could look for that
        raise NotFound(f"There is nothing at {request.path!r}.")
    view = current_app.view_functions.get(request.endpoint or "")
    if view is None or request.method == "OPTIONS" or operation_of(view).anonymous:
        return  # the answer to OPTIONS tells what a path takes; a browser asks without a token
    identify()
    if request.method not in guard.SAFE_METHODS:
        services().writes.take(actor().user_id)


def identify() -> None:
    """Find out who asks.

    :raises NotAuthenticated: if nobody does
    :raises PermissionDenied: if the browser sent its cookie along with a write from another site
    """
    accounts = services().accounts
    shown = accounts.token_of(request)
    if shown is None:
        raise NotAuthenticated("Sign in: send an access token as 'Authorization: Bearer …'.")
    access_token, ambient = shown
    if ambient and request.method not in guard.SAFE_METHODS and not guard.from_own_page():
        raise PermissionDenied("A write with a cookie needs an Origin header of this very site.")
    shown_by = accounts.by_token(access_token)
    g.actor = replace(services().auth.actor(shown_by), address=request.remote_addr)
    g.token = access_token
    g.account = replace(shown_by, id=g.actor.user_id)


def actor() -> Actor:
    """Return who asks."""
    return cast("Actor", g.actor)


def account() -> Account:
    """Return the account of who asks."""
    return cast("Account", g.account)


def token() -> str:
    """Return the access token that was shown."""
    return cast("str", g.token)


class Parser(FlaskParser):
    """Reads what was sent by a schema and refuses the rest in the domain's words."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "form": None, "query": None}  # noqa: RUF012  # the schemas say it

    def load_json(self, req: Any, schema: Schema) -> Any:  # noqa: ARG002
        """Read JSON; nothing else is taken for it."""
        content = req.get_data()
        if content and not req.is_json:
            raise UnsupportedMediaType("Send JSON, with 'Content-Type: application/json'.")
        return guard.parse_json(content) if content else missing

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Refuse with every reason, by field."""
        raise refused(error.messages)  # type: ignore[arg-type]  # webargs nests them by location


parser = Parser()


def refused(messages: Mapping[str, Any]) -> InvalidInput:
    """Return a refusal with every reason, by field, of marshmallow's below their location."""
    reasons = flatten(messages)
    return InvalidInput("; ".join(f"{name}: {why[0]}" for name, why in reasons.items()), reasons)


def flatten(messages: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return marshmallow's nested reasons by dotted field, without the location on top."""
    found: dict[str, list[str]] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, path if key == "_schema" else (*path, str(key)))
        else:
            found.setdefault(".".join(path) or "body", []).extend(str(item) for item in value)

    for inner in messages.values():
        walk(inner, ())
    return found


def body(schema: Schema) -> Callable[[F], F]:
    """Give the view the JSON body that the schema loads, as its last argument."""

    def decorate(view: F) -> F:
        operation_of(view).body = schema
        return cast("F", parser.use_args(schema, location="json")(view))

    return decorate


def form(schema: Schema) -> Callable[[F], F]:
    """Give the view the form that the schema loads, as its last argument."""

    def decorate(view: F) -> F:
        operation_of(view).body, operation_of(view).form = schema, True
        return cast("F", parser.use_args(schema, location="form")(view))

    return decorate


def query(schema: Schema) -> Callable[[F], F]:
    """Give the view the query string that the schema loads, as its last argument."""

    def decorate(view: F) -> F:
        operation_of(view).query = schema
        return cast("F", parser.use_args(schema, location="query")(view))

    return decorate


class Whatever(PathConverter):
    """The rest of a path, whatever is in it; ``path`` takes no end of a line."""

    regex = r"[^/][\s\S]*?"


fallback = make_blueprint("fallback")
outside = make_blueprint("outside", below=ROOT)


@fallback.record
def _take_any_method(state: BlueprintSetupState) -> None:
    """Answer also methods and paths that nobody has thought of, before the host does in its own words."""
    app = cast("Flask", state.app)
    endpoint = f"{state.blueprint.name}.{nothing_here.__name__}"
    app.url_map.converters["whatever"] = Whatever
    app.url_map.add(
        app.url_rule_class(f"{state.url_prefix}/<whatever:path>", endpoint=endpoint, methods=None)
    )


@fallback.route("/", defaults={"path": ""}, methods=bridge.METHODS)
@fallback.route("/<path:path>", methods=bridge.METHODS)
@anonymous
def nothing_here(path: str) -> Response:
    """Answer for paths that no resource has, and for methods that a path does not take."""
    allowed = _allowed_methods()
    if not allowed:
        return problem(HTTPStatus.NOT_FOUND, f"There is nothing at {PREFIX}/{path}.")
    answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{PREFIX}/{path} takes {', '.join(allowed)}.")
    answer.headers["Allow"] = ", ".join(allowed)
    return answer


@outside.route("/", defaults={"path": ""}, methods=bridge.METHODS)
@outside.route("/<path:path>", methods=bridge.METHODS)
@anonymous
def nothing_outside(path: str) -> Response:
    """Answer for paths below ``/svops`` that nothing has, as the server of Airflow 3 does without Flask."""
    return problem(HTTPStatus.NOT_FOUND, bridge.NOTHING.format(f"{ROOT}/{path}"))
