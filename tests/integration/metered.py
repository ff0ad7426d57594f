"""A process of Airflow's that tells every metric, with its number, and those of a look of the meter's."""

from __future__ import annotations

from opentelemetry.metrics import get_meter_provider
from opentelemetry.sdk.metrics import MeterProvider

from svops_plugin.bootstrap import services
from svops_plugin.domain.metrics import METRICS
from svops_plugin.infrastructure.airflow.metrics import tell
from tests.hosts import hosting

if __name__ == "__main__":
    hosting().begin_metrics()
    for number, (name, metric) in enumerate(METRICS.items(), start=1):
        tell(name, number, **dict.fromkeys(metric.tags, "one"))
    services().meter.look()
    provider = get_meter_provider()
    if isinstance(provider, MeterProvider):
        provider.force_flush()  # which goes once a minute; Airflow 2.11 sends nothing more at its end
