"""A dataset in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Recording:
    """A valid dataset, in the order of its sample names.

    :param samples: (n) names
    :param labels: (n) classes
    :param values: (n, columns) features; or (n, height, width) grey frames of 8 bits; or, with ``offsets``,
        (rows, 64) local descriptors of which ``offsets[i]`` to ``offsets[i + 1]`` belong to sample i
    :param positions: (rows, 2) places of the descriptors in their image, x and y, 0 to 1
    """

    samples: Array
    labels: Array
    values: Array
    offsets: Array | None = None
    positions: Array | None = None

    def take(self, indices: Sequence[int]) -> Recording:
        """Return the samples at these indices."""
        import numpy as np

        chosen = np.asarray(indices)
        if self.offsets is None:
            return Recording(self.samples[chosen], self.labels[chosen], self.values[chosen])
        lengths = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        rows = np.repeat(self.offsets[chosen] - offsets[:-1], lengths) + np.arange(offsets[-1])
        positions = None if self.positions is None else self.positions[rows]
        return Recording(self.samples[chosen], self.labels[chosen], self.values[rows], offsets, positions)

    def arrays(self) -> dict[str, Array]:
        """Return the fields that are there, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}
