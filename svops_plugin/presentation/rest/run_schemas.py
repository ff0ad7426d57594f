"""What is told of runs and executions, wherever it is told."""

from __future__ import annotations

from collections.abc import Callable

from marshmallow import Schema, fields, validate

from svops_plugin.application.executions import Standing, Started
from svops_plugin.domain.entities import Json, TriggerType
from svops_plugin.domain.states import RunStatus, TaskStatus
from svops_plugin.presentation.rest.schemas import SOMETIMES, Count, PrefixedId, Whole


class TallySchema(Schema):
    """How many tasks have ended, of how many."""

    done = fields.Integer(attribute="progress_done")
    total = fields.Integer(attribute="progress_total")


class ProgressSchema(TallySchema):
    """How many of a run's tasks have ended, and what the running one last said."""

    message = fields.String()


class ErrorSchema(Schema):
    """What went wrong, and where."""

    dag_id = fields.String(allow_none=True)
    task_id = fields.String(allow_none=True)
    message = fields.String()
    log_url = fields.String(allow_none=True)
    log_tail = fields.List(fields.String(), metadata=SOMETIMES)


class WorkflowRunSchema(Schema):
    """A DAG run as it is answered."""

    id = PrefixedId("run")
    workflow_id = PrefixedId("wf")
    status = fields.Enum(RunStatus, by_value=True)
    trigger_type = fields.Enum(TriggerType, by_value=True)
    configuration = fields.Dict()
    start_date = fields.DateTime(allow_none=True)
    end_date = fields.DateTime(allow_none=True)
    execution_date = fields.DateTime(attribute="created_at")
    triggered_by = fields.String()
    external_trigger_id = fields.String(attribute="dag_run_id")
    note = fields.String()
    dag_id = fields.String()
    position = fields.Integer(allow_none=True)
    progress: fields.Nested = Whole(ProgressSchema)
    error = fields.Nested(ErrorSchema, allow_none=True)


class StartedSchema(Schema):
    """An execution that has begun."""

    task_id = fields.Integer(attribute="task.id")
    execution_id = fields.Integer(attribute="execution.id")
    attempt = fields.Integer(attribute="execution.attempt")
    total_dags = Count(attribute="execution.chain")
    workflow_runs = fields.List(fields.Nested(WorkflowRunSchema), attribute="runs")
    message = fields.String(dump_only=True)


class StandingSchema(Schema):
    """How a task and its newest execution stand; no execution before the first."""

    task_id = fields.Integer(attribute="task.id")
    task_status = fields.Enum(TaskStatus, by_value=True, attribute="task.status")
    task_name = fields.String(attribute="task.name")
    dag_chain = fields.List(fields.String(), attribute="chain")
    workflow_runs = fields.List(fields.Nested(WorkflowRunSchema), attribute="runs")
    total_workflow_runs = Count(attribute="runs", dump_only=True)
    overall_status = fields.String(
        attribute="execution.status",
        dump_default=str(TaskStatus.PENDING),
        validate=validate.OneOf([str(status) for status in TaskStatus]),
    )
    execution_id = fields.Integer(attribute="execution.id", dump_default=None, allow_none=True)
    attempt = fields.Integer(attribute="execution.attempt", dump_default=None, allow_none=True)
    progress = Whole(TallySchema)
    error = fields.Nested(ErrorSchema, attribute="execution.error", dump_default=None, allow_none=True)
    created_at = fields.DateTime(attribute="execution.created_at", dump_default=None, allow_none=True)
    ended_at = fields.DateTime(attribute="execution.ended_at", dump_default=None, allow_none=True)


class StepEstimateSchema(Schema):
    """How long one step may be expected to take."""

    dag_id = fields.String()
    seconds = fields.Float(allow_none=True)
    runs = fields.Integer()
    same_dataset = fields.Boolean()


class EstimateSchema(Schema):
    """How long a chain may be expected to take."""

    seconds = fields.Float(allow_none=True)
    steps = fields.List(fields.Nested(StepEstimateSchema))


class StatusSchema(StandingSchema):
    """How a task and its newest execution stand, and how long one may be expected to take."""

    estimate = fields.Nested(EstimateSchema)


class StandingsSchema(Schema):
    """How several tasks stand."""

    items = fields.List(fields.Nested(StatusSchema))
    last_event_id = fields.Integer()


class AttemptSchema(StandingSchema):
    """One attempt of a task."""

    triggered_at = fields.DateTime(attribute="execution.triggered_at", allow_none=True)
    stop_requested_at = fields.DateTime(attribute="execution.stop_requested_at", allow_none=True)
    stop_requested_by = fields.String(attribute="execution.stop_requested_by", allow_none=True)
    requested_by = fields.String(attribute="execution.requested_by")
    resumed_from_id = fields.Integer(attribute="execution.resumed_from_id", allow_none=True)
    controller_run_id = fields.String(attribute="execution.controller_run_id")
    parameters = fields.Dict(attribute="execution.parameters")
    note = fields.String(attribute="execution.note")
    result = fields.Dict(attribute="execution.result", allow_none=True)


class HistorySchema(Schema):
    """Every attempt of a task, the newest first."""

    items = fields.List(fields.Nested(AttemptSchema))
    total = Count(attribute="items", dump_only=True)


class MetricSchema(Schema):
    """A number that a run measured; with a step, a point of a curve."""

    name = fields.String()
    value = fields.Float()
    step = fields.Integer(allow_none=True)


class ArtifactSchema(Schema):
    """A file that a run left; its size in bytes."""

    name = fields.String()
    path = fields.String()
    media_type = fields.String()
    size = fields.Integer()


dump_started: Callable[[Started], Json] = StartedSchema().dump
dump_standing: Callable[[Standing], Json] = StandingSchema().dump
