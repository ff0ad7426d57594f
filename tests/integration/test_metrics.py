"""Metrics as they leave the process: Airflow's own StatsD client, and a socket that hears it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from svops_plugin.domain.metrics import METRICS, Kind

LETTERS = {Kind.COUNTER: "c", Kind.GAUGE: "g", Kind.TIMER: "ms"}
LONGEST = 65_535


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
    metrics = {"STATSD_ON": "True", "STATSD_HOST": host, "STATSD_PORT": str(port), **more}
    variables = {f"AIRFLOW__METRICS__{name}": value for name, value in metrics.items()}
    command = [sys.executable, "-m", "tests.integration.metered"]
    subprocess.run(command, env={**os.environ, **variables}, check=True)
    return [line for line in heard(receiver) if line.startswith("airflow.svops.")]


@pytest.mark.usefixtures("svops_database", "airflow_metadata")
class TestStatsD:
    def test_every_metric_arrives_as_what_it_is(self, receiver: socket.socket) -> None:
        told = tell_all(receiver)
        for number, (name, metric) in enumerate(METRICS.items(), start=1):
            value = f"{number * 1000}.000000" if metric.kind is Kind.TIMER else str(number)
            assert f"airflow.{name}:{value}|{LETTERS[metric.kind]}" in told

    def test_the_meter_tells_how_things_stand(self, receiver: socket.socket) -> None:
        told = tell_all(receiver)
        for name in ("executions.running", "deliveries.pending", "hub.processes", "sockets.open"):
            assert f"airflow.svops.{name}:0|g" in told

    def test_tags_go_where_the_backend_has_them(self, receiver: socket.socket) -> None:
        told = tell_all(receiver, STATSD_INFLUXDB_ENABLED="True")
        number = list(METRICS).index("svops.chain.hop") + 1
        assert f"airflow.svops.chain.hop,dag_id=one:{number * 1000}.000000|ms" in told

    def test_airflow_may_keep_them_back(self, receiver: socket.socket) -> None:
        told = tell_all(receiver, METRICS_BLOCK_LIST="svops.hub")
        assert told
        assert not [line for line in told if ".hub." in line]


def test_what_is_not_in_the_table_cannot_be_told() -> None:
    from svops_plugin.infrastructure.airflow.metrics import tell

    with pytest.raises(KeyError, match=r"svops\.unheard"):
        tell("svops.unheard")
