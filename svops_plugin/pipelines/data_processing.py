"""data_processing_pipeline: holds a dataset against its ground truth, splits, makes features, profiles."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from svops_plugin.pipelines import features, files, gallery, ground_truth, splitting, state, tracking
from svops_plugin.pipelines.errors import DataError
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.pipelines.recording import Recording
from svops_plugin.pipelines.run import PipelineRun


def extract_data(run: PipelineRun) -> dict[str, Any]:
    """Read the dataset, hold it against its ground truth, and decide which samples are held out.

    The split comes first, so that nothing that is fitted later can see a held-out sample.

    :raises DataError: naming everything that does not fit
    """
    config = run.configuration
    recording, found = _read(run)
    everything = recording.samples.tolist(), recording.labels.tolist()
    used = recording.take(splitting.limit(*everything, config.max_samples, config.seed))
    dropped = sorted(set(recording.labels.tolist()) - set(used.labels.tolist()))
    if dropped:
        raise DataError(
            [f"max_samples {config.max_samples} leaves none of class {label!r}" for label in dropped]
        )
    held_out = splitting.held_out(
        used.samples.tolist(),
        used.labels.tolist(),
        test_size=config.test_size,
        folds=config.cv_folds,
        seed=config.seed,
    )
    state.save_arrays(run, "recording.npz", **used.arrays(), test=np.array(held_out))
    summary = {
        "samples_found": len(recording.samples),
        "samples": len(used.samples),
        "classes": len(set(used.labels.tolist())),
        "fingerprint": files.fingerprint(found),
    }
    state.save_json(run, "extraction.json", summary)
    state.write(run.output / gallery.LISTING, json.dumps(found).encode())
    tracking.progress(
        1, 1, f"{len(used.samples)} of {len(recording.samples)} samples in use, all of them valid"
    )
    return summary


def _read(run: PipelineRun) -> tuple[Recording, files.Listing]:
    """Return the dataset, and how the files were found that it was read from.

    :raises DataError: if one of them came, went or was written meanwhile
    """
    source = run.dataset
    reader = reader_for(source.data_type)
    truth = ground_truth.locate(source.path, source.gt_path)
    there = reader.files(source.path, source.gt_path)
    before = files.stamps(there, truth)
    recording = reader.read(source, run.configuration)
    found = files.listing(there, truth)
    again = reader.files(files.afresh(source.path), source.gt_path)
    after = files.stamps(again, files.afresh(truth))
    changed = {name or truth.name for name, _ in before.items() ^ after.items()}
    if changed:
        raise DataError([f"{name!r} was changed while the dataset was read" for name in sorted(changed)])
    return recording, found


def transform_data(run: PipelineRun) -> dict[str, Any]:
    """Turn the recording into features; what has to be fitted is fitted to the training samples."""
    recording = state.load_arrays(run, "recording.npz")
    made = features.extract(recording, run.configuration)
    arrays = {name: recording[name] for name in ("samples", "labels", "test")}
    if made.vocabulary is not None:
        arrays["vocabulary"] = made.vocabulary
    state.save_arrays(run, "features.npz", **arrays, features=made.values)
    summary: dict[str, Any] = {"features": made.values.shape[1], "method": made.method}
    if "offsets" in recording:
        summary["descriptors"] = _per_sample(np.diff(recording["offsets"]))
    state.save_json(run, "features.json", summary)
    tracking.progress(1, 1, f"{made.values.shape[1]} features: {made.method}")
    return summary


def load_data(run: PipelineRun) -> dict[str, Any]:
    """Write the training part and the held-out part to a file each."""
    arrays = state.load_arrays(run, "features.npz")
    test = arrays["test"]
    for name, chosen in (("train.npz", ~test), ("test.npz", test)):
        part = {key: arrays[key][chosen] for key in ("samples", "labels", "features")}
        state.save_arrays(run, name, **part)
    summary = {"train": int((~test).sum()), "test": int(test.sum())}
    tracking.progress(1, 1, f"{summary['train']} samples to train on, {summary['test']} held out")
    return summary


def validate_pipeline(run: PipelineRun) -> dict[str, Any]:
    """Check what training will rely on: finite features, no sample in both parts, every class in both.

    :raises DataError: naming what does not hold
    """
    train, test = state.load_arrays(run, "train.npz"), state.load_arrays(run, "test.npz")
    problems = []
    for name, part in (("training", train), ("held-out", test)):
        bad = part["samples"][~np.isfinite(part["features"]).all(axis=1)]
        problems += [f"{sample!r} in the {name} part has features that are not finite" for sample in bad]
        if len(set(part["samples"].tolist())) < len(part["samples"]):
            problems.append(f"a sample stands twice in the {name} part")
    both = set(train["samples"].tolist()) & set(test["samples"].tolist())
    problems += [f"{sample!r} is in the training and in the held-out part" for sample in sorted(both)]
    one_sided = set(train["labels"].tolist()) ^ set(test["labels"].tolist())
    problems += [f"class {label!r} is in one of the two parts only" for label in sorted(one_sided)]
    if problems:
        raise DataError(problems)
    tracking.progress(1, 1, "the two parts are sound and share no sample")
    return {"train": len(train["samples"]), "test": len(test["samples"])}


def generate_report(run: PipelineRun) -> dict[str, Any]:
    """Profile the dataset: counts, class balance, statistics of its features, plots, fingerprint."""
    from svops_plugin.pipelines import plots

    arrays = state.load_arrays(run, "features.npz")
    extraction, made = state.load_json(run, "extraction.json"), state.load_json(run, "features.json")
    values, labels, test = arrays["features"], arrays["labels"], arrays["test"]
    classes = sorted(set(labels.tolist()))
    profile = {
        "data_type": run.dataset.data_type,
        "samples_found": extraction["samples_found"],
        "samples": len(labels),
        "train": int((~test).sum()),
        "test": int(test.sum()),
        "balance": {
            label: {
                "train": int(((labels == label) & ~test).sum()),
                "test": int(((labels == label) & test).sum()),
            }
            for label in classes
        },
        "features": {**made, **_statistics(values)},
        "repeated_across_split": _repeated(values[~test], values[test]),
    }
    projection = plots.projection(values, labels, run.configuration.seed)
    paths = [
        state.write(run.output / "plots" / "class_balance.svg", plots.class_balance(profile["balance"])),
        state.write(run.output / "plots" / "projection.svg", projection),
        state.write_json(run.output / "profile.json", {**profile, "fingerprint": extraction["fingerprint"]}),
    ]
    for path in paths:
        tracking.log_artifact(path)
    state.save_json(run, "profile.json", profile)
    listed = {"listing": str(run.output / gallery.LISTING)}
    tracking.dataset_profile({**profile, **listed}, extraction["fingerprint"])
    tracking.progress(1, 1, f"{len(labels)} samples in {len(classes)} classes")
    return {"fingerprint": extraction["fingerprint"], "samples": len(labels), "classes": len(classes)}


def _statistics(values: npt.NDArray[Any]) -> dict[str, float | int]:
    return {
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "mean": float(values.mean()),
        "standard_deviation": float(values.std()),
        "constant": int((values.min(axis=0) == values.max(axis=0)).sum()),
    }


def _per_sample(counts: npt.NDArray[Any]) -> dict[str, float | int]:
    """Return how many local descriptors there are, in all and in a sample."""
    return {
        "total": int(counts.sum()),
        "fewest": int(counts.min()),
        "most": int(counts.max()),
        "mean": float(counts.mean()),
    }


def _repeated(train: npt.NDArray[Any], test: npt.NDArray[Any]) -> int:
    """Return how many held-out samples have exactly the features of a training sample."""
    known = {row.tobytes() for row in train}
    return sum(row.tobytes() in known for row in test)
