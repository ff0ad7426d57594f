"""``/auth``: signing in and staying so."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import request
from marshmallow import Schema, fields, validate

from svops_plugin.application.auth import Tokens
from svops_plugin.application.ports import Account
from svops_plugin.bootstrap import bearer
from svops_plugin.domain.errors import Conflict, NotAuthenticated, NotSupported, PermissionDenied
from svops_plugin.presentation.rest.api import (
    account,
    actor,
    body,
    form,
    make_blueprint,
    services,
    token,
)
from svops_plugin.presentation.rest.operations import anonymous, answers
from svops_plugin.presentation.rest.schemas import InputSchema, MessageSchema, name_field, text_field
from svops_plugin.presentation.rest.users import NewAccount, UserSchema, password_field

blueprint = make_blueprint("auth", "/auth")


class LoginRequest(InputSchema):
    """Credentials."""

    username = name_field(250, required=True)
    password = name_field(1024, required=True)


class RefreshRequest(InputSchema):
    """A refresh token, unless it comes as Bearer."""

    refresh_token = name_field(1024)


class RegisterRequest(NewAccount):
    """A new account of one's own."""


class FormLoginRequest(LoginRequest):
    """Credentials as an OAuth2 client sends them; the rest of what it sends is not looked at."""

    grant_type = text_field(64)
    scope = text_field(1024)
    client_id = text_field(255)
    client_secret = text_field(255)


class ChangePasswordRequest(InputSchema):
    """The present password and the next."""

    current_password = name_field(1024, required=True)
    new_password = password_field(required=True)


class LogoutRequest(InputSchema):
    """The login to end; without a refresh token of it, every login of the user ends."""

    refresh_token = name_field(1024)


class VerifiedSchema(Schema):
    """That the token is good, and whose it is."""

    valid = fields.Boolean()
    user = fields.Nested(UserSchema)


class MeSchema(UserSchema):
    """Who asks, and what they may do."""

    permissions = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))


class TokensSchema(Schema):
    """A pair of tokens and whose they are."""

    access_token = fields.String()
    refresh_token = fields.String()
    token_type = fields.Constant("bearer", validate=validate.OneOf(["bearer"]), metadata={"type": "string"})
    expires_in = fields.Integer()
    user = fields.Nested(UserSchema, attribute="account")


@blueprint.post("/login")
@anonymous
@body(LoginRequest())
@answers(TokensSchema(), refuses=(NotAuthenticated, NotSupported))
def login(values: dict[str, Any]) -> Tokens:
    """Sign in."""
    return _sign_in(values)


@blueprint.post("/refresh")
@anonymous
@body(RefreshRequest())
@answers(TokensSchema(), refuses=(NotAuthenticated,))
def refresh(values: dict[str, Any]) -> Tokens:
    """Spend a refresh token for a new pair of tokens."""
    token = values.get("refresh_token") or bearer(request)
    if not token:
        raise NotAuthenticated("Send the refresh token, in the body or as 'Authorization: Bearer …'.")
    return services().auth.refresh(token)


@blueprint.post("/login/oauth2")
@anonymous
@form(FormLoginRequest())
@answers(TokensSchema(), refuses=(NotAuthenticated, NotSupported))
def login_by_form(values: dict[str, Any]) -> Tokens:
    """Sign in with a form, as OAuth2 clients and Swagger UI do."""
    return _sign_in(values)


@blueprint.post("/register")
@anonymous
@body(RegisterRequest())
@answers(
    TokensSchema(),
    HTTPStatus.CREATED,
    refuses=(PermissionDenied, Conflict, NotAuthenticated, NotSupported),
)
def register(values: dict[str, Any]) -> Tokens:
    """Make an account for oneself and sign in, where [svops] allow_registration is set."""
    services().guesses.take((request.remote_addr, None))
    made = services().users.register(request.remote_addr, values)
    return services().auth.login(made.username, values["password"])


@blueprint.get("/me")
@answers(MeSchema())
def me() -> Account:
    """Return who asks, and what they may do."""
    return account()


@blueprint.get("/verify-token")
@answers(VerifiedSchema())
def verify_token() -> dict[str, Any]:
    """Tell whose token it is."""
    return {"valid": True, "user": account()}


@blueprint.post("/change-password")
@body(ChangePasswordRequest())
@answers(MessageSchema(), refuses=(Conflict, NotSupported))
def change_password(values: dict[str, Any]) -> dict[str, str]:
    """Change one's own password, which ends every login of one's own."""
    guess = (request.remote_addr, account().username.casefold())
    services().guesses.take(guess)
    services().users.change_password(actor(), account(), values["current_password"], values["new_password"])
    services().guesses.forget(guess)
    return {"message": "Your password has been changed; sign in again elsewhere."}


@blueprint.post("/logout")
@body(LogoutRequest())
@answers(MessageSchema())
def logout(values: dict[str, Any]) -> dict[str, str]:
    """Sign out."""
    ended = services().auth.logout(account(), token(), values.get("refresh_token"))
    told = "" if ended else " The access token stays good until it expires: this Airflow takes none back."
    return {"message": f"You are signed out.{told}"}


def _sign_in(values: dict[str, Any]) -> Tokens:
    """Sign in, unless the password was guessed wrongly too often from where this guess comes from."""
    guess = (request.remote_addr, values["username"].casefold())
    services().guesses.take(guess)
    tokens = services().auth.login(values["username"], values["password"])
    services().guesses.forget(guess)
    return tokens
