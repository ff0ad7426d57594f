"""Each pipeline in a folder of its own, going on from what the one before left in another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from svops_plugin.pipelines.errors import StateError
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.steps import STEPS, run_step
from tests.unit.pipelines.test_chain import SMALL, TYPES, contents


def run_alone(run: PipelineRun, dag_id: str) -> dict[str, Any]:
    for step in STEPS[dag_id]:
        summary = run_step(dag_id, step, run)
    return summary


@pytest.mark.parametrize("data_type", TYPES)
def test_they_leave_in_the_end_what_the_chain_leaves(tiny, make_run, chain, tmp_path, data_type):
    video = {"video_output": str(tmp_path / "video")}
    dataset, alone = tiny(data_type), {"execution_id": None, "attempt": None, **video}
    in_chain = make_run(dataset, conf=SMALL, output="chain", **video)
    result = chain(in_chain)
    reused_from = None
    for number, dag_id in enumerate(STEPS, start=1):
        numbered = {"output": str(tmp_path / f"run_{number}"), "workflow_run_id": number}
        run = make_run(dataset, conf=SMALL, **{**alone, **numbered}, reused_from=reused_from)
        summary = run_alone(run, dag_id)
        reused_from = str(run.output)
    assert summary["metrics"] == result["metrics"]
    made, wanted = contents(run.output), contents(in_chain.output)
    assert made.keys() == wanted.keys()
    naming_the_run = {"model/manifest.json", "report.html", "work/gallery.json"}
    assert {name for name in made if made[name] != wanted[name]} == naming_the_run
    assert Path(summary["model"]).is_relative_to(run.output)
    assert Path(summary["video"]) == tmp_path / "video" / "task_3_run_3.webp"
    assert "(number 3, run 3)" in (run.output / "report.html").read_text()


def test_of_another_run_only_what_earlier_pipelines_left_is_taken_over(tiny, make_run, chain):
    dataset = tiny("Surf")
    source = make_run(dataset, conf=SMALL, output="source")
    chain(source)
    run = make_run(dataset, conf=SMALL, output="alone", reused_from=str(source.output))
    run_step("ml_training_pipeline", "prepare_training_data", run)
    made = set(contents(run.output))
    assert made >= {"work/train.npz", "work/test.npz", "work/profile.json", "plots/projection.svg"}
    assert made.isdisjoint({"work/model.joblib", "model/model.joblib", "metrics.json", "report.html"})


def test_taking_over_again_leaves_what_the_run_has_made(tiny, make_run, chain):
    """The process of a first step may live on, unseen by Airflow, while the next steps run already."""
    dataset = tiny("Vector")
    source = make_run(dataset, conf=SMALL, output="source")
    chain(source)
    other = {**SMALL, "estimator": "knn"}
    run = make_run(dataset, conf=other, output="alone", reused_from=str(source.output))
    run_alone(run, "ml_training_pipeline")
    before = contents(run.output)
    run_step("ml_training_pipeline", "prepare_training_data", run)
    assert contents(run.output) == before
    assert before["work/model.joblib"] != contents(source.output)["work/model.joblib"]


def test_what_an_earlier_run_left_is_gone(tiny, make_run, tmp_path):
    run = make_run(tiny("Vector"), conf=SMALL, reused_from=str(tmp_path / "deleted"))
    with pytest.raises(StateError, match="is missing; run load_data first"):
        run_step("ml_training_pipeline", "prepare_training_data", run)
