"""``/datasets``."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields

from svops_plugin.domain.entities import DataType
from svops_plugin.presentation.rest.api import actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.schemas import (
    InputSchema,
    ListQuery,
    dump_page,
    id_field,
    name_field,
    tags_field,
    text_field,
)

blueprint = make_blueprint("datasets", "/datasets")


class DatasetSchema(Schema):
    """A dataset as it is answered."""

    id = fields.Integer()
    name = fields.String()
    description = fields.String(allow_none=True)
    path = fields.String()
    data_type = fields.Enum(DataType, by_value=True)
    gt_path = fields.String(allow_none=True)
    tags = fields.List(fields.String())
    profile = fields.Dict(allow_none=True)
    fingerprint = fields.String(allow_none=True)
    created_by_id = fields.Integer(allow_none=True)
    created_at = fields.DateTime()
    updated_at = fields.DateTime()
    version = fields.Integer()


class DatasetCreate(InputSchema):
    """A new dataset."""

    name = name_field(required=True)
    description = text_field(10_000, allow_none=True)
    path = name_field(4096, required=True)
    data_type = fields.Enum(DataType, by_value=True, required=True)
    gt_path = name_field(4096, allow_none=True)
    tags = tags_field()


class DatasetUpdate(InputSchema):
    """Changes of a dataset; what is left out stays."""

    name = name_field()
    description = text_field(10_000, allow_none=True)
    path = name_field(4096)
    data_type = fields.Enum(DataType, by_value=True)
    gt_path = name_field(4096, allow_none=True)
    tags = tags_field()
    version = fields.Integer(strict=True)


class DatasetQuery(ListQuery):
    """Which datasets to list."""

    data_type = fields.Enum(DataType, by_value=True)
    creator_id = id_field(strict=False)
    tag = name_field(64)
    q = name_field()


_schema = DatasetSchema()
_query = DatasetQuery()


@blueprint.post("/")
@body(DatasetCreate())
def create(values: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Register a dataset."""
    return _schema.dump(services().datasets.create(actor(), values)), 201


@blueprint.get("/")
@query(_query)
def index(values: dict[str, Any]) -> dict[str, Any]:
    """List datasets."""
    return dump_page(_schema, services().datasets.page(actor(), _query.as_query(values)))


@blueprint.get("/<int:dataset_id>")
def show(dataset_id: int) -> Any:
    """Return a dataset."""
    return _schema.dump(services().datasets.get(actor(), dataset_id))


@blueprint.put("/<int:dataset_id>")
@body(DatasetUpdate())
def update(values: dict[str, Any], dataset_id: int) -> Any:
    """Change a dataset."""
    return _schema.dump(services().datasets.update(actor(), dataset_id, values))


@blueprint.delete("/<int:dataset_id>")
def delete(dataset_id: int) -> tuple[str, int]:
    """Forget a dataset; its files stay."""
    services().datasets.delete(actor(), dataset_id)
    return "", 204
