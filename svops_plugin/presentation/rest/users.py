"""``/users``: Airflow's own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from marshmallow import Schema, fields, validate

from svops_plugin.application.ports import Account, Page
from svops_plugin.application.users import LEAST_PASSWORD, LONGEST_PASSWORD
from svops_plugin.domain.errors import Conflict, NotSupported
from svops_plugin.presentation.rest.api import actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.operations import answers, answers_page
from svops_plugin.presentation.rest.schemas import Flag, InputSchema, ListQuery, name_field, text_field

blueprint = make_blueprint("users", "/users")


class UserSchema(Schema):
    """One of Airflow's users as it is answered."""

    id = fields.Integer()
    username = fields.String()
    email = fields.String()
    name = fields.String()
    is_active = fields.Boolean()
    is_superuser = fields.Boolean()
    roles = fields.List(fields.String(), attribute="role_names")
    created_at = fields.DateTime(allow_none=True)


def username_field(**kwargs: Any) -> fields.String:
    """Return a name to sign in with."""
    return text_field(150, minimum=3, **kwargs)


def email_field(**kwargs: Any) -> fields.Email:
    """Return an address."""
    return fields.Email(validate=validate.Length(max=254), **kwargs)


def password_field(**kwargs: Any) -> fields.String:
    """Return a new password."""
    return text_field(LONGEST_PASSWORD, minimum=LEAST_PASSWORD, load_only=True, **kwargs)


class UserFields(InputSchema):
    """What can be said of a user both at first and later."""

    is_active = Flag()
    is_superuser = Flag()
    roles = fields.List(name_field(64), validate=validate.Length(min=1, max=32))


class NewAccount(InputSchema):
    """What has to be said of a user at first, by whomever."""

    username = username_field(required=True)
    email = email_field(required=True)
    name = name_field(required=True)
    password = password_field(required=True)


class UserCreate(UserFields, NewAccount):
    """A new user; roles default to User."""


class UserUpdate(UserFields):
    """Changes of a user; what is left out stays."""

    username = username_field()
    email = email_field()
    name = name_field()
    password = password_field()


class UserQuery(ListQuery):
    """Which users to list."""

    q = name_field()
    role = name_field(64)
    is_active = fields.Boolean()


_query = UserQuery()


@blueprint.post("/")
@body(UserCreate())
@answers(UserSchema(), HTTPStatus.CREATED, refuses=(Conflict, NotSupported))
def create(values: dict[str, Any]) -> Account:
    """Make a user."""
    return services().users.create(actor(), values)


@blueprint.get("/")
@query(_query)
@answers_page(UserSchema(), refuses=(NotSupported,))
def index(values: dict[str, Any]) -> Page[Account]:
    """List users."""
    return services().users.page(actor(), _query.as_query(values))


@blueprint.get("/<int:user_id>")
@answers(UserSchema(), refuses=(NotSupported,))
def show(user_id: int) -> Account:
    """Return a user."""
    return services().users.get(actor(), user_id)


@blueprint.put("/<int:user_id>")
@body(UserUpdate())
@answers(UserSchema(), refuses=(Conflict, NotSupported))
def update(values: dict[str, Any], user_id: int) -> Account:
    """Change a user; a new password ends every login of theirs."""
    return services().users.update(actor(), user_id, values)


@blueprint.delete("/<int:user_id>")
@answers(status=HTTPStatus.NO_CONTENT, refuses=(Conflict, NotSupported))
def delete(user_id: int) -> None:
    """Remove a user; what they made stays."""
    services().users.delete(actor(), user_id)
