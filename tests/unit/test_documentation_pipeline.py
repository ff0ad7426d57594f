"""The DAG in docs/pipelines.md, as it stands there."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from svops_plugin.orchestration import PipelineOperator
from svops_plugin.pipelines import tracking
from svops_plugin.pipelines.errors import PerformanceError
from svops_plugin.settings import DEFAULT_CHAIN
from tests.unit.documentation import the_block
from tests.unit.pipelines.test_chain import Recorder
from tests.unit.test_documentation_commands import settings_of

DOCUMENT = "docs/pipelines.md"
CONFUSION = {"labels": ["cat", "dog"], "matrix": [[9, 1], [2, 2]]}


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    """What the file defines."""
    names: dict[str, Any] = {}
    exec(the_block(DOCUMENT, "python", "An Airflow DAG"), names)  # noqa: S102  # it is ours
    return names


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "confusion_matrix.json").write_text(json.dumps(CONFUSION))
    return tmp_path


def test_a_model_that_is_good_enough(module: dict[str, Any], output: Path) -> None:
    recorder = Recorder()
    with tracking.use(recorder):
        module["class_recall"](SimpleNamespace(output=output, parameters={"min_recall": 0.5}))
    assert recorder.metrics == {("worst_recall", None): 0.5}
    assert recorder.artifacts == {"recall.json": output / "recall.json"}
    assert recorder.messages == [(1, 2, "class cat"), (2, 2, "class dog")]
    assert json.loads((output / "recall.json").read_text()) == {"cat": 0.9, "dog": 0.5}


def test_a_model_that_is_not(module: dict[str, Any], output: Path) -> None:
    with pytest.raises(PerformanceError, match=r"class dog has a recall of 0\.500, below 0\.6"):
        module["class_recall"](SimpleNamespace(output=output, parameters={"min_recall": 0.6}))


def test_the_dag(module: dict[str, Any]) -> None:
    dag = module["dag"]
    (task,) = dag.tasks
    assert isinstance(task, PipelineOperator)
    assert (dag.dag_id, task.pipeline, task.retries) == ("class_recall", module["class_recall"], 1)


def test_the_chain_names_it() -> None:
    chain = settings_of(the_block(DOCUMENT, "ini"))["chain"].split(",")
    assert chain.index("class_recall") > chain.index("ml_training_pipeline")
    assert [dag_id for dag_id in chain if dag_id != "class_recall"] == DEFAULT_CHAIN.split(",")
