# SPDX-License-Identifier: MIT
"""The stated error holds for whatever was counted."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from vagus import abi
from vagus.percentile import ERROR, grown, percentiles

values = st.integers(1 << abi.HIST_MIN_SHIFT, (1 << 30) - 1)


def counted(numbers):
    counts = [0] * abi.HIST_BUCKETS
    for one in numbers:
        counts[abi.hist_bucket(one)] += 1
    return counts


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(values, min_size=1, max_size=300), st.floats(0.01, 1.0))
def test_percentile_is_within_the_stated_error(numbers, share):
    exact = sorted(numbers)[max(1, math.ceil(round(share * len(numbers), 6))) - 1]
    (told,) = percentiles(counted(numbers), abi.hist_bounds_ns(), [share])
    assert abs(told - exact) <= ERROR * exact


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3))
def test_counts_that_wrap_still_grow(start):
    now = [(one + 7) % 2**32 for one in start]
    assert grown(now, start) == [7, 7, 7]


def test_ends_are_told_as_what_is_known():
    bounds = abi.hist_bounds_ns()
    assert percentiles(counted([5]), bounds, [0.5]) == [2048.0]
    assert percentiles(counted([1 << 40]), bounds, [0.5]) == [float(1 << 30)]


def test_p50_and_p99_in_one_walk():
    numbers = [10_000] * 98 + [1_000_000] * 2
    p50, p99 = percentiles(counted(numbers), abi.hist_bounds_ns(), [0.5, 0.99])
    assert abs(p50 - 10_000) <= 1_200
    assert abs(p99 - 1_000_000) <= 120_000
