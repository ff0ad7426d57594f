"""Metrics as they leave the process: Airflow's own clients of StatsD and OpenTelemetry, and their servers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from svops_plugin.domain.metrics import METRICS, Kind
from tests.hosts import hosting

LETTERS = {Kind.COUNTER: "c", Kind.GAUGE: "g", Kind.TIMER: "ms"}
BY_METER = {
    f"svops.{name}" for name in ("executions.running", "deliveries.pending", "hub.processes", "sockets.open")
}
LONGEST = 65_535
COLLECTED = (
    "/v1/metrics"  # where the OpenTelemetry protocol (OTLP 1) has metrics sent to, in Protocol Buffers
)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        listening.setblocking(False)
        yield listening


def heard(receiver: socket.socket) -> list[str]:
    """Return the datagrams that have come; of a process that has ended, all."""
    datagrams = []
    while True:
        try:
            datagrams.append(receiver.recv(LONGEST).decode())
        except BlockingIOError:
            return datagrams


def tell_all(receiver: socket.socket, **more: str) -> list[str]:
    """Let a process tell every metric, and return what came of SVOps'."""
    host, port = receiver.getsockname()
    meter(STATSD_ON="True", STATSD_HOST=host, STATSD_PORT=str(port), **more)
    return [line for line in heard(receiver) if line.startswith("airflow.svops.")]


def meter(**metrics: str) -> None:
    """Let a process with these settings tell every metric, and end."""
    variables = {f"AIRFLOW__METRICS__{name}": value for name, value in metrics.items()}
    command = [sys.executable, "-m", "tests.integration.metered"]
    subprocess.run(command, env={**os.environ, **variables}, check=True)


@contextmanager
def collector() -> Iterator[tuple[int, dict[str, Any]]]:
    """Listen as an OpenTelemetry collector does; give the port, and what is told last of each metric."""
    told: dict[str, Any] = {}

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == COLLECTED
            request = ExportMetricsServiceRequest.FromString(
                self.rfile.read(int(self.headers["Content-Length"]))
            )
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    told.update({metric.name: metric for metric in scope.metrics})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not kept."""

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, told
        server.shutdown()
        thread.join()


@pytest.mark.usefixtures("svops_database", "airflow_metadata")
class TestStatsD:
    def test_every_metric_arrives_as_what_it_is(self, receiver: socket.socket) -> None:
        told = tell_all(receiver)
        for number, (name, metric) in enumerate(METRICS.items(), start=1):
            value = f"{number * 1000}.000000" if metric.kind is Kind.TIMER else str(number)
            assert f"airflow.{name}:{value}|{LETTERS[metric.kind]}" in told

    def test_the_meter_tells_how_things_stand(self, receiver: socket.socket) -> None:
        told = tell_all(receiver)
        for name in BY_METER:
            assert f"airflow.{name}:0|g" in told

    def test_tags_go_where_the_backend_has_them(self, receiver: socket.socket) -> None:
        told = tell_all(receiver, STATSD_INFLUXDB_ENABLED="True")
        number = list(METRICS).index("svops.chain.hop") + 1
        assert f"airflow.svops.chain.hop,dag_id=one:{number * 1000}.000000|ms" in told

    def test_airflow_may_keep_them_back(self, receiver: socket.socket) -> None:
        told = tell_all(receiver, METRICS_BLOCK_LIST="svops.hub")
        assert told
        assert not [line for line in told if ".hub." in line]


@pytest.mark.usefixtures("svops_database", "airflow_metadata")
def test_every_metric_arrives_at_an_opentelemetry_collector() -> None:
    with collector() as (port, told):
        meter(OTEL_ON="True", OTEL_HOST="127.0.0.1", OTEL_PORT=str(port))
    forms = {Kind.COUNTER: ("sum", 1), Kind.GAUGE: ("gauge", 1), Kind.TIMER: hosting().OTEL_TIMER}
    by_meter = {*BY_METER, "svops.hub.lag"}
    for number, (name, metric) in enumerate(METRICS.items(), start=1):
        form, unit = forms[metric.kind]
        (point,) = getattr(told[f"airflow.{name}"], form).data_points
        tags = {tag.key: tag.value.string_value for tag in point.attributes}
        assert tags == dict.fromkeys(metric.tags, "one")
        value = point.sum if form == "exponential_histogram" else point.as_int or point.as_double
        assert value == (0 if name in by_meter else number * unit), name


def test_what_is_not_in_the_table_cannot_be_told() -> None:
    from svops_plugin.infrastructure.airflow.metrics import tell

    with pytest.raises(KeyError, match=r"svops\.unheard"):
        tell("svops.unheard")
