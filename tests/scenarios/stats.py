# SPDX-License-Identifier: MIT
"""Medians and their intervals, from plays that are made of seconds; pure.

A play is one arm in one boot.  An interval is a two-level bootstrap, over plays
and over the seconds in each, widened as Student's t is for few plays: what another
run of the same command is expected to give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 300
SEED = 1
COVER = 0.95
# Student's t over the normal's 1.96, two-sided 95 %, by plays; then nearly 1.
T95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
Z95 = 1.960

# What a second holds: any value; the statistic of a play knows what to do with it.
# It is given the seconds, and those that they are compared with where there are any.
Statistic = Callable[..., float]


@dataclass(frozen=True)
class Play:
    """The seconds of one arm in one boot, and how to make a number of them.

    `beside`: the seconds that they are compared with, which are as uncertain.
    """

    seconds: Sequence[object]
    statistic: Statistic
    beside: Sequence[object] = ()

    @property
    def value(self) -> float:
        """Return the number."""
        return self.statistic(*filter(None, (self.seconds, self.beside)))

    def drawn(self, dice: np.random.Generator) -> float:
        """Return the number of seconds drawn again with replacement."""
        again = [
            [some[int(i)] for i in dice.integers(len(some), size=len(some))]
            for some in (self.seconds, self.beside)
            if some
        ]
        return self.statistic(*again)


@dataclass(frozen=True)
class Interval:
    """A median over plays; lo and hi are NaN where nothing is known of its spread."""

    median: float
    lo: float
    hi: float
    n: int

    def overlaps(self, other: Interval) -> bool:
        """Tell whether two intervals have something in common; unknown ones do."""
        known = not any(map(math.isnan, (self.lo, self.hi, other.lo, other.hi)))
        return not known or (self.lo <= other.hi and other.lo <= self.hi)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; NaN where there is no value."""
    if not len(values):
        return math.nan
    ranked = np.sort(np.asarray(values, dtype=float))
    return float(ranked[max(0, math.ceil(len(ranked) * share) - 1)])


def widening(plays: int) -> float:
    """Return by how much few plays widen an interval."""
    if plays < 2:
        return 1.0
    t = T95[plays - 2] if plays - 2 < len(T95) else Z95 * (1 + 1 / plays)
    return t / Z95


def draws_of(plays: Sequence[Play], dice: np.random.Generator) -> list[float]:
    """Return the median over plays, drawn again and again with replacement."""
    medians = []
    for _ in range(DRAWS):
        picks = dice.integers(len(plays), size=len(plays))
        values = [plays[int(pick)].drawn(dice) for pick in picks]
        medians.append(float(np.median(values)))
    return medians


def interval(plays: Sequence[Play]) -> Interval:
    """Return the median and its 95 % interval; same in, same out."""
    median = float(np.median([play.value for play in plays]))
    drawn = draws_of(plays, np.random.default_rng(SEED))
    return spread(median, drawn, len(plays))


def spread(median: float, drawn: Sequence[float], n: int) -> Interval:
    """Return the interval of what was drawn, widened."""
    if math.isnan(median):
        return Interval(median, median, median, n)
    edge = (1 - COVER) / 2
    low, high = percentile(drawn, edge), percentile(drawn, 1 - edge)
    lo = median - max(0.0, median - low) * widening(n)
    hi = median + max(0.0, high - median) * widening(n)
    # What cannot be negative has not been drawn so.
    return Interval(median, max(0.0, lo) if low >= 0 else lo, hi, n)


def plain(values: Sequence[float]) -> Interval:
    """Return the interval of numbers without seconds; of one nothing is known."""
    known = [value for value in values if not math.isnan(value)]
    if len(known) < 2:
        median = known[0] if known else math.nan
        return Interval(median, math.nan, math.nan, len(known))
    return interval([Play([value], _only) for value in known])


def _only(seconds: Sequence[object]) -> float:
    value = seconds[0]
    assert isinstance(value, float)
    return value


def difference(ones: Sequence[Play], others: Sequence[Play]) -> Interval:
    """Return the interval of the difference of two medians."""
    dice = np.random.default_rng(SEED)
    first, second = draws_of(ones, dice), draws_of(others, dice)
    drawn = [a - b for a, b in zip(first, second, strict=True)]
    medians = [float(np.median([p.value for p in group])) for group in (ones, others)]
    return spread(medians[0] - medians[1], drawn, min(len(ones), len(others)))
