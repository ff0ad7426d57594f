"""simple_workflow_example: shows people what the chain has found, and registers the result."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from svops_plugin import __version__
from svops_plugin.pipelines import animation, html_report, ini, state, tracking
from svops_plugin.pipelines.errors import ConfigurationError, StateError
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.training import confusions

INI_NAME = "build_config.ini"
CLOSE_CALLS = 8
NEEDED = (
    "extraction.json",
    "features.json",
    "profile.json",
    "train.npz",
    "test.npz",
    "cross_validation.json",
    "predictions.npz",
    "evaluation.json",
)

Array = npt.NDArray[Any]


def start_workflow(run: PipelineRun) -> dict[str, Any]:
    """Make sure that the earlier pipelines left their results, and write the INI file, if there is one.

    :raises StateError: naming the step that has not run
    """
    for name in NEEDED:
        state.existing(run, name)
    sections = run.configuration.ini
    if sections:
        path = state.write(run.output / INI_NAME, ini.dumps(sections).encode())
        tracking.log_artifact(path, media_type="text/plain")
    tracking.progress(1, 1, "the results of the earlier pipelines are there")
    return {"ini_sections": sorted(sections or {})}


def validate_data(run: PipelineRun) -> dict[str, Any]:
    """Check that predictions, figures and held-out samples belong together.

    :raises StateError: if they do not, as after a step that was run again alone
    """
    test = state.load_arrays(run, "test.npz")
    predictions = state.load_arrays(run, "predictions.npz")
    evaluation = state.load_json(run, "evaluation.json")
    for name in ("samples", "labels"):
        if not np.array_equal(test[name], predictions[name]):
            raise StateError(f"predictions are of other {name} than those held out; run evaluate_model again")
    errors = int((predictions["labels"] != predictions["predicted"]).sum())
    if (len(test["samples"]), errors) != (evaluation["samples"], evaluation["errors"]):
        raise StateError("the evaluation does not count these predictions; run evaluate_model again")
    tracking.progress(1, 1, f"{len(test['samples'])} predictions, {errors} of them wrong")
    return {"samples": len(test["samples"]), "errors": errors}


def process_data(run: PipelineRun) -> dict[str, Any]:
    """Make the pictures: of misclassified samples for the report, of evaluated samples for the animation.

    :raises DataError: if the dataset no longer has the samples
    """
    options = _options(run)
    predictions = state.load_arrays(run, "predictions.npz")
    errors, hits = _ranked(predictions)
    shown, close_calls = errors[: options.max_pictures], hits[:CLOSE_CALLS]
    filmed = [*errors, *hits][: options.max_frames] if run.video_output else []
    wanted = sorted({*shown, *close_calls, *filmed})
    samples = predictions["samples"][wanted].tolist()
    images = reader_for(run.dataset.data_type).pictures(run.dataset, samples)
    evaluated = {
        index: animation.Evaluated(
            sample, image, str(predictions["labels"][index]), str(predictions["predicted"][index])
        )
        for index, sample, image in zip(wanted, samples, images, strict=True)
    }
    video = None
    if run.video_output:
        film = animation.webp([evaluated[index] for index in filmed], options.frame_ms)
        video = state.write(run.video_output / f"task_{run.task_id}_{run.name}.webp", film)
        tracking.log_artifact(video, media_type="image/webp")
    gallery = {
        "errors": [_card(evaluated[index]) for index in shown],
        "close_calls": [_card(evaluated[index]) for index in close_calls],
        "video": str(video) if video else None,
    }
    state.save_json(run, "gallery.json", gallery)
    tracking.progress(1, 1, f"{len(shown)} of {len(errors)} misclassified samples pictured")
    return {"pictures": len(shown), "frames": len(filmed), "video": gallery["video"]}


def finalize_workflow(run: PipelineRun) -> dict[str, Any]:
    """Write the report and the metrics, and return the result of the chain."""
    evaluation = state.load_json(run, "evaluation.json")
    validation = state.load_json(run, "cross_validation.json")
    extraction = state.load_json(run, "extraction.json")
    gallery = state.load_json(run, "gallery.json")
    metrics = {
        "accuracy": evaluation["accuracy"],
        "macro_f1": evaluation["macro_f1"],
        "baseline_accuracy": evaluation["baseline_accuracy"],
        "cv_accuracy_mean": validation["accuracy_mean"],
        "cv_accuracy_deviation": validation["accuracy_deviation"],
        "held_out_samples": evaluation["samples"],
    }
    for name, value in metrics.items():
        tracking.log_metric(name, value)
    report = state.write(run.output / "report.html", html_report.render(_content(run, gallery)))
    figures = state.write_json(run.output / "metrics.json", {"metrics": metrics, "evaluation": evaluation})
    for path in (report, figures):
        tracking.log_artifact(path)
    tracking.progress(1, 1, f"report written; accuracy {evaluation['accuracy']:.3f}")
    return {
        "metrics": metrics,
        "report": str(report),
        "model": str(run.output / "model" / "model.joblib"),
        "video": gallery["video"],
        "fingerprint": extraction["fingerprint"],
    }


def _options(run: PipelineRun) -> ini.Options:
    """Return what the INI file beside the artifacts asks for."""
    path = run.output / INI_NAME
    if not path.is_file():
        return ini.Options()
    try:
        return ini.options(ini.loads(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise ConfigurationError(ini.FIELD, f"{path} is not UTF-8: {error}") from None


def _ranked(predictions: Mapping[str, Array]) -> tuple[list[int], list[int]]:
    """Return the indices of the errors, most certain first, and of the hits, least certain first."""
    wrong = predictions["labels"] != predictions["predicted"]
    order = np.argsort(predictions["certainty"], kind="stable")
    errors: list[int] = order[wrong[order]][::-1].tolist()
    hits: list[int] = order[~wrong[order]].tolist()
    return errors, hits


def _card(one: animation.Evaluated) -> dict[str, str]:
    buffer = io.BytesIO()
    one.picture.save(buffer, format="PNG")
    return {
        "sample": one.sample,
        "label": one.label,
        "predicted": one.predicted,
        "picture": html_report.data_uri(buffer.getvalue(), "image/png"),
    }


def _content(run: PipelineRun, gallery: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report's template names."""
    profile = state.load_json(run, "profile.json")
    evaluation = state.load_json(run, "evaluation.json")
    validation = state.load_json(run, "cross_validation.json")
    return {
        "title": _options(run).title or run.task_name,
        "subtitle": f"{run.dataset.name}, for {run.customer}",
        "tiles": _tiles(evaluation, validation),
        "classes": evaluation["classes"],
        "matrix": html_report.matrix(
            [one["label"] for one in evaluation["classes"]], evaluation["confusion_matrix"]
        ),
        "confusions": confusions(evaluation),
        "errors": gallery["errors"],
        "error_count": evaluation["errors"],
        "close_calls": gallery["close_calls"],
        "chart": html_report.fold_chart(validation["folds"], evaluation["accuracy"]),
        "plots": _plots(run),
        "provenance": _provenance(run, gallery["video"]),
        "preset": run.configuration.preset,
        "configuration": _configuration(run),
        "data": _data(run, profile, state.load_json(run, "extraction.json")["fingerprint"]),
        "notes": _notes(run, profile, validation),
        "version": __version__,
        "written_at": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _tiles(evaluation: Mapping[str, Any], validation: Mapping[str, Any]) -> list[dict[str, str]]:
    total, errors = evaluation["samples"], evaluation["errors"]
    low, high = html_report.wilson_interval(total - errors, total)
    return [
        {
            "name": "Accuracy",
            "value": f"{evaluation['accuracy']:.1%}",
            "detail": f"95% interval {low:.1%} to {high:.1%}",
        },
        {"name": "Macro F1", "value": f"{evaluation['macro_f1']:.3f}", "detail": "mean over the classes"},
        {
            "name": "Cross-validation",
            "value": f"{validation['accuracy_mean']:.1%}",
            "detail": f"± {validation['accuracy_deviation']:.1%} over {len(validation['folds'])} folds",
        },
        {"name": "Misclassified", "value": f"{errors}", "detail": f"of {total} held-out samples"},
        {
            "name": "Baseline",
            "value": f"{evaluation['baseline_accuracy']:.1%}",
            "detail": "always the commonest class",
        },
    ]


def _plots(run: PipelineRun) -> list[dict[str, str]]:
    shown = (
        ("class_balance.svg", "Class balance", "Samples of each class, as they were split."),
        ("projection.svg", "Features at a glance", "Samples on their two main axes of variation."),
    )
    folder = run.output / "plots"
    return [
        {
            "name": title,
            "hint": hint,
            "picture": html_report.data_uri((folder / name).read_bytes(), "image/svg+xml"),
        }
        for name, title, hint in shown
    ]


Fact = tuple[str, str, bool]


def _facts(pairs: Sequence[tuple[str, object]], code: Sequence[str] = ()) -> list[Fact]:
    """Return names, values and whether they are code; what is not there is left out."""
    return [(name, str(value), name in code) for name, value in pairs if value not in (None, "", {})]


def _provenance(run: PipelineRun, video: str | None) -> list[Fact]:
    return _facts(
        [
            ("Task", f"{run.task_name} (number {run.task_id}, {run.name.replace('_', ' ')})"),
            ("Customer", run.customer),
            ("Branch", run.branch_name),
            ("Commit", run.commit_id),
            ("Note", run.note),
            ("Parameters", _words(run.parameters)),
            ("Animation", video),
        ],
        code=("Branch", "Commit", "Animation"),
    )


def _configuration(run: PipelineRun) -> list[Fact]:
    config = run.configuration
    return _facts(
        [
            ("Estimator", config.estimator),
            ("Hyper-parameters", _words(config.params)),
            ("Held out", f"{config.test_size:.0%} of each class"),
            ("Folds", config.cv_folds),
            ("Seed", config.seed),
            ("Samples at most", config.max_samples),
            ("Accuracy at least", config.min_accuracy),
        ],
        code=("Estimator", "Hyper-parameters"),
    )


def _data(run: PipelineRun, profile: Mapping[str, Any], fingerprint: str) -> list[Fact]:
    features = profile["features"]
    return _facts(
        [
            ("Dataset", f"{run.dataset.name} ({run.dataset.data_type})"),
            ("Path", run.dataset.path),
            ("Fingerprint", fingerprint),
            ("Samples", f"{profile['samples']} of {profile['samples_found']} found"),
            ("Split", f"{profile['train']} for training, {profile['test']} held out"),
            ("Features", f"{features['features']}: {features['method']}"),
            ("Their range", f"{features['minimum']:.4g} to {features['maximum']:.4g}"),
        ],
        code=("Path", "Fingerprint"),
    )


def _notes(run: PipelineRun, profile: Mapping[str, Any], validation: Mapping[str, Any]) -> list[str]:
    """Return what somebody who trusts the figures should know."""
    notes = [f"While training, scikit-learn said: {warning}" for warning in validation["warnings"]]
    if profile["repeated_across_split"]:
        notes.append(
            f"{profile['repeated_across_split']} held-out samples have exactly the features of a training "
            "sample, which makes the accuracy look better than it is."
        )
    if profile["features"]["constant"]:
        notes.append(f"{profile['features']['constant']} features have the same value in all samples.")
    if run.configuration.max_samples and profile["samples"] < profile["samples_found"]:
        notes.append(f"The preset uses at most {run.configuration.max_samples} samples.")
    return notes


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
