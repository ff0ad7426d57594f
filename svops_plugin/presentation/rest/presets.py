"""``/presets``: what a build configuration may begin with."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from svops_plugin.presentation.rest.api import actor, make_blueprint, services
from svops_plugin.presentation.rest.operations import answers

blueprint = make_blueprint("presets", "/presets")


class PresetSchema(Schema):
    """A preset, with the whole configuration that it stands for."""

    name = fields.String()
    description = fields.String()
    is_default = fields.Boolean()
    values = fields.Dict(allow_none=True)
    problem = fields.String(allow_none=True)


class PresetsSchema(Schema):
    """Every preset, in the order of the names."""

    items = fields.List(fields.Nested(PresetSchema))


@blueprint.get("/")
@answers(PresetsSchema())
def index() -> dict[str, Any]:
    """List the presets: SVOps' own and those of [svops] preset_dirs."""
    return {"items": services().presets.all(actor())}
