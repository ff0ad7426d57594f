"""A process of Airflow's that tells every metric, with its number, and those of a look of the meter's."""

from __future__ import annotations

from svops_plugin.bootstrap import services
from svops_plugin.domain.metrics import METRICS
from svops_plugin.infrastructure.airflow.metrics import tell
from tests.hosts import hosting

if __name__ == "__main__":
    hosting().begin_metrics()
    for number, (name, metric) in enumerate(METRICS.items(), start=1):
        tell(name, number, **dict.fromkeys(metric.tags, "one"))
    services().meter.look()
