"""``/dags``: the DAGs of Airflow that can be registered as workflows."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, fields, validate

from svops_plugin.application.airflow_ports import Dag
from svops_plugin.application.ports import Page
from svops_plugin.presentation.rest.api import actor, make_blueprint, query, services
from svops_plugin.presentation.rest.operations import answers_page
from svops_plugin.presentation.rest.schemas import ListQuery, name_field

blueprint = make_blueprint("dags", "/dags")


class DagSchema(Schema):
    """A DAG that can be registered."""

    dag_id = fields.String()
    description = fields.String(allow_none=True)
    is_paused = fields.Boolean()
    is_broken = fields.Boolean()


class DagQuery(ListQuery):
    """Which DAGs to list."""

    order_by = fields.String(load_default="dag_id", validate=validate.OneOf(["dag_id", "-dag_id"]))
    q = name_field()


_query = DagQuery()


@blueprint.get("/")
@query(_query)
@answers_page(DagSchema())
def index(values: dict[str, Any]) -> Page[Dag]:
    """List the DAGs that can be registered as workflows."""
    return services().workflows.dags(actor(), _query.as_query(values))
