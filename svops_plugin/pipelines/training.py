"""ml_training_pipeline: trains the configured estimator, judges it on held-out samples, keeps the model."""

from __future__ import annotations

import hashlib
import io
import platform
import warnings
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt

from svops_plugin.pipelines import splitting, state, tracking
from svops_plugin.pipelines.configuration import BuildConfig
from svops_plugin.pipelines.errors import PerformanceError, PipelineError, StateError
from svops_plugin.pipelines.estimators import ESTIMATORS
from svops_plugin.pipelines.run import PipelineRun

SHOWN_CONFUSIONS = 3

Array = npt.NDArray[Any]


def make_estimator(config: BuildConfig) -> Any:
    """Return the configured estimator, untrained; features are standardised where it needs that."""
    from sklearn.pipeline import Pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    spec = ESTIMATORS[config.estimator]
    module, name = spec.path.split(":")
    params = dict(config.params) | ({"random_state": config.seed} if spec.seeded else {})
    estimator = getattr(import_module(module), name)(**params)
    scaler = [("scale", StandardScaler())] if spec.scaled else []
    return Pipeline([*scaler, (config.estimator, estimator)])


def prepare_training_data(run: PipelineRun) -> dict[str, Any]:
    """Divide the training samples into folds, and number their classes."""
    config = run.configuration
    train = state.load_arrays(run, "train.npz")
    classes, target = np.unique(train["labels"], return_inverse=True)
    folds = splitting.fold_numbers(
        train["samples"].tolist(), train["labels"].tolist(), config.cv_folds, config.seed
    )
    state.save_arrays(
        run, "training.npz", features=train["features"], target=target, fold=np.array(folds), classes=classes
    )
    tracking.progress(1, 1, f"{len(target)} samples in {config.cv_folds} folds")
    return {"samples": len(target), "features": train["features"].shape[1], "classes": len(classes)}


def train_model(run: PipelineRun) -> dict[str, Any]:
    """Cross-validate the estimator, then fit it to all training samples.

    Visual words, where there are any, were fitted to the whole training part, so that the folds' scores of
    Surf datasets lean to the bright side; the held-out samples had no part in them.

    :raises PipelineError: if the estimator refuses the data
    """
    config = run.configuration
    data = state.load_arrays(run, "training.npz")
    features, target, fold = data["features"], data["target"], data["fold"]
    scores = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(config.cv_folds):
            inside = fold != number
            model = _fit(config, features[inside], target[inside])
            score = _scores(target[~inside], _predict(config, model, features[~inside]))
            scores.append(score)
            tracking.log_metric("cv_accuracy", score["accuracy"], step=number)
            tracking.log_metric("cv_macro_f1", score["macro_f1"], step=number)
            message = f"fold {number + 1} of {config.cv_folds}: accuracy {score['accuracy']:.3f}"
            tracking.progress(number + 1, config.cv_folds + 1, message)
        model = _fit(config, features, target)
    summary = {
        "folds": scores,
        "accuracy_mean": float(np.mean([score["accuracy"] for score in scores])),
        "accuracy_deviation": float(np.std([score["accuracy"] for score in scores])),
        "warnings": sorted({str(one.message) for one in caught if issubclass(one.category, UserWarning)}),
        "sha256": _save_model(run, model),
    }
    state.save_json(run, "cross_validation.json", summary)
    tracking.progress(
        config.cv_folds + 1, config.cv_folds + 1, f"{config.estimator} fitted to {len(target)} samples"
    )
    return {key: summary[key] for key in ("accuracy_mean", "accuracy_deviation", "warnings")}


def evaluate_model(run: PipelineRun) -> dict[str, Any]:
    """Predict the held-out samples and measure how often, and where, the model is right."""
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support  # type: ignore[import-untyped]

    model = _load_model(run)
    classes = state.load_arrays(run, "training.npz")["classes"]
    test = state.load_arrays(run, "test.npz")
    target = np.searchsorted(classes, test["labels"])
    predicted = _predict(run.configuration, model, test["features"])
    numbers = range(len(classes))
    precision, recall, f1, support = precision_recall_fscore_support(
        target, predicted, labels=numbers, zero_division=0
    )
    evaluation = {
        **_scores(target, predicted),
        "baseline_accuracy": float(np.bincount(target).max() / len(target)),
        "samples": len(target),
        "errors": int((target != predicted).sum()),
        "classes": [
            {"label": label, "precision": p, "recall": r, "f1": f, "support": s}
            for label, p, r, f, s in zip(
                classes.tolist(),
                precision.tolist(),
                recall.tolist(),
                f1.tolist(),
                support.tolist(),
                strict=True,
            )
        ],
        "confusion_matrix": confusion_matrix(target, predicted, labels=numbers).tolist(),
    }
    state.save_arrays(
        run,
        "predictions.npz",
        samples=test["samples"],
        labels=test["labels"],
        predicted=classes[predicted],
        certainty=_certainty(model, test["features"]),
    )
    state.save_json(run, "evaluation.json", evaluation)
    matrix = {"labels": classes.tolist(), "matrix": evaluation["confusion_matrix"]}
    tracking.log_artifact(state.write_json(run.output / "confusion_matrix.json", matrix))
    summary = {key: evaluation[key] for key in ("accuracy", "macro_f1", "baseline_accuracy")}
    for name, value in summary.items():
        tracking.log_metric(name, value)
    tracking.progress(1, 1, f"accuracy {summary['accuracy']:.3f} on {len(target)} held-out samples")
    return summary


def validate_model_performance(run: PipelineRun) -> dict[str, Any]:
    """Let only a model through that is good enough.

    :raises PerformanceError: if its held-out accuracy is below the configuration's ``min_accuracy``, saying
        which classes it confuses most
    """
    evaluation = state.load_json(run, "evaluation.json")
    accuracy, least = evaluation["accuracy"], run.configuration.min_accuracy
    if accuracy < least:
        confused = ", ".join(
            f"{true!r} taken for {taken!r} {count} times" for count, true, taken in confusions(evaluation)
        )
        raise PerformanceError(
            f"the model's accuracy on {evaluation['samples']} held-out samples is {accuracy:.4f}, below the "
            f"min_accuracy {least:g} of the build configuration; most often: {confused}"
        )
    tracking.progress(1, 1, f"accuracy {accuracy:.3f}, at least {least:g} is asked for")
    return {"accuracy": accuracy, "min_accuracy": least}


def save_model_artifacts(run: PipelineRun) -> dict[str, Any]:
    """Keep the model, and beside it all that is needed to use it and to tell where it comes from."""
    content = _model_bytes(run)
    folder = run.output / "model"
    kept = [state.write(folder / "model.joblib", content)]
    features = state.load_arrays(run, "features.npz")
    if "vocabulary" in features:
        buffer = io.BytesIO()
        np.savez(buffer, vocabulary=features["vocabulary"])
        kept.append(state.write(folder / "vocabulary.npz", buffer.getvalue()))
    evaluation = state.load_json(run, "evaluation.json")
    manifest = {
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept},
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "scikit-learn", "joblib")},
        },
        "build_config": run.configuration.as_dict(),
        "features": state.load_json(run, "features.json"),
        "classes": [one["label"] for one in evaluation["classes"]],
        "dataset": {
            "name": run.dataset.name,
            "fingerprint": state.load_json(run, "extraction.json")["fingerprint"],
        },
        "metrics": {key: evaluation[key] for key in ("accuracy", "macro_f1")},
        "provenance": {
            "task_id": run.task_id,
            "attempt": run.attempt,
            "workflow_run_id": run.workflow_run_id,
            "customer": run.customer,
            "branch_name": run.branch_name,
            "commit_id": run.commit_id,
        },
    }
    kept.append(state.write_json(folder / "manifest.json", manifest))
    for path in kept:
        tracking.log_artifact(path)
    tracking.progress(1, 1, f"{len(content):,} bytes of model kept")
    return {"model": str(folder / "model.joblib"), "sha256": manifest["files"]["model.joblib"]}


def _fit(config: BuildConfig, features: Array, target: Array) -> Any:
    try:
        return make_estimator(config).fit(features, target)
    except ValueError as error:
        raise PipelineError(f"{config.estimator} cannot be trained on these data: {error}") from error


def _predict(config: BuildConfig, model: Any, features: Array) -> Array:
    try:
        predicted: Array = model.predict(features)
    except ValueError as error:
        raise PipelineError(f"{config.estimator} cannot predict these data: {error}") from error
    return predicted


def _scores(target: Array, predicted: Array) -> dict[str, float]:
    from sklearn.metrics import f1_score

    macro_f1 = f1_score(target, predicted, average="macro", zero_division=0)
    return {"accuracy": float((target == predicted).mean()), "macro_f1": float(macro_f1)}


def _certainty(model: Any, features: Array) -> Array:
    """Return by how much the best class of each sample leads over the second, in the model's own scores."""
    method = "predict_proba" if hasattr(model, "predict_proba") else "decision_function"
    scores: Array = getattr(model, method)(features)
    if scores.ndim == 1:
        return np.abs(scores)
    ordered = np.sort(scores, axis=1)
    lead: Array = ordered[:, -1] - ordered[:, -2]
    return lead


def confusions(evaluation: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Return the most frequent errors as count, true class, predicted class."""
    labels = [one["label"] for one in evaluation["classes"]]
    errors = [
        (count, labels[true], labels[taken])
        for true, row in enumerate(evaluation["confusion_matrix"])
        for taken, count in enumerate(row)
        if count and true != taken
    ]
    return sorted(errors, key=lambda error: -error[0])[:SHOWN_CONFUSIONS]


def _save_model(run: PipelineRun, model: Any) -> str:
    """Write the model into the work folder and return the SHA-256 of the file."""
    import joblib  # type: ignore[import-untyped]

    buffer = io.BytesIO()
    joblib.dump(model, buffer)
    state.write(run.work / "model.joblib", buffer.getvalue())
    return hashlib.sha256(buffer.getvalue()).hexdigest()


def _model_bytes(run: PipelineRun) -> bytes:
    """Return the model's file.

    :raises StateError: if it is not the one that this run has trained
    """
    path = state.existing(run, "model.joblib")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != state.load_json(run, "cross_validation.json")["sha256"]:
        raise StateError(f"{path} is not the file that train_model wrote; run train_model again")
    return content


def _load_model(run: PipelineRun) -> Any:
    import joblib

    return joblib.load(io.BytesIO(_model_bytes(run)))
