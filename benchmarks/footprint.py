"""What the plugin adds to a process that runs a task which has nothing to do with SVOps.

Each measurement is a process of its own, which imports what a task's process of this Airflow has loaded, and
then what Airflow loads of the plugin there. ``python benchmarks/footprint.py --repeat 9``.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import click
from figures import Figure, json_option, keep

HIGHEST_MS, HIGHEST_MB = 150.0, 15.0
PROGRAM = """
import json, sys, time
from importlib.util import find_spec
import airflow.listeners, airflow.plugins_manager
import airflow.models.taskinstance
if find_spec("airflow.sdk"):
    import airflow.sdk.execution_time.task_runner

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4 / 1024

loaded, memory, began = set(sys.modules), resident(), time.process_time()
from svops_plugin.plugin import SVOpsPlugin
SVOpsPlugin().listeners
spent = time.process_time() - began
print(json.dumps({"ms": spent * 1000, "mb": resident() - memory, "modules": len(set(sys.modules) - loaded)}))
"""


def measure() -> dict[str, float]:
    """Return milliseconds of processor time, megabytes, and modules that one process has more."""
    finished = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return found


@click.command()
@click.option("--repeat", default=5, show_default=True, type=click.IntRange(1))
@json_option
def main(repeat: int, report: Path | None) -> None:
    """Print the medians; exit status 1 if one is above its bar."""
    measured = [measure() for _ in range(repeat)]
    median = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
    what = "of the plugin in a task's process"
    found = [
        Figure(f"processor time {what}", round(median["ms"], 1), "ms", at_most=HIGHEST_MS),
        Figure(f"resident memory {what}", round(median["mb"], 1), "MB", at_most=HIGHEST_MB),
        Figure(f"modules {what}", median["modules"]),
    ]
    for figure in found:
        print(f"{figure.what:48} {figure.value:8.1f} {figure.unit:3} at most {figure.at_most or '-'}")
    keep(report, found)
    sys.exit(any(figure.met is False for figure in found))


if __name__ == "__main__":
    main()
