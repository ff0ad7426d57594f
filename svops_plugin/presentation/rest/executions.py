"""``/executions``: what came of them, their files, and several side by side."""

from __future__ import annotations

from typing import Any

from flask import Response, url_for
from marshmallow import Schema, fields

from svops_plugin.application.results import Comparison, Outcome, Tracked
from svops_plugin.domain.entities import Artifact
from svops_plugin.domain.errors import Gone, NotFound
from svops_plugin.domain.states import ExecutionStatus
from svops_plugin.presentation.rest.api import actor, make_blueprint, query, services
from svops_plugin.presentation.rest.files import FILE, ArtifactQuery, send_artifact
from svops_plugin.presentation.rest.operations import answers
from svops_plugin.presentation.rest.run_schemas import AttemptSchema
from svops_plugin.presentation.rest.schemas import Ids, InputSchema

blueprint = make_blueprint("executions", "/executions")

COMPARED = (2, 6)


class MeasuredSchema(Schema):
    """A number that an execution measured; with a step, a point of a curve."""

    name = fields.String(attribute="what.name")
    value = fields.Float(attribute="what.value")
    step = fields.Integer(attribute="what.step", allow_none=True)
    dag_id = fields.String()


def _url(tracked: Tracked[Artifact]) -> str:
    artifact = tracked.what
    return url_for(".artifact", execution_id=artifact.execution_id, name=artifact.name)


class OutputSchema(Schema):
    """A file that an execution left; its size in bytes."""

    name = fields.String(attribute="what.name")
    path = fields.String(attribute="what.path")
    media_type = fields.String(attribute="what.media_type")
    size = fields.Integer(attribute="what.size")
    dag_id = fields.String()
    url = fields.Function(_url, metadata={"type": "string"})


class OutcomeSchema(AttemptSchema):
    """An execution with what it was given, measured and left."""

    task_snapshot = fields.Dict(attribute="execution.task_snapshot")
    dataset_snapshot = fields.Dict(attribute="execution.dataset_snapshot")
    metrics = fields.List(fields.Nested(MeasuredSchema))
    artifacts = fields.List(fields.Nested(OutputSchema))
    last_event_id = fields.Integer()


class CompareQuery(InputSchema):
    """Which executions to compare."""

    ids = Ids(*COMPARED)


class ComparedSchema(Schema):
    """One of several executions that are compared."""

    execution_id = fields.Integer(attribute="id")
    task_id = fields.Integer()
    task_name = fields.String(attribute="task_snapshot.name")
    attempt = fields.Integer()
    status = fields.Enum(ExecutionStatus, by_value=True)
    created_at = fields.DateTime()
    ended_at = fields.DateTime(allow_none=True)
    requested_by = fields.String()
    note = fields.String()


class ValuesSchema(Schema):
    """What each of the compared executions has under a name, in their order; none where it has nothing."""

    name = fields.String()
    values = fields.List(fields.Raw(allow_none=True))


class PointSchema(Schema):
    """What one attempt measured."""

    execution_id = fields.Integer()
    attempt = fields.Integer()
    value = fields.Float()


class SeriesSchema(Schema):
    """How a metric went over the newest hundred attempts at a task, the oldest first."""

    name = fields.String()
    task_id = fields.Integer()
    points = fields.List(fields.Nested(PointSchema))


class ComparisonSchema(Schema):
    """Several executions side by side."""

    executions = fields.List(fields.Nested(ComparedSchema))
    differences = fields.List(fields.Nested(ValuesSchema))
    metrics = fields.List(fields.Nested(ValuesSchema))
    curves = fields.List(fields.Nested(ValuesSchema))
    confusion_matrices = fields.List(fields.Dict(allow_none=True))
    series = fields.List(fields.Nested(SeriesSchema))


@blueprint.get("/compare")
@query(CompareQuery())
@answers(ComparisonSchema(), refuses=(NotFound,))
def compare(values: dict[str, Any]) -> Comparison:
    """Return two to six executions side by side."""
    return services().results.compare(actor(), values["ids"])


@blueprint.get("/<int:execution_id>")
@answers(OutcomeSchema())
def show(execution_id: int) -> Outcome:
    """Return an execution with what it measured and left."""
    return services().results.outcome(actor(), execution_id)


@blueprint.get("/<int:execution_id>/artifacts/<path:name>")
@query(ArtifactQuery())
@answers(media_type=FILE, refuses=(Gone,))
def artifact(values: dict[str, Any], execution_id: int, name: str) -> Response:
    """Return a file that an execution left, or the range of it that is asked for.

    Its media type is the artifact's. In a browser it runs no scripts and loads nothing.
    """
    found, path = services().results.artifact(actor(), execution_id, name.rstrip("/"))
    return send_artifact(found, path, download=values["download"])
