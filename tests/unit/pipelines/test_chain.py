from __future__ import annotations

import hashlib
import json
from pathlib import Path

import joblib
import numpy as np
import pytest

from svops_plugin.domain.entities import DataType
from svops_plugin.pipelines import tracking
from svops_plugin.pipelines.errors import DataError, PerformanceError, PipelineError, StateError
from svops_plugin.pipelines.readers import reader_for
from svops_plugin.pipelines.run import PipelineRun
from svops_plugin.pipelines.steps import STEPS, run_step

TYPES = [kind.value for kind in DataType]
SMALL = {"test_size": 0.25, "cv_folds": 2, "min_accuracy": 0}


class Recorder(tracking.LoggingTracker):
    def __init__(self) -> None:
        self.metrics: dict[tuple[str, int | None], float] = {}
        self.artifacts: dict[str, Path] = {}
        self.messages: list[tuple[int, int, str]] = []
        self.profiles: list[tuple[dict, str]] = []

    def log_metric(self, name, value, step):
        self.metrics[name, step] = value

    def log_artifact(self, path, name, media_type):
        assert media_type
        assert name not in self.artifacts or self.artifacts[name] == path
        self.artifacts[name] = path

    def progress(self, done, total, message):
        self.messages.append((done, total, message))

    def dataset_profile(self, profile, fingerprint):
        self.profiles.append((profile, fingerprint))


def arrays(run: PipelineRun, name: str) -> dict[str, np.ndarray]:
    with np.load(run.work / name, allow_pickle=False) as content:
        return dict(content)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("data_type", TYPES)
def test_the_chain_runs_on_every_type_and_leaves_what_it_says(samples, make_run, chain, tmp_path, data_type):
    recorder = Recorder()
    run = make_run(samples[data_type], video_output=str(tmp_path / "video"), ini={"report": {"title": "T"}})
    with tracking.use(recorder):
        result = chain(run)

    assert result["metrics"]["accuracy"] >= 0.85
    assert json.loads(json.dumps(result)) == result
    assert recorder.metrics["accuracy", None] == result["metrics"]["accuracy"]
    assert {step for name, step in recorder.metrics if name == "cv_accuracy"} == {0, 1}
    for key in ("report", "model", "video"):
        assert Path(result[key]).is_file()
    assert {"report.html", "metrics.json", "profile.json", "model.joblib", "manifest.json"} <= set(
        recorder.artifacts
    )
    confused = json.loads(recorder.artifacts["confusion_matrix.json"].read_bytes())
    assert confused["labels"] == [str(digit) for digit in range(10)]
    right = sum(row[index] for index, row in enumerate(confused["matrix"]))
    assert right / sum(map(sum, confused["matrix"])) == result["metrics"]["accuracy"]
    assert recorder.messages[-1][2].startswith("report written; accuracy 0.")
    ((profile, fingerprint),) = recorder.profiles
    assert fingerprint == result["fingerprint"]
    assert (profile["samples"], profile["samples_found"]) == (300, 1797)
    assert profile["listing"] == str(run.output / "dataset_files.json")
    if data_type == "Surf":
        counts = profile["features"]["descriptors"]
        assert 0 < counts["fewest"] <= counts["mean"] == counts["total"] / 300 <= counts["most"]
    else:
        assert "descriptors" not in profile["features"]
    assert sum(part["train"] for part in profile["balance"].values()) == profile["train"]


@pytest.mark.parametrize("data_type", TYPES)
@pytest.mark.parametrize("preset", ["release", "debug"])
def test_held_out_digits_are_recognised(samples, make_run, chain, preset, data_type):
    assert chain(make_run(samples[data_type], preset=preset), until="evaluate_model")["accuracy"] >= 0.95


@pytest.mark.parametrize("data_type", TYPES)
def test_the_same_seed_and_data_give_the_same_in_another_place(tiny, make_run, chain, tmp_path, data_type):
    dataset = tiny(data_type)
    first, second = (make_run(dataset, conf=SMALL, output=name) for name in ("first", "second"))
    result = chain(first)
    dataset.path = dataset.path.rename(tmp_path / "moved")
    dataset.gt_path = dataset.path / "labels.csv"
    moved = make_run(dataset, conf=SMALL, output="second")
    assert chain(moved)["metrics"] == result["metrics"]
    assert contents(first.work) == contents(second.work)
    assert contents(first.output / "plots") == contents(second.output / "plots")


def test_another_seed_gives_another_split(tiny, make_run, chain):
    dataset = tiny("Vector")
    held_out = []
    for seed in (1, 2):
        run = make_run(dataset, conf={**SMALL, "seed": seed}, output=f"seed {seed}")
        chain(run, until="load_data")
        held_out.append(set(arrays(run, "test.npz")["samples"]))
    assert held_out[0] != held_out[1]


def test_a_step_that_is_run_again_overwrites_its_own_outputs_only(tiny, make_run, chain, tmp_path):
    run = make_run(tiny("Surf"), conf=SMALL, video_output=str(tmp_path / "video"))
    chain(run)
    other = run.output / "somebody else's.txt"
    other.write_text("untouched")
    before = contents(run.output) | contents(tmp_path / "video")
    for dag_id, steps in STEPS.items():
        for step in steps:
            run_step(dag_id, step, run)
            run_step(dag_id, step, run)
    after = contents(run.output) | contents(tmp_path / "video")
    del before["report.html"], after["report.html"]  # it tells when it was written
    assert after == before


def test_a_step_that_fails_leaves_nothing_half_written(tiny, make_run, chain, monkeypatch):
    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run, until="transform_data")
    before = contents(run.output)

    def full(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space left"):
            run_step("data_processing_pipeline", "transform_data", run)
    assert contents(run.output) == before


@pytest.mark.parametrize("data_type", TYPES)
def test_the_parts_are_stratified_and_share_no_sample(tiny, make_run, chain, data_type):
    run = make_run(tiny(data_type), conf=SMALL)
    chain(run, until="validate_pipeline")
    train, test = arrays(run, "train.npz"), arrays(run, "test.npz")
    assert not set(train["samples"]) & set(test["samples"])
    assert len(train["samples"]) + len(test["samples"]) == 60
    assert set(train["labels"]) == set(test["labels"])


def test_held_out_descriptors_have_no_part_in_the_visual_words(tiny, make_run, chain):
    dataset = tiny("Surf")
    run = make_run(dataset, conf=SMALL)
    chain(run, until="load_data")
    before = arrays(run, "features.npz")
    for sample in arrays(run, "test.npz")["samples"]:
        with np.load(dataset.path / sample) as content:
            kept = dict(content)
        np.savez(dataset.path / sample, **{**kept, "descriptors": -kept["descriptors"]})
    chain(run, until="load_data")
    after = arrays(run, "features.npz")
    assert np.array_equal(before["vocabulary"], after["vocabulary"])
    assert not np.array_equal(before["features"], after["features"])
    training = ~after["test"]
    assert np.array_equal(before["features"][training], after["features"][training])


def test_the_state_between_steps_is_never_pickled(tiny, make_run, chain):
    run = make_run(tiny("Surf"), conf=SMALL)
    chain(run)
    written = list(run.output.rglob("*.npz"))
    assert len(written) >= 6
    for path in written:
        with np.load(path, allow_pickle=False) as content:
            assert all(not content[name].dtype.hasobject for name in content)


def test_bad_data_fail_the_first_step(tiny, make_run):
    dataset = tiny("Jetson")
    (dataset.path / "digit-0001.png").unlink()
    with pytest.raises(DataError, match=r"'digit-0001\.png' is labelled, but there are no data of it"):
        run_step("data_processing_pipeline", "extract_data", make_run(dataset))
    assert not list(dataset.path.parent.glob("output/**/*"))


@pytest.mark.parametrize("data_type", TYPES)
@pytest.mark.parametrize("name", ["data", "labels.csv", "added"])
def test_data_that_change_while_they_are_read_are_refused(tiny, make_run, monkeypatch, data_type, name):
    dataset = tiny(data_type)
    reader = reader_for(data_type)
    first = min(reader.files(dataset.path, dataset.gt_path))
    changed = {"data": first.path, "labels.csv": dataset.gt_path}.get(
        name, dataset.path / f"new{first.path.suffix}"
    )
    read = type(reader).read

    def overtaken(self, source, config):
        recording = read(self, source, config)
        changed.write_bytes(first.path.read_bytes() + b"\0")
        return recording

    monkeypatch.setattr(type(reader), "read", overtaken)
    with pytest.raises(DataError, match=f"^'{changed.name}' was changed while the dataset was read$"):
        run_step("data_processing_pipeline", "extract_data", make_run(dataset, conf=SMALL))
    assert not list(dataset.path.parent.glob("output/**/*"))


def test_a_class_too_small_for_the_folds_fails_the_first_step(tiny, make_run):
    dataset = tiny("Vector")
    labels = dataset.labels()
    dataset.write_labels([*labels[:-1], (labels[-1][0], "odd one")])
    with pytest.raises(DataError, match="class 'odd one' has too few samples in use"):
        run_step("data_processing_pipeline", "extract_data", make_run(dataset))


def test_a_class_that_the_limit_leaves_out_is_named(tiny, make_run):
    dataset = tiny("Vector")
    labels = dataset.labels()
    dataset.write_labels(
        [(sample, "odd" if index < 1 else "even") for index, (sample, _) in enumerate(labels)]
    )
    with pytest.raises(DataError, match="max_samples 20 leaves none of class 'odd'"):
        run_step("data_processing_pipeline", "extract_data", make_run(dataset, conf={"max_samples": 20}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda part: part["features"].__setitem__((0, 0), np.nan), "features that are not finite"),
        (
            lambda part: part["samples"].__setitem__(0, part["samples"][1]),
            "stands twice in the held-out part",
        ),
        (
            lambda part: part["samples"].__setitem__(0, "digit-0000"),
            "is in the training and in the held-out part",
        ),
        (lambda part: part["labels"].__setitem__(slice(None), "0"), "is in one of the two parts only"),
    ],
)
def test_unsound_parts_do_not_reach_training(tiny, make_run, chain, damage, message):
    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run, until="load_data")
    assert "digit-0000" in arrays(run, "train.npz")["samples"]
    part = arrays(run, "test.npz")
    damage(part)
    np.savez(run.work / "test.npz", **part)
    with pytest.raises(DataError, match=message):
        run_step("data_processing_pipeline", "validate_pipeline", run)


def test_samples_repeated_across_the_split_are_counted(tiny, make_run, chain):
    dataset = tiny("Vector")
    table = dataset.path / "digits.csv"
    lines = table.read_text().splitlines()
    copies = [line.replace("digit-", "copy-", 1) for line in lines[1:]]
    table.write_text("\n".join([*lines, *copies]))
    labels = dataset.labels()
    dataset.write_labels([*labels, *((sample.replace("digit", "copy"), label) for sample, label in labels)])
    run = make_run(dataset, conf=SMALL)
    chain(run)
    assert json.loads((run.output / "profile.json").read_text())["repeated_across_split"] > 5
    assert "have exactly the features of a training sample" in (run.output / "report.html").read_text()


@pytest.mark.parametrize(
    ("dag_id", "step", "missing"),
    [
        ("data_processing_pipeline", "transform_data", "recording.npz is missing; run extract_data first"),
        ("ml_training_pipeline", "prepare_training_data", "train.npz is missing; run load_data first"),
        ("ml_training_pipeline", "evaluate_model", "model.joblib is missing; run train_model first"),
        ("simple_workflow_example", "start_workflow", "extraction.json is missing; run extract_data first"),
    ],
)
def test_a_step_without_its_input_names_the_step_to_run(tiny, make_run, dag_id, step, missing):
    with pytest.raises(StateError, match=missing):
        run_step(dag_id, step, make_run(tiny("Vector")))


def test_damaged_state_names_the_step_to_run(tiny, make_run, chain):
    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run, until="load_data")
    (run.work / "features.npz").write_bytes(b"PK damaged")
    (run.work / "extraction.json").write_bytes(b"{")
    with pytest.raises(StateError, match=r"features.npz is damaged .*; run transform_data again"):
        run_step("data_processing_pipeline", "load_data", run)
    (run.work / "features.npz").unlink()
    chain(run, until="load_data")
    (run.work / "extraction.json").write_bytes(b"{")
    with pytest.raises(StateError, match=r"extraction.json is damaged .*; run extract_data again"):
        run_step("data_processing_pipeline", "generate_report", run)


# Training


def test_a_model_below_the_asked_accuracy_is_refused(tiny, make_run, chain):
    dataset = tiny("Vector")
    labels = dataset.labels()
    dataset.write_labels([(sample, str(index % 2)) for index, (sample, _) in enumerate(labels)])
    run = make_run(dataset, conf={**SMALL, "min_accuracy": 1})
    chain(run, until="evaluate_model")
    with pytest.raises(
        PerformanceError, match=r"is 0\.\d+, below the min_accuracy 1 .*'[01]' taken for '[01]' \d+ times"
    ):
        run_step("ml_training_pipeline", "validate_model_performance", run)


def test_parameters_that_do_not_fit_the_data_are_a_clear_error(tiny, make_run, chain):
    conf = {**SMALL, "estimator": "knn", "params": {"n_neighbors": 500}}
    with pytest.raises(PipelineError, match=r"knn cannot predict these data: .*n_neighbors"):
        chain(make_run(tiny("Vector"), conf=conf), until="train_model")


def test_a_fold_is_judged_by_a_model_that_has_not_seen_it(tiny, make_run, chain):
    dataset = tiny("Vector")
    dataset.write_labels([(sample, str(index % 2)) for index, (sample, _) in enumerate(dataset.labels())])
    by_heart = {**SMALL, "estimator": "knn", "params": {"n_neighbors": 1}}
    run = make_run(dataset, conf=by_heart)
    chain(run, until="train_model")
    folds = json.loads((run.work / "cross_validation.json").read_text())["folds"]
    assert all(fold["accuracy"] < 0.9 for fold in folds)


def test_what_scikit_learn_warns_of_is_in_the_report(tiny, make_run, chain):
    conf = {**SMALL, "estimator": "mlp", "params": {"max_iter": 1, "hidden_layer_sizes": [4]}}
    run = make_run(tiny("Vector"), conf=conf)
    chain(run)
    assert "Maximum iterations" in (run.output / "report.html").read_text()


def test_a_model_that_another_wrote_is_not_loaded(tiny, make_run, chain, tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    run = make_run(tiny("Vector"), conf=SMALL)
    chain(run, until="train_model")
    joblib.dump(Trap(), run.work / "model.joblib")
    for step in ("evaluate_model", "save_model_artifacts"):
        with pytest.raises(StateError, match="not the file that train_model wrote"):
            run_step("ml_training_pipeline", step, run)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("estimator", ["svc", "logistic_regression", "random_forest", "knn", "mlp"])
def test_every_estimator_learns_digits(samples, make_run, chain, estimator):
    run = make_run(samples["Vector"], conf={"estimator": estimator, "max_samples": 600})
    chain(run, until="evaluate_model")
    assert json.loads((run.work / "evaluation.json").read_text())["accuracy"] > 0.85


def test_figures_agree_with_the_predictions(tiny, make_run, chain):
    run = make_run(tiny("Jetson"), conf=SMALL)
    summary = chain(run, until="evaluate_model")
    evaluation = json.loads((run.work / "evaluation.json").read_text())
    made = arrays(run, "predictions.npz")
    right = made["labels"] == made["predicted"]
    assert summary["accuracy"] == right.mean()
    assert evaluation["errors"] == (~right).sum()
    matrix = np.array(evaluation["confusion_matrix"])
    names = [one["label"] for one in evaluation["classes"]]
    for true, taken in np.ndindex(matrix.shape):
        pairs = (made["labels"] == names[true]) & (made["predicted"] == names[taken])
        assert matrix[true, taken] == pairs.sum()
    for number, one in enumerate(evaluation["classes"]):
        assert one["support"] == matrix[number].sum()
        assert one["recall"] == pytest.approx(matrix[number, number] / matrix[number].sum())
    assert summary["macro_f1"] == pytest.approx(np.mean([one["f1"] for one in evaluation["classes"]]))


def test_the_saved_model_can_be_used_with_what_lies_beside_it(tiny, make_run, chain):
    run = make_run(tiny("Surf"), conf=SMALL)
    chain(run)
    folder = run.output / "model"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["files"] == {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("model.joblib", "vocabulary.npz")
    }
    assert manifest["provenance"]["commit_id"] == "3f2a9c1"
    assert manifest["versions"]["scikit-learn"]
    made = arrays(run, "predictions.npz")
    numbers = joblib.load(folder / "model.joblib").predict(arrays(run, "test.npz")["features"])
    assert [manifest["classes"][number] for number in numbers] == made["predicted"].tolist()
