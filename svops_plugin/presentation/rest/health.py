"""``/health``: whether this server can do its work, for load balancers, operators and their alarms."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flask import g, request
from marshmallow import Schema, fields, validate

from svops_plugin import __version__
from svops_plugin.application.leases import Lease
from svops_plugin.domain.entities import Json
from svops_plugin.domain.errors import SVOpsError
from svops_plugin.presentation.background import JobStatus, present
from svops_plugin.presentation.rest.api import identify, make_blueprint, services
from svops_plugin.presentation.rest.operations import anonymous, answers
from svops_plugin.presentation.rest.schemas import SOMETIMES

blueprint = make_blueprint("system")

BAD = frozenset({JobStatus.STUCK, JobStatus.FAILED})


class JobSchema(Schema):
    """A job of the server's background."""

    name = fields.String()
    status = fields.Enum(JobStatus, by_value=True)
    looked_at = fields.DateTime()
    holder = fields.String(allow_none=True, metadata=SOMETIMES)
    lag = fields.Float(metadata=SOMETIMES)


class HealthSchema(Schema):
    """Whether SVOps can work."""

    status = fields.String(validate=validate.OneOf(["healthy", "unhealthy"]))
    version = fields.String()
    database = fields.String(validate=validate.OneOf(["up", "down"]))
    background = fields.List(fields.Nested(JobSchema))
    detail = fields.String(metadata=SOMETIMES)


@blueprint.get("/health")
@anonymous
@answers(HealthSchema(), also=HTTPStatus.SERVICE_UNAVAILABLE)
def health() -> Any:
    """Tell whether SVOps can work, and what keeps it from it.

    Whoever is signed in and may read events is also told which server does each job, and how events lag.
    """
    problems, leases = [], dict[str, Lease]()
    try:
        with services().wary_transactions() as uow:
            leases = {lease.name: lease for lease in uow.leases.held()}
    except SVOpsError as refusal:
        problems.append(str(refusal))
    answer: Json = {"version": __version__, "database": "down" if problems else "up"}
    bad = [job for job in present() if job.status in BAD]
    problems += [f"{job.job_name} is {job.status.value}: restart this server." for job in bad]
    answer["background"] = _background(None if problems or not _knows_reader() else leases)
    if not problems:
        return {**answer, "status": "healthy"}
    return {**answer, "status": "unhealthy", "detail": " ".join(problems)}, HTTPStatus.SERVICE_UNAVAILABLE


def _background(leases: Mapping[str, Lease] | None) -> list[Json]:
    """Describe this server's jobs; without leases, as anybody may know them."""
    described = []
    for job in present():
        told: Json = {"name": job.job_name, "status": job.status, "looked_at": job.looked_at}
        if leases is not None:
            held = leases.get(job.job_name)
            told["holder"] = held.holder if held else None
            if job.job_name == "hub":
                told["lag"] = services().hub.row().lag
        described.append(told)
    return described


def _knows_reader() -> bool:
    """Tell whether somebody asks who may read what happens; who shows nothing good is answered as nobody."""
    try:
        if services().accounts.token_of(request) is None:
            return False
        identify()
    except SVOpsError:
        return False
    return bool(g.actor.may("event", "read"))
