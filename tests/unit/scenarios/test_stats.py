# SPDX-License-Identifier: MIT
"""Intervals: they hold the median, repeat, and cover another run's."""

import math
import random
import statistics

import pytest
import stats

SECONDS = 8
NO_FLOOR = stats.Floor(0.0, 99, logs=True)
KNOWN = stats.Floor(0.1, 99, logs=True)


def play(dice, between, level=10.0, within=0.1):
    """A play: what it has of its boot, and eight seconds, all of them in logs."""
    mine = level * math.exp(dice.gauss(0, between))
    seconds = [mine * math.exp(dice.gauss(0, within)) for _ in range(SECONDS)]
    return stats.Play(seconds, statistics.fmean)


def run(seed, count, between, arms=8, pairs=4):
    """One run of the lab: arms played `count` times, some twice as often."""
    dice = random.Random(seed)
    return [
        [play(dice, between) for _ in range(count * (2 if arm < pairs else 1))]
        for arm in range(arms)
    ]


def coverage(count, between, floor=None):
    """How often an interval covers the other run's median, and how wide it is.

    In widths of what it would be if both spreads were known.
    """
    covered, widths = [], []
    ideal = math.sqrt(2 * (between**2 + 0.1**2 / SECONDS) / count) * 2 * stats.Z95
    for seed in range(30 // count):
        ones = run(seed, count, between)
        noise = floor or stats.floor(ones, logs=True)
        for one, other in zip(ones, run(1000 + seed, count, between), strict=True):
            found = stats.interval(one, noise)
            median = statistics.median(each.value for each in other)
            covered.append(found.lo <= median <= found.hi)
            widths.append((found.hi - found.lo) / found.median / ideal)
    return statistics.fmean(covered), statistics.median(widths)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("between", [0.035, 0.1])
def test_interval_covers_another_run_nine_times_in_ten(count, between):
    covered, width = coverage(count, between)
    assert covered >= 0.9
    assert width < 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_without_the_noise_floor_it_does_not(count):
    assert coverage(count, 0.1, NO_FLOOR)[0] < 0.9


def test_interval_holds_the_median_and_repeats():
    plays = run(1, 5, 0.05)[-1]
    found = stats.interval(plays, KNOWN)
    assert found.lo < found.median < found.hi
    assert found == stats.interval(plays, KNOWN)


def test_floor_is_what_the_seconds_do_not_explain():
    many = run(3, 2, 0.1, arms=60, pairs=0)
    none = run(3, 2, 0.0, arms=60, pairs=0)
    assert stats.floor(many, logs=True).sd == pytest.approx(0.1, rel=0.25)
    assert stats.floor(none, logs=True).sd < 0.03
    assert stats.floor(many, logs=True).pairs == 60


def test_few_pairs_that_happen_to_be_alike_are_no_floor_of_nothing():
    one = play(random.Random(8), 0.0)
    other = stats.Play([1.04 * s for s in one.seconds], statistics.fmean)
    floor = stats.floor([[one, other]] * 4, logs=True)
    assert 0.01 < floor.sd < 0.1  # their seconds would hide as much
    assert stats.floor([[one, other]] * 400, logs=True).sd == 0


def test_floor_is_not_lifted_by_an_arm_with_two_minds():
    dice = random.Random(4)
    calm = run(3, 1, 0.05, arms=8, pairs=8)
    torn = [play(dice, 0, level) for level in (8.0, 230.0)]
    floor = stats.floor([*calm, torn], logs=True).sd
    assert floor < 2 * stats.floor(calm, logs=True).sd
    # That arm has what its own plays are.
    found = stats.interval(torn, stats.Floor(floor, 9, logs=True))
    assert found.lo < 9 and found.hi > 200


def test_fewer_pairs_make_it_wider_and_none_says_nothing():
    one = run(5, 1, 0.1)[-1]
    cell = [stats.Play([level] * SECONDS, statistics.fmean) for level in (10.0, 11.0)]
    spans = []
    for pairs in (1, 2, 6, 11, 40):
        found = stats.interval(one, stats.floor([cell] * pairs, logs=True))
        spans.append(found.hi - found.lo)
    assert spans == sorted(spans, reverse=True) and spans[0] > 2 * spans[-1]
    found = stats.interval(one, stats.floor(run(5, 1, 0.1, pairs=0), logs=True))
    assert math.isnan(found.lo) and math.isnan(found.hi)
    assert found.overlaps(stats.interval(one, NO_FLOOR))


def test_time_out_stays_and_says_nothing_of_noise():
    out = stats.Play([2000.0] * SECONDS, statistics.fmean)
    found = stats.interval([out], KNOWN)
    assert (found.lo, found.hi) == (2000, 2000)
    assert stats.floor([[out, out]], logs=True).pairs == 0
    # That no second of two plays was over the SLO does.
    none = stats.Play([0.0] * SECONDS, statistics.fmean)
    assert stats.floor([[none, none]], logs=False) == stats.Floor(0.0, 1, logs=False)


def test_what_it_is_compared_with_is_as_uncertain():
    def ratio(seconds, beside):
        return statistics.fmean(seconds) / statistics.fmean(beside)

    beside = run(1, 1, 0.1)[0][0].seconds
    still = stats.Play([10.0] * SECONDS, ratio, beside)
    alone = stats.interval([still], NO_FLOOR)
    assert alone.lo < 0.95 * alone.median and alone.hi > 1.05 * alone.median
    wider = stats.interval([still], KNOWN)
    assert math.log(wider.hi / wider.median) > 2 * 1.96 * 0.1  # twice its variance


def test_interval_is_not_so_wide_that_nothing_differs():
    dice = random.Random(6)
    near, far = ([play(dice, 0.1, level)] for level in (10.0, 30.0))
    assert not stats.interval(near, KNOWN).overlaps(stats.interval(far, KNOWN))


def test_ratio_of_the_same_covers_one_and_of_others_does_not():
    dice = random.Random(7)
    one, same = ([play(dice, 0.1) for _ in range(3)] for _ in range(2))
    other = [play(dice, 0.1, level=30.0) for _ in range(3)]
    found = stats.ratio(one, same, KNOWN)
    assert found.lo <= 1 <= found.hi
    assert stats.ratio(one, other, KNOWN).hi < 1


def test_of_one_number_no_spread_is_claimed():
    found = stats.plain([3.0, math.nan])
    assert (found.median, found.n) == (3.0, 1) and math.isnan(found.lo)
    assert found.overlaps(stats.plain([1.0, 1.0]))


def test_nothing_measured_is_no_number():
    assert math.isnan(stats.plain([]).median)
    assert math.isnan(stats.percentile([], 0.5))
