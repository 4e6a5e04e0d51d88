# SPDX-License-Identifier: MIT
"""Percentiles from the log-linear histograms of the contract, with their error.

A bucket is told by the value whose relative distance to both its ends is the
same: 2ab / (a + b).  With four buckets an octave that is at most 11.2 % off.
Below the first octave (4.1 us) all that is known is "less"; above the last
(1.07 s) "at least".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from operator import sub

ERROR = 0.12  # at most, between the first and the last bucket
COUNTER = 1 << 32  # counts wrap here


def grown(now: Sequence[int], before: Sequence[int]) -> list[int]:
    """Return how much each of as many counts grew; counts wrap at 2^32."""
    if now == before:
        return [0] * len(now)
    counts = list(map(sub, now, before))
    if min(counts, default=0) < 0:
        return [count % COUNTER for count in counts]
    return counts


def percentiles(
    counts: Sequence[int],
    bounds: Sequence[tuple[int, int]],
    shares: Sequence[float],
) -> list[float]:
    """Return the nearest-rank percentile for each share (0..1, growing), ns.

    `counts` holds at least one value.
    """
    passed = list(accumulate(counts))
    ranks = [-(-round(share * passed[-1] * 1e6) // 1_000_000) for share in shares]
    return [middle(bounds[bisect_left(passed, max(1, rank))]) for rank in ranks]


def middle(bound: tuple[int, int]) -> float:
    """Return the value that stands for a bucket, ns."""
    low, above = bound
    if low == 0:
        return above / 2
    if above > 1 << 40:  # the last bucket has no end
        return float(low)
    return 2.0 * low * above / (low + above)
