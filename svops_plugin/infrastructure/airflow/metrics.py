"""SVOps' metrics, through Airflow's: to StatsD, OpenTelemetry or nowhere, as ``[metrics]`` says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from svops_plugin.domain.metrics import METRICS, Kind


def tell(name: str, value: float = 1, **tags: str) -> None:
    """Tell Airflow's metrics a value; see :class:`svops_plugin.domain.metrics.Tell`."""
    stats, kind = _stats(), METRICS[name].kind
    if kind is Kind.COUNTER:
        stats.incr(name, int(value), tags=tags)
    elif kind is Kind.GAUGE:
        stats.gauge(name, value, tags=tags)
    else:
        stats.timing(name, timedelta(seconds=value), tags=tags)


def _stats() -> Any:
    """Return what Airflow's own servers tell their metrics to; Airflow 3 has another such for tasks."""
    try:
        from airflow.observability import stats
    except ImportError:
        from airflow.stats import Stats

        return Stats
    return stats
