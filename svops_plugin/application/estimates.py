"""How long a chain may be expected to take, from what earlier runs took."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

from svops_plugin.application.ports import Duration, UnitOfWork

NEWEST = 20


class Wanted(NamedTuple):
    """What is to be estimated: a chain, and the dataset that it works on, if there is one."""

    chain: Sequence[str]
    dataset_id: int | None


@dataclass(frozen=True)
class StepEstimate:
    """How long one step may be expected to take.

    :param seconds: the median of the earlier runs; none without any
    :param runs: how many those are
    :param same_dataset: whether they worked on the same dataset
    """

    dag_id: str
    seconds: float | None
    runs: int
    same_dataset: bool


@dataclass(frozen=True)
class Estimate:
    """How long a chain may be expected to take.

    :param seconds: from the beginning of the first step to the end of the last, with what lies between; none
        as long as a step has never succeeded
    """

    seconds: float | None
    steps: list[StepEstimate]


def estimates(uow: UnitOfWork, wanted: Sequence[Wanted]) -> list[Estimate]:
    """Return an estimate for each, with at most two queries for all of them.

    The newest runs of each step's DAG that succeeded for the same dataset count, else the newest for any.
    """
    dags = {dag_id for one in wanted for dag_id in one.chain}
    datasets = {one.dataset_id for one in wanted if one.dataset_id is not None}
    own = _grouped(uow.runs.durations(dags, NEWEST, datasets)) if datasets else {}
    new = {dag_id for one in wanted for dag_id in one.chain if (dag_id, one.dataset_id) not in own}
    others = _grouped(_of_any(uow.runs.durations(new, NEWEST))) if new else {}
    return [_estimate(one, own, others) for one in wanted]


Durations = Mapping[tuple[str, int | None], list[Duration]]


def _of_any(durations: Iterable[Duration]) -> Iterable[Duration]:
    return (duration._replace(dataset_id=None) for duration in durations)


def _grouped(durations: Iterable[Duration]) -> Durations:
    found: dict[tuple[str, int | None], list[Duration]] = {}
    for duration in durations:
        found.setdefault((duration.dag_id, duration.dataset_id), []).append(duration)
    return found


def _estimate(wanted: Wanted, own: Durations, others: Durations) -> Estimate:
    steps, known = [], []
    for dag_id in wanted.chain:
        same = own.get((dag_id, wanted.dataset_id), [])
        runs = same or others.get((dag_id, None), [])
        seconds = median(run.seconds for run in runs) if runs else None
        steps.append(StepEstimate(dag_id, seconds, len(runs), bool(same)))
        known += runs
    if whole := _whole(known, len(wanted.chain)):
        return Estimate(median(whole), steps)
    each = [step.seconds for step in steps if step.seconds is not None]
    return Estimate(sum(each) if len(each) == len(steps) else None, steps)


def _whole(runs: Collection[Duration], steps: int) -> list[float]:
    """Return how long those chains took of which every step is among the runs."""
    chains: dict[int, list[Duration]] = {}
    for run in runs:
        if run.execution_id is not None:
            chains.setdefault(run.execution_id, []).append(run)
    return [
        (max(run.end_date for run in chain) - min(run.start_date for run in chain)).total_seconds()
        for chain in chains.values()
        if len(chain) == steps
    ]
