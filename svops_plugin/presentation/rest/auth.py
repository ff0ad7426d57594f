"""``/auth``: signing in and staying so."""

from __future__ import annotations

from typing import Any

from flask import request
from marshmallow import fields

from svops_plugin.application.auth import Tokens
from svops_plugin.application.ports import Account
from svops_plugin.domain.errors import NotAuthenticated
from svops_plugin.domain.permissions import ADMIN
from svops_plugin.presentation.rest.api import account, actor, anonymous, body, make_blueprint, services
from svops_plugin.presentation.rest.schemas import InputSchema, name_field

blueprint = make_blueprint("auth", "/auth")


class LoginRequest(InputSchema):
    """Credentials."""

    username = name_field(250, required=True)
    password = name_field(1024, required=True)


class RefreshRequest(InputSchema):
    """A refresh token, unless it comes as Bearer."""

    refresh_token = name_field(1024)


def dump_user(user_id: int | None, user: Account) -> dict[str, Any]:
    """Return a user as the front end reads it."""
    return {
        "id": user_id,
        "username": user.username,
        "email": user.email,
        "name": user.name,
        "is_active": user.is_active,
        "is_superuser": ADMIN in user.roles,
        "roles": sorted(user.roles),
        "created_at": fields.DateTime()._serialize(user.created_at, "created_at", user),
    }


def dump_tokens(tokens: Tokens) -> dict[str, Any]:
    """Return a pair of tokens as the front end reads it."""
    return {
        "access_token": tokens.access_token,
        "refresh_token": tokens.refresh_token,
        "token_type": "bearer",
        "expires_in": tokens.expires_in,
        "user": dump_user(tokens.user.id, tokens.account),
    }


@blueprint.post("/login")
@anonymous
@body(LoginRequest())
def login(values: dict[str, Any]) -> dict[str, Any]:
    """Sign in."""
    return dump_tokens(services().auth.login(values["username"], values["password"]))


@blueprint.post("/refresh")
@anonymous
@body(RefreshRequest())
def refresh(values: dict[str, Any]) -> dict[str, Any]:
    """Spend a refresh token for a new pair of tokens."""
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    token = values.get("refresh_token") or (bearer.strip() if scheme.lower() == "bearer" else "")
    if not token:
        raise NotAuthenticated("Send the refresh token, in the body or as 'Authorization: Bearer …'.")
    return dump_tokens(services().auth.refresh(token))


@blueprint.get("/me")
def me() -> dict[str, Any]:
    """Return who asks, and what they may do."""
    return {**dump_user(actor().user_id, account()), "permissions": actor().permissions()}
