"""Dividing samples into training and held-out part, and into folds.

Samples are put in the order of a hash of seed and name, so a split is the same whatever order they come in,
and on every machine and version of numpy; a dataset that grows keeps most of its split.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from svops_plugin.pipelines.errors import DataError


def by_class(samples: Sequence[str], labels: Sequence[str], seed: int) -> dict[str, list[int]]:
    """Return for each class, sorted, the indices of its samples in the order of their hashes."""
    classes: defaultdict[str, list[int]] = defaultdict(list)
    for index in sorted(range(len(samples)), key=lambda one: _hash(samples[one], seed)):
        classes[labels[index]].append(index)
    return dict(sorted(classes.items()))


def limit(samples: Sequence[str], labels: Sequence[str], most: int | None, seed: int) -> list[int]:
    """Return the indices, ascending, of at most ``most`` samples that keep the shares of the classes."""
    if most is None or len(samples) <= most:
        return list(range(len(samples)))
    ranked = [
        ((rank + 0.5) / len(members), index)
        for members in by_class(samples, labels, seed).values()
        for rank, index in enumerate(members)
    ]
    return sorted(index for _, index in sorted(ranked)[:most])


def held_out(
    samples: Sequence[str], labels: Sequence[str], *, test_size: float, folds: int, seed: int
) -> list[bool]:
    """Return for each sample whether it is held out of training; each class gives its ``test_size`` share.

    :raises DataError: naming each class that is too small to be in the held-out part and in every fold
    """
    chosen = [False] * len(samples)
    problems = []
    for label, members in by_class(samples, labels, seed).items():
        count = max(1, round(test_size * len(members)))
        if len(members) - count < folds:
            problems.append(
                f"class {label!r} has too few samples in use ({len(members)}) to hold {count} out and put "
                f"one into each of {folds} folds: add samples, or lower cv_folds or test_size"
            )
        for index in members[:count]:
            chosen[index] = True
    if problems:
        raise DataError(problems)
    return chosen


def fold_numbers(samples: Sequence[str], labels: Sequence[str], folds: int, seed: int) -> list[int]:
    """Return for each sample its fold, from 0; classes and sizes are even to within one sample."""
    numbers = [0] * len(samples)
    ordered = (index for members in by_class(samples, labels, seed).values() for index in members)
    for position, index in enumerate(ordered):
        numbers[index] = position % folds
    return numbers


def _hash(sample: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{sample}".encode()).digest()
