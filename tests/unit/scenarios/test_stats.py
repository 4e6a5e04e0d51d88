# SPDX-License-Identifier: MIT
"""Intervals: they hold the median, repeat, and cover another run's."""

import math
import random

import stats


def plays(seed, count, shift=0.0):
    """Plays of ten seconds, each second a number."""
    dice = random.Random(seed)
    made = []
    for _ in range(count):
        level = 10 + shift + dice.gauss(0, 0.5)
        seconds = [level + dice.gauss(0, 1) for _ in range(10)]
        made.append(stats.Play(seconds, lambda s: stats.percentile(s, 0.9)))
    return made


def test_interval_holds_the_median_and_repeats():
    found = stats.interval(plays(1, 5))
    assert found.lo <= found.median <= found.hi
    assert found == stats.interval(plays(1, 5))


def test_interval_covers_another_run_nine_times_in_ten():
    for count in (1, 3, 5):
        covered = 0
        for seed in range(60):
            one = stats.interval(plays(seed, count))
            other = stats.interval(plays(1000 + seed, count))
            covered += one.lo <= other.median <= one.hi
        # Of one boot only what happens within it is known.
        assert covered >= (54 if count > 1 else 30), count


def test_what_it_is_compared_with_is_as_uncertain():
    def ratio(seconds, beside):
        return stats.percentile(seconds, 0.9) / stats.percentile(beside, 0.9)

    beside = plays(1, 1)[0].seconds
    found = stats.interval([stats.Play([2000.0] * 10, ratio, beside)])
    assert found.median == 2000 / stats.percentile(beside, 0.9)
    assert found.lo < 0.97 * found.median and found.hi > 1.03 * found.median


def test_interval_is_not_so_wide_that_nothing_differs():
    near, far = stats.interval(plays(1, 3)), stats.interval(plays(2, 3, shift=20))
    assert not near.overlaps(far)


def test_difference_of_the_same_covers_zero_and_of_others_does_not():
    same = stats.difference(plays(1, 3), plays(2, 3))
    other = stats.difference(plays(1, 3), plays(2, 3, shift=20))
    assert same.lo <= 0 <= same.hi
    assert not other.lo <= 0 <= other.hi


def test_of_one_number_no_spread_is_claimed():
    found = stats.plain([3.0, math.nan])
    assert (found.median, found.n) == (3.0, 1) and math.isnan(found.lo)
    assert found.overlaps(stats.plain([1.0, 1.0]))


def test_nothing_measured_is_no_number():
    assert math.isnan(stats.plain([]).median)
    assert math.isnan(stats.percentile([], 0.5))
