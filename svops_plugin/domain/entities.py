"""The things people keep and the things that happen to them, as plain dataclasses.

They compare by identity: two loads of one row within a unit of work are one object, but for what a page has,
which is only read. The database gives them their ``id``. All times are aware and in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any
from uuid import uuid4

from svops_plugin.domain.states import ExecutionStatus, RunStatus, TaskStatus

Json = dict[str, Any]

LARGEST_ID = 2**31 - 1  # PostgreSQL's INTEGER: what is larger cannot even be compared with a column


def number_of(text: str, prefix: str = "") -> int | None:
    """Return the number in an id as people write it, ``wf_1`` or ``1``; none if nothing can have that id."""
    digits = text.removeprefix(prefix)
    if digits.isascii() and digits.isdigit() and len(digits) <= len(str(LARGEST_ID)):
        return int(digits) if 0 < int(digits) <= LARGEST_ID else None
    return None


def utcnow() -> datetime:
    """Return the present time, aware, in UTC."""
    return datetime.now(timezone.utc)


class DataType(str, Enum):
    """The kind of recording that a dataset holds."""

    VECTOR = "Vector"
    SURF = "Surf"
    JETSON = "Jetson"

    def __str__(self) -> str:
        return self.value


class TriggerType(str, Enum):
    """Who started a DAG run."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    API = "api"
    EXTERNAL = "external"

    def __str__(self) -> str:
        return self.value


@dataclass(eq=False, kw_only=True)
class User:
    """The integer id SVOps uses for whatever the auth manager calls its user.

    :param subject: the auth manager's own name for the user, as it stands in its tokens
    """

    id: int
    subject: str
    username: str


@dataclass(eq=False, kw_only=True)
class RefreshToken:
    """One link in a chain of refresh tokens; a spent one shown again ends its whole family.

    :param digest: SHA-256 of the token, which itself is not kept
    :param claims: what the auth manager knows the user by
    """

    id: int = field(init=False)
    digest: str
    family: str
    user_id: int
    claims: Json
    created_at: datetime = field(default_factory=utcnow)
    expires_at: datetime
    spent_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(eq=False, kw_only=True)
class Dataset:
    """A recording on disk that tasks learn from.

    :param gt_path: the ground truth (CSV ``sample,label``), where it is not inside ``path``
    :param profile: counts, class balance and statistics of the last processed state
    :param fingerprint: SHA-256 over the names and contents of the last processed state
    :param created_by: the username of who made it, for readers; ``created_by_id`` is what is kept
    :param version: goes up with each edit, so that two editors notice each other
    """

    id: int = field(init=False)
    name: str
    description: str | None = None
    path: str
    data_type: DataType
    gt_path: str | None = None
    tags: list[str] = field(default_factory=list)
    profile: Json | None = None
    fingerprint: str | None = None
    created_by_id: int | None = None
    created_by: str | None = None
    created_at: datetime = field(default_factory=utcnow)
    updated_at: datetime = field(default_factory=utcnow)
    version: int = 1

    def snapshot(self) -> Json:
        """Return what an execution has to remember of the dataset."""
        return {
            "id": self.id,
            "name": self.name,
            "path": self.path,
            "gt_path": self.gt_path,
            "data_type": self.data_type.value,
            "fingerprint": self.fingerprint,
        }


@dataclass(eq=False, kw_only=True)
class Task:
    """What a customer wants done with a dataset, and how; executing it runs the chain.

    :param status: moved by executions only
    :param last_execution_id: the newest attempt
    :param result: what the newest completed attempt registered
    """

    id: int = field(init=False)
    name: str
    description: str | None = None
    customer: str
    log_out_path: str
    branch_name: str | None = None
    commit_id: str | None = None
    build_config: str | None = None
    build_config_customized: bool = False
    build_config_custom_conf: Json = field(default_factory=dict)
    build_config_custom_ini: Json = field(default_factory=dict)
    dataset_id: int | None = None
    dataset: Dataset | None = None
    video_out_enabled: bool = False
    video_out_path: str = ""
    tags: list[str] = field(default_factory=list)
    status: TaskStatus = TaskStatus.PENDING
    status_reason: str | None = None
    last_execution_id: int | None = None
    result: Json | None = None
    created_by_id: int | None = None
    created_by: str | None = None
    created_at: datetime = field(default_factory=utcnow)
    updated_at: datetime = field(default_factory=utcnow)
    version: int = 1

    def configuration(self) -> Json:
        """Return the build configuration as an execution has to remember it."""
        return {
            "branch_name": self.branch_name,
            "commit_id": self.commit_id,
            "build_config": self.build_config,
            "build_config_customized": self.build_config_customized,
            "build_config_custom_conf": self.build_config_custom_conf,
            "build_config_custom_ini": self.build_config_custom_ini,
        }

    def snapshot(self) -> Json:
        """Return what whoever works for the task has to remember of it."""
        return {
            "name": self.name,
            "customer": self.customer,
            "log_out_path": self.log_out_path,
            "video_out_path": self.video_out_path if self.video_out_enabled else None,
            **self.configuration(),
        }


def output_folder(task_id: int, task_snapshot: Json, name: str) -> str:
    """Return a folder of its own for one piece of work, below the task's ``log_out_path``."""
    root = str(task_snapshot["log_out_path"]).rstrip("/")
    return f"{root}/task_{task_id}/{name}"


@dataclass(eq=False, kw_only=True)
class Execution:
    """One attempt at a task's chain, with snapshots of all that it depends on.

    :param attempt: counts from 1 within the task
    :param uuid: 32 hexadecimal digits; the first 8 make the names of Airflow's runs unique
    :param controller_run_id: the run of the controller DAG that carries this attempt
    :param triggered_at: when that run was known to exist; none while the trigger is still owed
    :param error: ``{"dag_id", "task_id", "message", "log_url"}`` of the first cause
    :param stop_requested_at: when somebody asked for its end; it ends as cancelled, whoever reports the end
    :param resumed_from_id: the attempt whose finished steps this one reuses
    """

    id: int = field(init=False)
    task_id: int
    attempt: int
    uuid: str = field(default_factory=lambda: uuid4().hex)
    chain: list[str]
    task_snapshot: Json
    dataset_snapshot: Json
    parameters: Json = field(default_factory=dict)
    note: str = ""
    requested_by_id: int | None = None
    requested_by: str = ""
    status: ExecutionStatus = ExecutionStatus.RUNNING
    controller_run_id: str = ""
    triggered_at: datetime | None = None
    created_at: datetime = field(default_factory=utcnow)
    ended_at: datetime | None = None
    stop_requested_at: datetime | None = None
    stop_requested_by: str | None = None
    resumed_from_id: int | None = None
    error: Json | None = None
    result: Json | None = None

    @property
    def run_name(self) -> str:
        """The deterministic name that all of Airflow's runs of this attempt start with."""
        return f"svops__task_{self.task_id}__{self.attempt}__{self.uuid[:8]}"

    def step_run_id(self, position: int) -> str:
        """Return Airflow's run id of the step at ``position`` (from 1) in the chain."""
        return f"{self.run_name}__{position}_{self.chain[position - 1]}"

    @property
    def output_path(self) -> str:
        """The folder below the task's ``log_out_path`` that belongs to this attempt alone."""
        return output_folder(self.task_id, self.task_snapshot, str(self.attempt))


@dataclass(eq=False, kw_only=True)
class Workflow:
    """A DAG known to SVOps.

    :param last_seen: the newest of Airflow's runs (by its number there) that SVOps has taken notice of
    """

    id: int = field(init=False)
    name: str
    description: str | None = None
    dag_id: str
    is_active: bool = True
    last_seen: int = 0
    created_by_id: int | None = None
    created_by: str | None = None
    created_at: datetime = field(default_factory=utcnow)
    updated_at: datetime = field(default_factory=utcnow)
    version: int = 1


@dataclass(eq=False, kw_only=True)
class WorkflowRun:
    """One DAG run of a workflow.

    :param position: its place in the execution's chain, from 1; none outside a chain
    :param dataset_id: which dataset it works on, where that is known; it may be gone by now
    :param progress_done: how many of the run's tasks have ended, of ``progress_total``
    :param message: what the running task last said of its own progress
    :param snapshot: outside a chain, what one of SVOps' pipelines was told when it began: ``task`` and
        ``dataset`` as they were, and as ``reused_from`` the folder of the run that it goes on from
    """

    id: int = field(init=False)
    workflow_id: int
    execution_id: int | None = None
    position: int | None = None
    dataset_id: int | None = None
    dag_id: str
    dag_run_id: str
    status: RunStatus = RunStatus.QUEUED
    trigger_type: TriggerType = TriggerType.API
    configuration: Json = field(default_factory=dict)
    triggered_by: str = ""
    note: str = ""
    progress_done: int = 0
    progress_total: int = 0
    message: str = ""
    start_date: datetime | None = None
    end_date: datetime | None = None
    error: Json | None = None
    stop_requested_at: datetime | None = None
    snapshot: Json | None = None
    created_at: datetime = field(default_factory=utcnow)


@dataclass(eq=False, kw_only=True)
class Metric:
    """A number that a pipeline measured; with ``step``, a point of a curve.

    :param execution_id: none outside a chain, as for an artifact
    """

    id: int = field(init=False)
    execution_id: int | None
    workflow_run_id: int
    name: str
    value: float
    step: int | None = None
    created_at: datetime = field(default_factory=utcnow)


@dataclass(eq=False, kw_only=True)
class Artifact:
    """A file that a pipeline left; ``size`` in bytes."""

    id: int = field(init=False)
    execution_id: int | None
    workflow_run_id: int
    name: str
    path: str
    media_type: str
    size: int
    created_at: datetime = field(default_factory=utcnow)


@dataclass(eq=False, kw_only=True)
class IdempotencyKey:
    """A request that must not be done twice, and the answer it was given.

    :param digest: SHA-256 of what was asked, so that another request under the same key is noticed
    """

    id: int = field(init=False)
    scope: str
    key: str
    digest: str
    answer: Json
    created_at: datetime = field(default_factory=utcnow)


@dataclass(eq=False, kw_only=True)
class Event:
    """What happened, in the words of the wire contract; written with the change it tells of."""

    id: int = field(init=False)
    type: str
    task_id: int | None = None
    execution_id: int | None = None
    workflow_id: int | None = None
    run_id: int | None = None
    user_id: int | None = None
    actor: str = ""
    data: Json = field(default_factory=dict)
    created_at: datetime = field(default_factory=utcnow)
