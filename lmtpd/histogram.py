"""Histogram: how often a figure lay in which range, as Prometheus counts it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

SECONDS = tuple(float(f"{step}e{power}") for power in range(-4, 2) for step in (1, 1.5, 2, 3, 5, 7))
"""Bounds for what takes time: 0.1 ms to 70 s, so close that a percentile can be read from them."""
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
"""Bounds for how many go together."""


class Histogram:
    """Counts for ranges that end at bounds.

    There is no lock: where two threads count at one moment, one of the counts may be lost.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Nothing was seen yet.

        Args:
            bounds: the largest figure of each range but the last, which has no end.
        """
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        """Of all figures."""

    def add(self, figure: float) -> None:
        """One more was seen."""
        self.counts[bisect_left(self.bounds, figure)] += 1
        self.total += figure


def percentile(bounds: Sequence[float], counts: Sequence[int], part: float) -> float | None:
    """A figure that this part of all does not exceed; within its range it is estimated.

    Args:
        bounds: as those of a Histogram.
        counts: as those of a Histogram.
        part: between 0 and 1.

    Returns:
        None if nothing was seen. In the last range its beginning.

    Raises:
        ValueError: the part is larger than 1.
    """
    wanted, seen = part * sum(counts), 0
    if not wanted:
        return None
    for index, count in enumerate(counts):
        if count and seen + count >= wanted:
            low = bounds[index - 1] if index else 0.0
            high = bounds[index] if index < len(bounds) else low
            return low + (high - low) * (wanted - seen) / count
        seen += count
    raise ValueError(f"{part} is beyond all of them")
