"""What the blueprints share: who asks, what may be sent, and the answers to paths that nobody has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, current_app, g, request
from flask.blueprints import BlueprintSetupState
from marshmallow import RAISE, Schema, ValidationError
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType
from werkzeug.routing import RequestRedirect

from svops_plugin import __version__
from svops_plugin.application.ports import Account
from svops_plugin.bootstrap import Services, host
from svops_plugin.bootstrap import services as build_services
from svops_plugin.domain.errors import InvalidInput, NotAuthenticated, PermissionDenied, SVOpsError
from svops_plugin.domain.permissions import Actor
from svops_plugin.presentation.rest import bridge
from svops_plugin.presentation.rest.errors import install, problem

PREFIX = "/svops/api/v1"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

F = TypeVar("F", bound=Callable[..., Any])


class ResourceBlueprint(Blueprint):
    """A blueprint whose paths are good with and without a slash at their end."""

    def add_url_rule(self, rule: str, *args: Any, **options: Any) -> None:
        """Add a rule that does not insist on its slash."""
        options.setdefault("strict_slashes", False)
        super().add_url_rule(rule, *args, **options)


def make_blueprint(name: str, path: str = "") -> Blueprint:
    """Return a blueprint below the API's prefix, with its errors, its sign-in and its place in the host."""
    blueprint = ResourceBlueprint(f"svops_{name}", __name__, url_prefix=PREFIX + path)
    install(blueprint)
    blueprint.before_request(_identify)
    blueprint.record(_attach)
    return blueprint


def _attach(state: BlueprintSetupState) -> None:
    host().attach(cast("Flask", state.app), state.blueprint)
    bridge.serve(cast("Flask", state.app))


def services() -> Services:
    """Return the services of this server."""
    return build_services(pooled=True)


def anonymous(view: F) -> F:
    """Let anybody call a view."""
    view.anonymous = True  # type: ignore[attr-defined]  # read by _identify
    return view


def _identify() -> None:
    """Find out who asks before any view runs, unless the view is for anybody.

    :raises NotAuthenticated: if nobody does
    :raises PermissionDenied: if the browser sent its cookie along with a write from another site
    """
    view = current_app.view_functions.get(request.endpoint or "")
    if getattr(view, "anonymous", False):
        return
    accounts = services().accounts
    shown = accounts.token_of(request)
    if shown is None:
        raise NotAuthenticated("Sign in: send an access token as 'Authorization: Bearer …'.")
    token, ambient = shown
    if ambient and request.method not in SAFE_METHODS and not _same_origin():
        raise PermissionDenied("A write with a cookie needs an Origin header of this very site.")
    g.account = accounts.by_token(token)
    g.actor = services().auth.actor(g.account)


def _same_origin() -> bool:
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == request.host


def actor() -> Actor:
    """Return who asks."""
    return cast("Actor", g.actor)


def account() -> Account:
    """Return the account of who asks."""
    return cast("Account", g.account)


class Parser(FlaskParser):
    """Reads what was sent by a schema and refuses the rest in the domain's words."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": RAISE, "form": RAISE, "query": RAISE}  # noqa: RUF012  # webargs' own

    def load_json(self, req: Any, schema: Schema) -> Any:
        """Read a JSON object, whatever its length says; nothing else is taken for one."""
        if req.get_data() and not req.is_json:
            raise UnsupportedMediaType("Send JSON, with 'Content-Type: application/json'.")
        try:
            return super().load_json(req, schema)
        except RecursionError:
            raise BadRequest("The body is nested too deeply.") from None

    def _handle_invalid_json_error(self, error: Any, req: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        raise BadRequest(f"The body is not JSON: {error}.")

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Refuse with every reason, by field."""
        reasons = flatten(error.messages)  # type: ignore[arg-type]  # webargs nests them by location
        raise InvalidInput("; ".join(f"{name}: {why[0]}" for name, why in reasons.items()), reasons)


parser = Parser()


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
    return cast("Callable[[F], F]", parser.use_args(schema, location="json"))


def query(schema: Schema) -> Callable[[F], F]:
    """Give the view the query string that the schema loads, as its last argument."""
    return cast("Callable[[F], F]", parser.use_args(schema, location="query"))


system = make_blueprint("system")
fallback = make_blueprint("fallback")


@system.get("/health")
@anonymous
def health() -> tuple[dict[str, Any], int]:
    """Tell whether SVOps can work, and what keeps it from it."""
    try:
        with services().transactions() as uow:
            uow.ping()
            return {"status": "healthy", "version": __version__}, HTTPStatus.OK
    except SVOpsError as refusal:
        return {"status": "unhealthy", "version": __version__, "detail": str(refusal)}, 503


@fallback.route("/", defaults={"path": ""}, methods=bridge.METHODS)
@fallback.route("/<path:path>", methods=bridge.METHODS)
@anonymous
def nothing_here(path: str) -> Response:
    """Answer for paths that no resource has, and for methods that a path does not take."""
    adapter = current_app.create_url_adapter(request)
    allowed = []
    for method in bridge.METHODS if adapter else ():
        try:
            endpoint, _ = adapter.match(request.path, method)  # type: ignore[union-attr]  # not none here
        except RequestRedirect:
            continue
        if endpoint != request.endpoint:
            allowed.append(method)
    if not allowed:
        return problem(HTTPStatus.NOT_FOUND, f"There is nothing at {PREFIX}/{path}.")
    answer = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{PREFIX}/{path} takes {', '.join(allowed)}.")
    answer.headers["Allow"] = ", ".join(allowed)
    return answer
