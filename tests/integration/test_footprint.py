"""What the plugin brings into every process of Airflow's, those of others' tasks included."""

from __future__ import annotations

import json
import subprocess
import sys

LOAD = """
import json, sys
import airflow.listeners, airflow.plugins_manager
loaded = set(sys.modules)
from svops_plugin.plugin import SVOpsPlugin
SVOpsPlugin().listeners
print(json.dumps(sorted(set(sys.modules) - loaded)))
"""


def test_the_plugin_loads_next_to_nothing_of_itself() -> None:
    finished = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, check=True)
    assert json.loads(finished.stdout.splitlines()[-1]) == [
        "svops_plugin",
        "svops_plugin.orchestration",
        "svops_plugin.orchestration.listener",
        "svops_plugin.plugin",
    ]
