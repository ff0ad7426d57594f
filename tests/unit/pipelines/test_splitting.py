from __future__ import annotations

from collections import Counter

import pytest

from svops_plugin.pipelines import splitting
from svops_plugin.pipelines.errors import DataError

SAMPLES = [f"s{number}" for number in range(200)]
LABELS = ["rare" if number % 10 == 0 else "common" for number in range(200)]


def split(samples, labels, **options):
    chosen = splitting.held_out(samples, labels, **{"test_size": 0.25, "folds": 5, "seed": 1, **options})
    return {sample for sample, is_chosen in zip(samples, chosen, strict=True) if is_chosen}


def test_each_class_gives_its_share():
    counts = Counter(LABELS[SAMPLES.index(sample)] for sample in split(SAMPLES, LABELS))
    assert counts == {"rare": 5, "common": 45}


def test_the_split_does_not_depend_on_the_order_of_the_samples():
    assert split(SAMPLES, LABELS) == split(SAMPLES[::-1], LABELS[::-1])


def test_the_split_is_the_same_on_every_machine():
    assert sorted(split(SAMPLES[:20], ["a", "b"] * 10, folds=2)) == ["s0", "s15", "s17", "s6"]


def test_another_seed_gives_another_split():
    assert split(SAMPLES, LABELS) != split(SAMPLES, LABELS, seed=2)


def test_a_class_that_is_too_small_is_named():
    with pytest.raises(
        DataError, match=r"class 'c' has too few samples in use \(4\).*lower cv_folds"
    ) as caught:
        split([*SAMPLES, "x1", "x2", "x3", "x4"], [*LABELS, "c", "c", "c", "c"])
    assert len(caught.value.problems) == 1


def test_a_limit_keeps_the_shares_of_the_classes():
    kept = splitting.limit(SAMPLES, LABELS, 50, seed=1)
    assert kept == sorted(kept)
    assert Counter(LABELS[index] for index in kept) == {"rare": 5, "common": 45}


@pytest.mark.parametrize("most", [None, 200, 1000])
def test_a_limit_that_is_not_reached_keeps_all(most):
    assert splitting.limit(SAMPLES, LABELS, most, seed=1) == list(range(200))


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_are_even_in_size_and_classes(folds: int):
    numbers = splitting.fold_numbers(SAMPLES, LABELS, folds, seed=1)
    for group in (
        Counter(numbers),
        Counter(n for n, label in zip(numbers, LABELS, strict=True) if label == "rare"),
    ):
        assert set(group) == set(range(folds))
        assert max(group.values()) - min(group.values()) <= 1
