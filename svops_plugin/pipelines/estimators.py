"""The estimators a build configuration can name, and what each of their hyper-parameters may be.

A table, so that a configuration is checked without importing scikit-learn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """What the value of one setting may be: one of ``choices``, or a number between the bounds.

    :param kind: the type of number that is accepted; none if only ``choices`` are
    :param low: the least number (not itself allowed if ``above_low``)
    :param high: the greatest number
    :param choices: words, or none, that are accepted as they are
    :param many: a list of 1 to 10 such numbers is accepted, and nothing else
    """

    kind: type[int] | type[float] | None = None
    low: float = -math.inf
    high: float = math.inf
    above_low: bool = False
    choices: tuple[str | None, ...] = ()
    many: bool = False

    def parse(self, value: object) -> Any:
        """Return the value as the estimator wants it.

        :raises ValueError: with what would be right
        """
        if self.many:
            if isinstance(value, (list, tuple)) and 1 <= len(value) <= 10:  # noqa: PLR2004
                return tuple(self._number(item) for item in value)
            raise ValueError(f"must be {self.describe()}, not {value!r:.80}")
        if isinstance(value, (str, type(None))) and value in self.choices:
            return value
        return self._number(value)

    def _number(self, value: object) -> int | float:
        accepted = (int, float) if self.kind is float else (int,)
        if self.kind is None or isinstance(value, bool) or not isinstance(value, accepted):
            raise ValueError(f"must be {self.describe()}, not {value!r:.80}")
        in_range = self.low <= value <= self.high and not (self.above_low and value == self.low)
        if not in_range or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"must be {self.describe()}, not {value!r:.80}")
        return self.kind(value)

    def describe(self) -> str:
        """Return what is accepted, as the end of a sentence that begins with "must be"."""
        options = ["null" if choice is None else f'"{choice}"' for choice in self.choices]
        if self.kind is not None:
            noun = "whole number" if self.kind is int else "number"
            limits = []
            if math.isfinite(self.low):
                limits.append(f"{'above' if self.above_low else 'at least'} {self.low:.12g}")
            if math.isfinite(self.high):
                limits.append(f"at most {self.high:.12g}")
            number = f"a list of 1 to 10 {noun}s" if self.many else f"a {noun}"
            options.insert(0, " ".join([number, " and ".join(limits)]).strip())
        return " or ".join(options)


@dataclass(frozen=True)
class Estimator:
    """A classifier of scikit-learn.

    :param path: module and class, as ``module:Class``
    :param parameters: the hyper-parameters a build configuration may set
    :param scaled: whether features have to be standardised first
    :param seeded: whether it takes a ``random_state``
    """

    path: str
    parameters: Mapping[str, Parameter]
    scaled: bool = True
    seeded: bool = False


_BALANCED = Parameter(choices=("balanced", None))
_ITERATIONS = Parameter(int, 1, 100_000)
_POSITIVE = Parameter(float, 0, 1e9, above_low=True)

ESTIMATORS: Mapping[str, Estimator] = {
    "svc": Estimator(
        "sklearn.svm:SVC",
        {
            "C": _POSITIVE,
            "kernel": Parameter(choices=("linear", "poly", "rbf", "sigmoid")),
            "gamma": Parameter(float, 0, 1e9, above_low=True, choices=("scale", "auto")),
            "degree": Parameter(int, 1, 10),
            "coef0": Parameter(float, -1e9, 1e9),
            "tol": _POSITIVE,
            "class_weight": _BALANCED,
        },
    ),
    "logistic_regression": Estimator(
        "sklearn.linear_model:LogisticRegression",
        {"C": _POSITIVE, "max_iter": _ITERATIONS, "tol": _POSITIVE, "class_weight": _BALANCED},
        seeded=True,
    ),
    "random_forest": Estimator(
        "sklearn.ensemble:RandomForestClassifier",
        {
            "n_estimators": Parameter(int, 1, 10_000),
            "max_depth": Parameter(int, 1, 10_000, choices=(None,)),
            "max_features": Parameter(float, 0, 1, above_low=True, choices=("sqrt", "log2", None)),
            "min_samples_leaf": Parameter(int, 1, 1_000_000),
            "min_samples_split": Parameter(int, 2, 1_000_000),
            "criterion": Parameter(choices=("gini", "entropy", "log_loss")),
            "class_weight": _BALANCED,
        },
        scaled=False,
        seeded=True,
    ),
    "knn": Estimator(
        "sklearn.neighbors:KNeighborsClassifier",
        {
            "n_neighbors": Parameter(int, 1, 10_000),
            "weights": Parameter(choices=("uniform", "distance")),
            "metric": Parameter(choices=("minkowski", "euclidean", "manhattan", "chebyshev", "cosine")),
            "p": Parameter(float, 1, 100),
        },
    ),
    "mlp": Estimator(
        "sklearn.neural_network:MLPClassifier",
        {
            "hidden_layer_sizes": Parameter(int, 1, 10_000, many=True),
            "activation": Parameter(choices=("identity", "logistic", "tanh", "relu")),
            "alpha": Parameter(float, 0, 1e9),
            "learning_rate_init": Parameter(float, 0, 10, above_low=True),
            "batch_size": Parameter(int, 1, 1_000_000, choices=("auto",)),
            "max_iter": _ITERATIONS,
        },
        seeded=True,
    ),
}
