from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from svops_plugin.pipelines.configuration import BuildConfig, ConfigurationError, presets, resolve
from svops_plugin.pipelines.estimators import ESTIMATORS, Parameter
from svops_plugin.pipelines.training import make_estimator


def test_without_a_name_the_release_preset_is_meant():
    assert resolve(None).preset == resolve("").preset == "release"
    assert resolve("release").max_samples is None


def test_the_three_presets_get_smaller():
    release, debug, smallest = (resolve(name) for name in ("release", "debug", "test-config-e2e"))
    assert release.cv_folds > debug.cv_folds > smallest.cv_folds
    assert debug.max_samples > smallest.max_samples


def test_custom_conf_is_merged_over_the_preset():
    config = resolve(
        "release",
        customized=True,
        custom_conf={"params": {"C": 3}, "test_size": 0.2, "cv_folds": 4, "seed": 9},
        custom_ini={"report": {"title": "Line 4"}, "own": {"Key": 1, "flag": True}},
    )
    assert config.params == {"C": 3.0, "kernel": "rbf", "gamma": "scale"}
    assert (config.test_size, config.cv_folds, config.seed) == (0.2, 4, 9)
    assert config.ini == {"report": {"title": "Line 4"}, "own": {"Key": "1", "flag": "true"}}
    assert json.loads(json.dumps(config.as_dict()))["estimator"] == "svc"


def test_another_estimator_drops_the_params_of_the_preset():
    config = resolve("release", customized=True, custom_conf={"estimator": "knn", "params": {"p": 1}})
    assert config.params == {"p": 1.0}


def test_custom_conf_does_not_count_unless_customized():
    config = resolve("debug", custom_conf={"seed": 99}, custom_ini={"a": {"b": "c"}})
    assert config == resolve("debug")


def test_custom_conf_is_checked_even_where_it_does_not_count():
    with pytest.raises(ConfigurationError, match="unknown setting"):
        resolve("debug", custom_conf={"sed": 99})
    with pytest.raises(ConfigurationError, match="on one line"):
        resolve("debug", custom_ini={"a": {"b": None}})


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(
        ConfigurationError, match="'nightly'; known: debug, release, test-config-e2e"
    ) as caught:
        resolve("nightly")
    assert caught.value.field == "build_config"


def test_a_preset_is_never_looked_up_as_a_path():
    with pytest.raises(ConfigurationError, match="unknown preset"):
        resolve("../presets/debug")


@pytest.mark.parametrize(
    ("conf", "field", "message"),
    [
        ({"estimator": "svm"}, "estimator", '"svc" or "logistic_regression"'),
        ({"estimator": None}, "estimator", "must be"),
        ({"estimator": ["svc"]}, "estimator", "must be"),
        ({"params": {"c": 1}}, "params.c", "unknown hyper-parameter of svc; known: C, "),
        ({"params": {"C": "1"}}, "params.C", "must be a number above 0"),
        ({"params": {"C": True}}, "params.C", "not True"),
        ({"params": {"C": 0}}, "params.C", "not 0"),
        ({"params": {"C": -1.0}}, "params.C", "not -1.0"),
        ({"params": {"C": float("nan")}}, "params.C", "not nan"),
        ({"params": {"C": float("inf")}}, "params.C", "not inf"),
        ({"params": {"C": 10**400}}, "params.C", "at most"),
        ({"params": {"gamma": "auto "}}, "params.gamma", '"scale" or "auto"'),
        ({"params": {"degree": 2.0}}, "params.degree", "whole number"),
        ({"params": ["C"]}, "params", "must be an object"),
        ({"params": None}, "params", "must be an object"),
        ({"estimator": "mlp", "params": {"hidden_layer_sizes": 5}}, "params.hidden_layer_sizes", "list"),
        ({"estimator": "mlp", "params": {"hidden_layer_sizes": []}}, "params.hidden_layer_sizes", "list"),
        (
            {"estimator": "mlp", "params": {"hidden_layer_sizes": [5, 0]}},
            "params.hidden_layer_sizes",
            "not 0",
        ),
        ({"test_size": 0.9}, "test_size", "at most 0.5"),
        ({"test_size": False}, "test_size", "not False"),
        ({"cv_folds": 1}, "cv_folds", "at least 2"),
        ({"cv_folds": 2.5}, "cv_folds", "whole number"),
        ({"seed": -1}, "seed", "at least 0"),
        ({"max_samples": 3}, "max_samples", "at least 20"),
        ({"min_accuracy": 1.1}, "min_accuracy", "at most 1"),
        ({"folds": 3}, "folds", "known: cv_folds, estimator"),
        ({"seed": 2**32}, "seed", "must be a whole number at least 0 and at most 4294967295, not"),
        ({"max_samples": 10**8}, "max_samples", "at most 10000000 or null, not"),
        (
            {"estimator": "mlp", "params": {"hidden_layer_sizes": [0.5]}},
            "params.hidden_layer_sizes",
            "must be a list of 1 to 10 whole numbers at least 1 and at most 10000, not 0.5",
        ),
    ],
)
def test_bad_custom_conf_names_the_field(conf, field, message):
    with pytest.raises(ConfigurationError) as caught:
        resolve("release", customized=True, custom_conf=conf)
    assert caught.value.field == f"build_config_custom_conf.{field}"
    assert message in str(caught.value)


def test_custom_conf_must_be_an_object():
    with pytest.raises(ConfigurationError, match="must be an object"):
        resolve("release", custom_conf=[1])


def test_a_team_adds_presets_and_replaces_bundled_ones(tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, seed in ((first, 1), (second, 2)):
        folder.mkdir()
        (folder / "nightly.toml").write_text(f'estimator = "random_forest"\nseed = {seed}\n')
    (second / "debug.toml").write_text('estimator = "knn"\n')
    assert sorted(presets([first, second])) == ["debug", "nightly", "release", "test-config-e2e"]
    assert resolve("nightly", preset_dirs=[first, second]).seed == 2
    assert resolve("debug", preset_dirs=[first, second]).estimator == "knn"
    assert resolve("debug", preset_dirs=[first]).estimator == "svc"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("estimator = ", "cannot be read"),
        ("seed = 1", "names no estimator"),
        ('estimator = "svc"\n[params]\nC = true', "preset.params.C: must be a number"),
        ('estimator = "svc"\nseed = 2024-01-01', "preset.seed: must be a whole number"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_broken_preset_names_its_file(tmp_path: Path, content, message):
    (tmp_path / "mine.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as caught:
        resolve("mine", preset_dirs=[tmp_path])
    assert caught.value.field == "build_config"
    assert "mine.toml" in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_folder_of_presets_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="none does not exist"):
        resolve("debug", preset_dirs=[tmp_path / "none"])


@pytest.mark.parametrize("name", ESTIMATORS)
def test_each_declared_hyper_parameter_exists_in_scikit_learn(name: str):
    module, class_name = ESTIMATORS[name].path.split(":")
    known = getattr(import_module(module), class_name)().get_params()
    assert set(ESTIMATORS[name].parameters) <= set(known)
    assert ESTIMATORS[name].seeded is False or "random_state" in known


def accepted(parameter: Parameter) -> list[object]:
    values: list[object] = list(parameter.choices)
    if parameter.kind is not None:
        least = parameter.low + (0.5 if parameter.above_low else 0)
        number = max(parameter.kind(least), parameter.kind(1) if parameter.kind is int else least)
        values.append([number] if parameter.many else number)
    return values


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "parameter", "value"),
    [
        (name, parameter, value)
        for name, estimator in ESTIMATORS.items()
        for parameter, declared in estimator.parameters.items()
        for value in accepted(declared)
    ],
)
def test_scikit_learn_accepts_every_declared_choice_and_least_number(
    name: str, parameter: str, value: object
):
    fast = {"mlp": {"max_iter": 5}, "random_forest": {"n_estimators": 2}}.get(name, {})
    conf = {"estimator": name, "params": {**fast, parameter: value}}
    config = resolve("release", customized=True, custom_conf=conf)
    features = np.random.RandomState(0).normal(size=(40, 3)).clip(-2, 2)
    make_estimator(config).fit(features, features[:, 0] > 0)


def test_a_seeded_estimator_gets_the_seed():
    config = BuildConfig(preset="own", estimator="random_forest", params={}, seed=5)
    assert make_estimator(config).get_params()["random_forest__random_state"] == 5
