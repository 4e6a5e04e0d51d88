# SPDX-License-Identifier: MIT
"""Medians and their intervals, from plays that are made of seconds; pure.

A play is one arm in one boot.  An interval says where another run of the same
command is expected to have its median.  It is a two-level bootstrap, over plays and
over the seconds in each, widened by the noise floor: what plays of the same thing
differ by beyond what their seconds explain, estimated from all of them together,
since the few plays of one arm tell nothing of it (a random-effects model).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 300
MANY = 4000  # draws of a known distribution
SEED = 1
Z95 = 1.960  # two-sided 95 % of a normal
# The other run's median has the same noise again: 95 % of the difference of two.
BOTH = math.sqrt(2)
ANOTHER = 0.0028  # share of a normal beyond BOTH * Z95, on either side
ITSELF = 0.025  # the same beyond Z95
# Student's t, two-sided 95 %, by degrees of freedom; then its expansion.
T95 = (12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
# A squared deviation counts as this at most, so that an arm with two minds does not
# widen all.
CLIP = Z95**2
# A floor is as large as it can be without its pairs' being calmer than in so many of
# all cases: of few pairs little is known, and that none differed may be luck.
LUCK = 0.25

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
            [some[i] for i in dice.integers(len(some), size=len(some)).tolist()]
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

    def reaching(self, other: Interval) -> Interval:
        """Return this median, and an interval that holds another one as well."""
        return Interval(
            self.median, min(self.lo, other.lo), max(self.hi, other.hi), self.n
        )

    def at_most(self, limit: float) -> Interval:
        """Return this with no end above what can be measured."""
        limit = max(limit, self.median)
        return Interval(self.median, self.lo, min(self.hi, limit), self.n)

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


def student(freedom: int) -> float:
    """Return Student's t, two-sided 95 %; infinite where nothing was repeated."""
    if freedom < 1:
        return math.inf
    if freedom <= len(T95):
        return T95[freedom - 1]
    return Z95 + 2.372 / freedom + 2.82 / freedom**2


@dataclass(frozen=True)
class Floor:
    """The noise floor: what plays of the same thing differ by beyond their seconds.

    `sd`: what one play's standard deviation may well be, the larger the fewer
    `pairs` it is known from; of logarithms where `logs`, else in the metric's unit.
    """

    sd: float
    pairs: int
    logs: bool

    def reach(self, share: float) -> float:
        """Return 95 % of a share of the variance; NaN where nothing was repeated."""
        if not self.pairs:
            return math.nan
        return Z95 * self.sd * math.sqrt(share)


def floor(cells: Sequence[Sequence[Play]], logs: bool) -> Floor:
    """Return the noise floor of cells, each some plays of the same thing.

    The differences between plays, each over what its seconds and the floor explain,
    are a normal's.  An estimate would be the floor with which they are as large as a
    normal's are on average (Paule and Mandel); this one is the upper end of where it
    may be (Q-profile), with which they are as large as in LUCK of all cases.
    """
    found = [one for plays in cells for one in _contrasts(plays, logs)]
    if not found:
        return Floor(math.nan, 0, logs)
    squares, known, times = np.array(found).T
    calm = calmest(len(found))

    def too_small(variance: float) -> bool:
        explained = known + times * variance + 1e-18
        return float(np.mean(np.minimum(squares / explained, CLIP))) > calm

    low, high = 0.0, float(squares.max()) / calm
    for _ in range(60 if too_small(0.0) else 0):
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return Floor(math.sqrt(low), len(found), logs)


@functools.cache
def calmest(count: int) -> float:
    """Return what so many clipped squares of a normal are on average by good LUCK."""
    squares = np.random.default_rng(SEED).standard_normal((MANY, count)) ** 2
    return float(np.quantile(np.minimum(squares, CLIP).mean(axis=1), LUCK))


def _contrasts(plays: Sequence[Play], logs: bool) -> list[tuple[float, float, float]]:
    """Return each play against the mean of those before it, which are independent.

    As (difference squared, its variance by the seconds, how often it has a play's).
    """
    seen: list[tuple[float, float]] = []
    for play in plays if len(plays) > 1 else ():
        dice = np.random.default_rng(SEED)
        numbers = np.array([play.value, *(play.drawn(dice) for _ in range(DRAWS))])
        if logs:
            if not (numbers > 0).all():
                continue
            numbers = np.log(numbers)
        if np.isfinite(numbers).all():
            seen.append((float(numbers[0]), float(numbers[1:].var())))
    found = []
    for count in range(1, len(seen)):
        before = np.array(seen[:count])
        gap = seen[count][0] - before[:, 0].mean()
        known = seen[count][1] + before[:, 1].sum() / count**2
        # Two plays at a time-out, in all their seconds, say nothing of noise.
        if gap or known or not logs:
            found.append((gap**2, known, 1 + 1 / count))
    return found


def draws_of(plays: Sequence[Play], dice: np.random.Generator) -> list[float]:
    """Return the median over plays, drawn again and again with replacement."""
    rows = []
    for _ in range(DRAWS):
        picks = dice.integers(len(plays), size=len(plays)).tolist()
        rows.append([plays[pick].drawn(dice) for pick in picks])
    return [float(median) for median in np.median(np.array(rows), axis=1)]


def interval(plays: Sequence[Play], noise: Floor) -> Interval:
    """Return the median and where another run's is expected; same in, same out."""
    median = float(np.median([play.value for play in plays]))
    drawn = draws_of(plays, np.random.default_rng(SEED))
    # What a play is compared with was played as well, and has the same noise.
    share = (2 if any(play.beside for play in plays) else 1) / len(plays)
    ends = _ends(median, drawn, ANOTHER, BOTH * noise.reach(share), noise.logs)
    return Interval(median, *ends, len(plays))


def _ends(
    median: float, drawn: Sequence[float], edge: float, reach: float, logs: bool
) -> tuple[float, float]:
    """Return the interval of what was drawn, widened; NaN where nothing is known."""
    if math.isnan(median) or math.isnan(reach):
        return math.nan, math.nan
    low, high = percentile(drawn, edge), percentile(drawn, 1 - edge)
    lo = _end(median, min(low, median), -reach, logs)
    # What cannot be negative has not been drawn so.
    lo = max(0.0, lo) if low >= 0 else lo
    return lo, _end(median, max(high, median), reach, logs)


def _end(median: float, drawn: float, reach: float, logs: bool) -> float:
    """Return one end: both spreads in quadrature.

    Where nothing was drawn beyond the median it is a bound (a time-out), and stays.
    """
    if drawn == median or (logs and min(drawn, median) <= 0):
        return drawn
    if logs:
        gap = math.hypot(math.log(drawn / median), reach)
        return median * math.exp(math.copysign(gap, reach))
    return median + math.copysign(math.hypot(drawn - median, reach), reach)


def plain(values: Sequence[float]) -> Interval:
    """Return the interval of numbers without seconds, by their own few plays alone.

    Of one nothing is known; the bootstrap of more is widened as Student's t is.
    """
    known = [value for value in values if not math.isnan(value)]
    median = float(np.median(known)) if known else math.nan
    if len(known) < 2:
        return Interval(median, math.nan, math.nan, len(known))
    drawn = draws_of([Play([v], _only) for v in known], np.random.default_rng(SEED))
    low, high = percentile(drawn, ITSELF), percentile(drawn, 1 - ITSELF)
    wider = student(len(known) - 1) / Z95
    lo = median - (median - low) * wider
    hi = median + (high - median) * wider
    return Interval(median, max(0.0, lo) if low >= 0 else lo, hi, len(known))


def _only(seconds: Sequence[object]) -> float:
    value = seconds[0]
    assert isinstance(value, float)
    return value


def ratio(ones: Sequence[Play], others: Sequence[Play], noise: Floor) -> Interval:
    """Return one median over another of this run; unpaired, as no boot cancels."""
    dice = np.random.default_rng(SEED)
    first, second = draws_of(ones, dice), draws_of(others, dice)
    drawn = [a / b for a, b in zip(first, second, strict=True)]
    medians = [float(np.median([p.value for p in group])) for group in (ones, others)]
    share = 1 / len(ones) + 1 / len(others)
    median = medians[0] / medians[1]
    ends = _ends(median, drawn, ITSELF, noise.reach(share), noise.logs)
    return Interval(median, *ends, min(len(ones), len(others)))
