"""Features: numbers of the same count for every sample, whatever was recorded."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from svops_plugin.pipelines.configuration import BuildConfig

POSITION_WEIGHT = 2.0
FITTED_ROWS = 100_000

Array = npt.NDArray[Any]


class Features(NamedTuple):
    """What a model learns from.

    :param values: (n, columns)
    :param method: how they were made, in words
    :param vocabulary: (words, columns) centres of the visual words, if there are any; needed to describe
        further samples in the same way
    """

    values: npt.NDArray[np.float64]
    method: str
    vocabulary: Array | None = None


def extract(recording: dict[str, Array], config: BuildConfig) -> Features:
    """Return the features of all samples of a recording.

    :param recording: the fields of :class:`~svops_plugin.pipelines.recording.Recording`, and ``test``:
        whether each sample is held out. Whatever is fitted sees the other samples only
    """
    values = recording["values"]
    if "offsets" in recording:
        return _visual_words(recording, config)
    if values.ndim == 3:  # noqa: PLR2004
        size = f"{values.shape[1]} x {values.shape[2]}"
        return Features(_frames(values), f"{size} grey values, evened in contrast")
    return Features(values, "as recorded")


def _frames(frames: Array) -> npt.NDArray[np.float64]:
    """Return each frame's pixels with mean 0 and variance 1, so that light does not count."""
    pixels = frames.reshape(len(frames), -1).astype(float)
    pixels -= pixels.mean(axis=1, keepdims=True)
    deviation = pixels.std(axis=1, keepdims=True)
    normal: npt.NDArray[np.float64] = pixels / np.where(deviation > 0, deviation, 1)
    return normal


def _visual_words(recording: dict[str, Array], config: BuildConfig) -> Features:
    """Return how often each visual word stands in an image, as the square root of its share.

    A word is a centre of k-means over the training samples' descriptors (G. Csurka et al.: Visual
    Categorization with Bags of Keypoints, 2004). Where a descriptor stands, if known, is part of it
    (J. Sánchez et al.: Modeling the spatial layout of images beyond spatial pyramids, 2012). On roots of
    shares, Euclid's distance is Hellinger's.
    """
    from sklearn.cluster import MiniBatchKMeans  # type: ignore[import-untyped]

    rows, offsets = recording["values"], recording["offsets"]
    where = ""
    if "positions" in recording:
        rows = np.hstack([rows, POSITION_WEIGHT * (recording["positions"] - 0.5)])
        where = " with their places"
    image = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    training = rows[~recording["test"][image]]
    if len(training) > FITTED_ROWS:
        training = training[:: -(-len(training) // FITTED_ROWS)]
    words = min(config.vocabulary_size, len(training))
    model = MiniBatchKMeans(words, random_state=config.seed, n_init=1, batch_size=2048).fit(training)
    counts = np.zeros((len(offsets) - 1, words))
    np.add.at(counts, (image, model.predict(rows)), 1)
    shares = np.sqrt(counts / counts.sum(axis=1, keepdims=True))
    return Features(shares, f"shares of {words} visual words{where}", model.cluster_centers_)
