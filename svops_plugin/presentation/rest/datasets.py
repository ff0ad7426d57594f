"""``/datasets``."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from flask import Response, url_for
from marshmallow import Schema, fields

from svops_plugin.application.datasets import DatasetChecked
from svops_plugin.application.file_ports import Changes
from svops_plugin.application.ports import Page
from svops_plugin.domain.entities import Dataset, DataType
from svops_plugin.domain.errors import Conflict, Gone, NotSupported
from svops_plugin.presentation.rest.api import actor, body, make_blueprint, query, services
from svops_plugin.presentation.rest.errors import show_current
from svops_plugin.presentation.rest.operations import answers, answers_page
from svops_plugin.presentation.rest.schemas import (
    EntitySchema,
    InputSchema,
    ListQuery,
    id_field,
    name_field,
    tags_field,
    text_field,
)

blueprint = make_blueprint("datasets", "/datasets")

PNG = "image/png"
PICTURE_SECONDS = 300  # for how long a browser may keep one


class DatasetSchema(EntitySchema):
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
    created_by = fields.String(allow_none=True)
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


class DatasetCheckQuery(InputSchema):
    """A path that is being typed."""

    path = text_field(4096, required=True)
    data_type = fields.Enum(DataType, by_value=True, load_default=None)
    gt_path = text_field(4096, load_default=None)


class CompletionSchema(Schema):
    """A file or folder that a path may be meant for."""

    path = fields.String()
    is_folder = fields.Boolean()


class DatasetCheckedSchema(Schema):
    """Whether a dataset could be made of a path."""

    valid = fields.Boolean()
    errors = fields.Dict(keys=fields.String(), values=fields.List(fields.String()))
    completions = fields.List(fields.Nested(CompletionSchema))


class SampleSchema(Schema):
    """A sample of a dataset."""

    name = fields.String()
    label = fields.String()
    picture_url = fields.String(allow_none=True)


class SamplesSchema(Schema):
    """Some samples, of each class in turn."""

    items = fields.List(fields.Nested(SampleSchema))


class NamesSchema(Schema):
    """How many files, and the names of up to 20 of them."""

    total = fields.Integer()
    names = fields.List(fields.String())


class ChangesSchema(Schema):
    """What has become of a dataset's files since a pipeline last read them."""

    changed = fields.Boolean(allow_none=True)
    certain = fields.Boolean()
    added = fields.Nested(NamesSchema)
    removed = fields.Nested(NamesSchema)
    modified = fields.Nested(NamesSchema)
    reason = fields.String(allow_none=True)


_query = DatasetQuery()
show_current(blueprint, DatasetSchema())


@blueprint.post("/")
@body(DatasetCreate())
@answers(DatasetSchema(), HTTPStatus.CREATED, refuses=(Conflict,))
def create(values: dict[str, Any]) -> Dataset:
    """Register a dataset."""
    return services().datasets.create(actor(), values)


@blueprint.get("/")
@query(_query)
@answers_page(DatasetSchema())
def index(values: dict[str, Any]) -> Page[Dataset]:
    """List datasets."""
    return services().datasets.page(actor(), _query.as_query(values))


@blueprint.get("/check-path")
@query(DatasetCheckQuery())
@answers(DatasetCheckedSchema())
def check_path(values: dict[str, Any]) -> DatasetChecked:
    """Tell, while it is typed, whether a dataset could be made of a path, and what may be meant."""
    return services().datasets.check(actor(), values["path"], values["data_type"], values["gt_path"] or None)


@blueprint.get("/<int:dataset_id>")
@answers(DatasetSchema())
def show(dataset_id: int) -> Dataset:
    """Return a dataset."""
    return services().datasets.get(actor(), dataset_id)


@blueprint.put("/<int:dataset_id>")
@body(DatasetUpdate())
@answers(DatasetSchema(), refuses=(Conflict,))
def update(values: dict[str, Any], dataset_id: int) -> Dataset:
    """Change a dataset."""
    return services().datasets.update(actor(), dataset_id, values)


@blueprint.delete("/<int:dataset_id>")
@answers(status=HTTPStatus.NO_CONTENT, refuses=(Conflict,))
def delete(dataset_id: int) -> None:
    """Forget a dataset; its files stay."""
    services().datasets.delete(actor(), dataset_id)


@blueprint.get("/<int:dataset_id>/samples")
@answers(SamplesSchema(), refuses=(Gone,))
def samples(dataset_id: int) -> dict[str, Any]:
    """List up to 24 samples, of each class in turn."""
    found = services().dataset_contents.samples(actor(), dataset_id)

    def url(name: str) -> str:
        return url_for(".picture", dataset_id=dataset_id, name=name)

    return {
        "items": [
            {"name": name, "label": label, "picture_url": url(name) if has_picture else None}
            for name, label, has_picture in found
        ]
    }


@blueprint.get("/<int:dataset_id>/samples/<path:name>")
@answers(media_type=PNG, refuses=(Gone, NotSupported))
def picture(dataset_id: int, name: str) -> Response:
    """Return a small picture (PNG) of a sample that is a file of its own."""
    content = services().dataset_contents.picture(actor(), dataset_id, name.rstrip("/"))
    answer = Response(content, content_type=PNG)
    answer.cache_control.private, answer.cache_control.max_age = True, PICTURE_SECONDS
    return answer


@blueprint.get("/<int:dataset_id>/changes")
@answers(ChangesSchema(), refuses=(Gone,))
def changes(dataset_id: int) -> Changes:
    """Compare a dataset's files with those that a pipeline last read.

    By size and time; files of the same size and another time are read, up to 64 MiB of them.
    """
    return services().dataset_contents.changes(actor(), dataset_id)
