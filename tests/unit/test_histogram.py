"""Counts in ranges, and the percentiles that are read from them."""

from __future__ import annotations

import math
from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmtpd.histogram import SECONDS, SIZES, Histogram, percentile


def test_each_figure_is_counted_where_it_belongs() -> None:
    histogram = Histogram((1.0, 2.0))
    for figure in (0.0, 1.0, 1.5, 2.0, 2.1, 1e9):
        histogram.add(figure)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == pytest.approx(1e9 + 6.6)


@pytest.mark.parametrize("bounds", [SECONDS, SIZES])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted({*bounds})


@pytest.mark.parametrize(
    ("counts", "part", "figure"),
    [
        ([0, 0, 0], 0.5, None),
        ([4, 0, 0], 0.5, 0.5),
        ([4, 0, 0], 1.0, 1.0),
        ([0, 4, 0], 0.25, 1.25),
        ([2, 2, 0], 0.5, 1.0),
        ([2, 2, 0], 0.75, 1.5),
        ([0, 0, 4], 0.5, 2.0),
        ([1, 0, 3], 0.99, 2.0),
    ],
)
def test_percentile(counts: list[int], part: float, figure: float | None) -> None:
    assert percentile((1.0, 2.0), counts, part) == figure


def test_more_than_all_is_no_part() -> None:
    with pytest.raises(ValueError, match=r"1\.5 is beyond all"):
        percentile((1.0, 2.0), [1, 1, 1], 1.5)


@given(st.lists(st.floats(0.0001, 60), min_size=1), st.integers(1, 100))
def test_a_percentile_is_in_the_range_of_the_true_one(figures: list[float], part: int) -> None:
    histogram = Histogram(SECONDS)
    for figure in figures:
        histogram.add(figure)
    found = percentile(SECONDS, histogram.counts, part / 100)
    assert found is not None
    true = sorted(figures)[math.ceil(len(figures) * part / 100 - 1e-9) - 1]
    index = bisect_left(SECONDS, true)
    low = SECONDS[index - 1] if index else 0.0
    assert low <= found <= SECONDS[index] + 1e-9
