from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from svops_plugin.pipelines.steps import _MODULES, STEPS, run_step

HEAVY = ("numpy", "pyarrow", "sklearn", "matplotlib", "PIL", "joblib", "airflow", "sqlalchemy")


@pytest.mark.parametrize("module", ["configuration", "tracking", "steps", "run", "readers", "ini"])
def test_importing_costs_no_heavy_library(module: str):
    script = f"""
import sys
import svops_plugin.pipelines.{module}
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_preflight_costs_no_heavy_library(tiny):
    dataset = tiny("Jetson")
    script = f"""
import sys
from pathlib import Path
from svops_plugin.pipelines.readers import reader_for
assert reader_for("Jetson").check(Path({str(dataset.path)!r}), None) == []
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("dag_id", "step"), [(dag_id, step) for dag_id in STEPS for step in STEPS[dag_id]])
def test_every_step_is_a_documented_function(dag_id: str, step: str):
    assert getattr(import_module(_MODULES[dag_id]), step).__doc__


def test_an_unknown_step_is_refused(tiny, make_run):
    with pytest.raises(ValueError, match="has no step train"):
        run_step("ml_training_pipeline", "train", make_run(tiny("Vector")))
