"""What the plugin adds to a process that runs a task which has nothing to do with SVOps.

Each measurement is a process of its own, which imports what a task's process of this Airflow has loaded, and
then what Airflow loads of the plugin there. ``python benchmarks/footprint.py --repeat 9``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys

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


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=5)
    measured = [measure() for _ in range(parser.parse_args().repeat)]
    for name, limit in (("ms", "150"), ("mb", "15"), ("modules", "-")):
        median = statistics.median(one[name] for one in measured)
        print(f"{name:8} {median:8.2f}   at most {limit}")


if __name__ == "__main__":
    main()
