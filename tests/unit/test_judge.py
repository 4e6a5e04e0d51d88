# SPDX-License-Identifier: MIT
"""The judge against machines whose truth is known."""

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.unit.counts import CASES

from vagus.flow import (
    Act,
    Effect,
    Identity,
    Outcome,
    Resource,
    Role,
    Stance,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.judge import QUARANTINE_NS, Judge
from vagus.noise import LEARNED_FROM, Floor
from vagus.trial import RECHECK, key

MS = 1e6
PROTECT = Stance("shop", Act.PROTECT, Resource.CPU, 2)
YIELD = Stance("build", Act.YIELD, Resource.CPU, 2)
ROLE = Role("web", "service", "policy")
Plant = Callable[[int, frozenset[Stance]], Mapping[str, float]]


def window(tick: int, waits_ns: Mapping[str, float]) -> Window:
    """Return a window of run-queue waits; over 12 ms is bad, over 50 critical."""
    workloads = {}
    for name, wait in waits_ns.items():
        word = Word.CRITICAL if wait > 50 * MS else Word.BAD
        word = Word.OK if wait < 12 * MS else word
        words = {Resource.CPU: word, Resource.IO: Word.OK, Resource.MEMORY: Word.OK}
        workloads[name] = WorkloadWindow(
            name, f"/{name}", 1, Identity(), ROLE, {"runq_p99_ns": wait}, words, {}
        )
    return Window(tick, tick * 10**9, (tick + 1) * 10**9, workloads, {})


def glimpse(wait_ms: float, span_ms: int = 100) -> Window:
    """Return what the reflex sees between ticks."""
    start_ns = 99 * 10**9
    end_ns = start_ns + span_ms * 1_000_000
    seen = window(99, {"shop": wait_ms * MS})
    return replace(seen, start_ns=start_ns, end_ns=end_ns)


class World:
    """The judge in a closed loop with a machine that obeys, `plant`."""

    def __init__(self, plant: Plant, noise: float = 0.1, seed: int = 1) -> None:
        self.plant, self.judge, self.tick = plant, Judge(), 0
        self.random, self.noise = random.Random(seed), noise
        self.standing: list[Stance] = []
        self.important: set[str] = set()
        self.effects: list[Effect] = []
        self.applied_at: list[frozenset[Stance]] = []

    def run(self, ticks: int) -> list[Effect]:
        """Let time pass; return what the judge concluded."""
        new = []
        for _ in range(ticks):
            self.tick += 1
            off = self.judge.withheld(self.standing)
            applied = frozenset(s for s in self.standing if key(s) not in off)
            truth = self.plant(self.tick, applied)
            spread = {
                name: value * self.random.uniform(1 - self.noise, 1 + self.noise)
                for name, value in truth.items()
            }
            self.applied_at.append(applied)
            new += self.judge.observe(
                window(self.tick, spread),
                self.standing,
                {key(s) for s in applied},
                self.important,
            )
        self.effects += new
        return new

    def outcomes(self) -> list[Outcome]:
        """Return the conclusions, without those that pend."""
        return [e.outcome for e in self.effects if e.outcome is not Outcome.PENDING]


def helps(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
    """Return a shop that suffers unless something is done for it."""
    return {"shop": 2 * MS if applied else 40 * MS, "build": 5 * MS}


def test_judge_keeps_what_a_withdrawal_makes_worse():
    world = World(helps)
    world.run(20)
    world.standing = [PROTECT, YIELD]
    world.run(15)
    assert world.outcomes() == [Outcome.KEPT, Outcome.KEPT]
    kept = world.effects[-1]
    assert kept.signal == "shop runq_p99_ns"
    assert kept.before == pytest.approx(40 * MS, rel=0.2)
    assert kept.after == pytest.approx(2 * MS, rel=0.2)
    assert f"{kept.before / MS:.2f} ms before" in kept.sentence
    assert kept.sentence.endswith("kept")
    assert "ms while it was withdrawn" in kept.sentence


def test_judge_goes_by_the_number_that_made_the_word():
    judge = Judge(lambda name: {"cpu": "psi_cpu_some_pct"})
    effects: list[Effect] = []
    for tick in range(60):
        off = judge.withheld([PROTECT])
        applied = tick > 15 and key(PROTECT) not in off
        one = window(tick, {"shop": 40 * MS if not applied else 20 * MS})
        shop = one.workloads["shop"]
        # The longest waits say nothing here; how much is waited in all does.
        shop.numbers["runq_p99_ns"] = 3 * MS + tick % 3 * MS
        shop.numbers["runq_wait_pct"] = 8.0 if applied else 55.0
        shop.numbers["psi_cpu_some_pct"] = 50.0
        live = {key(PROTECT)} if applied else set()
        standing = [PROTECT] if tick > 15 else []
        effects += judge.observe(one, standing, live)
    assert [e.outcome for e in effects] == [Outcome.PENDING, Outcome.KEPT]
    assert effects[-1].signal == "shop runq_wait_pct"
    assert "shop runq wait 55.0 % before" in effects[-1].sentence


@pytest.mark.parametrize(
    ("others", "outcomes"), [(["build"], [Outcome.COINCIDENT]), ([], [])]
)
def test_judge_of_somebody_who_waits_for_nothing_any_more(others, outcomes):
    """Others still have readings; or nobody has, and the source has gone."""
    world = World(helps)
    world.run(10)
    world.standing = [PROTECT]
    world.run(2)
    judge, effects = world.judge, []
    for tick in range(100, 140):
        quiet = window(tick, {"shop": 2 * MS, **dict.fromkeys(others, 2 * MS)})
        quiet.workloads["shop"].numbers.clear()
        quiet.workloads["shop"].words[Resource.CPU] = Word.UNKNOWN
        off = judge.withheld([PROTECT])
        live = set() if key(PROTECT) in off else {key(PROTECT)}
        effects += judge.observe(quiet, [PROTECT], live)
    assert [e.outcome for e in effects] == outcomes
    assert all("waits for nothing any more" in e.sentence for e in effects)


def test_judge_withdraws_for_a_moment_only():
    world = World(helps)
    world.run(10)
    world.standing = [PROTECT]
    world.run(100)
    off = sum(1 for applied in world.applied_at[10:] if not applied)
    assert 1 <= off <= 3


def test_judge_glance_ends_a_withdrawal_that_clearly_hurts():
    world = World(helps)
    world.run(10)
    world.standing = [PROTECT]
    while not world.judge.withheld(world.standing):
        world.run(1)
    assert not world.judge.glance(glimpse(2.1))
    assert world.judge.withheld(world.standing)
    assert world.judge.asking
    for waits_ms, ended in ((44, False), (2, False), (44, False), (45, False)):
        assert not world.judge.glance(glimpse(2, span_ms=79))  # says nothing
        assert world.judge.glance(glimpse(waits_ms)) == ended
    assert world.judge.glance(glimpse(46))
    assert not world.judge.withheld(world.standing) and not world.judge.asking
    world.judge.glance(glimpse(2))  # it is applied again by now
    world.run(1)
    assert world.outcomes() == [Outcome.KEPT]
    assert "45.00 ms while it was withdrawn" in world.effects[-1].sentence


def test_judge_glance_expects_of_few_waits_what_it_has_seen_of_few():
    """The 100 ms that hold a long wait are no worse than those before."""
    world = World(helps)
    world.run(20)
    world.standing = [PROTECT]
    while not world.judge.withheld(world.standing):
        world.run(1)
        world.judge.glance(glimpse(30))
        world.judge.glance(glimpse(40, span_ms=20))  # of a shorter time: not compared
        world.judge.glance(glimpse(40, span_ms=300))  # nor of a longer one
    for _ in range(10):
        assert not world.judge.glance(glimpse(30))
    assert world.judge.withheld(world.standing)
    assert [world.judge.glance(glimpse(39)) for _ in range(3)] == [False, False, True]


def test_judge_calls_it_coincident_when_the_trouble_ended_by_itself():
    def ends(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        return {"shop": 40 * MS if tick < 23 else 2 * MS, "build": 5 * MS}

    world = World(ends)
    world.run(20)
    world.standing = [YIELD]
    world.run(60)
    assert world.outcomes() == [Outcome.COINCIDENT]
    assert "ended by itself" in world.effects[-1].sentence
    assert world.judge.withheld(world.standing) == {key(YIELD)}


def test_judge_tries_a_coincident_stance_again_when_trouble_returns():
    def returns(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        bad = tick < 23 or tick > 60
        return {"shop": 40 * MS if bad else 2 * MS, "build": 5 * MS}

    world = World(returns)
    world.run(20)
    world.standing = [YIELD]
    world.run(60)
    assert not world.judge.withheld(world.standing)


def test_judge_reverts_what_makes_no_difference_while_trouble_goes_on():
    world = World(lambda tick, applied: {"shop": 40 * MS, "build": 5 * MS})
    world.run(20)
    world.standing = [YIELD]
    world.run(30)
    assert world.outcomes() == [Outcome.REVERTED]
    assert "the trouble goes on" in world.effects[-1].sentence
    assert world.judge.withheld(world.standing) == {key(YIELD)}
    stronger = Stance("build", Act.YIELD, Resource.CPU, 3)
    assert world.judge.quarantined(YIELD) and not world.judge.quarantined(stronger)


def test_judge_does_not_ask_while_a_backlog_is_worked_off():
    """It is bad until then: to withdraw what helps would only make it longer."""

    def backlog(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        worked_off = tick > 35 and applied
        return {"shop": 2 * MS if worked_off else 40 * MS, "build": 5 * MS}

    world = World(backlog)
    world.run(20)
    world.standing = [PROTECT]
    world.run(15)
    assert all(world.applied_at[20:])
    world.run(15)
    assert world.outcomes() == [Outcome.KEPT]


def test_judge_reverts_what_harms_its_own_objective():
    def harms(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        return {"shop": 80 * MS if applied else 20 * MS, "build": 5 * MS}

    world = World(harms)
    world.run(20)
    world.standing = [YIELD]
    world.run(15)
    assert world.outcomes() == [Outcome.REVERTED]
    assert world.judge.quarantined(Stance("build", Act.YIELD, Resource.CPU, 3))


def test_judge_reverts_what_harms_somebody_important():
    wrong = Stance("build", Act.PROTECT, Resource.CPU, 2)

    def harms(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        return {"shop": 60 * MS if applied else 3 * MS, "build": 5 * MS}

    world = World(harms)
    world.important = {"shop"}
    world.run(20)
    world.standing = [wrong]
    world.run(15)
    assert world.outcomes() == [Outcome.REVERTED]
    assert "it harmed shop" in world.effects[-1].sentence


@pytest.mark.parametrize(("mail", "is_party"), [(60, False), (4, False), (60, True)])
def test_judge_tells_of_bystanders_that_got_worse(mail, is_party):
    """Nobody important: what helps the shop is kept all the same."""

    def crowds(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        shop, mails = (2, mail) if applied else (40, 3)
        return {"shop": shop * MS, "build": 50 * MS, "mail": mails * MS}

    world = World(crowds)
    world.run(20)
    yields = Stance("mail", Act.YIELD, Resource.CPU, 1)
    world.standing = [PROTECT, yields] if is_party else [PROTECT]
    world.run(15)
    assert set(world.outcomes()) == {Outcome.KEPT}
    told = world.effects[-1].sentence
    assert ("meanwhile mail runq p99" in told) is (mail == 60 and not is_party)
    assert "build" not in told, "it was no better off before"


def test_judge_does_not_hold_a_coincidence_against_a_stance():
    def unlucky(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        shop = 2 * MS if applied else 40 * MS
        return {"shop": shop, "build": 5 * MS, "mail": 60 * MS if tick > 24 else 1 * MS}

    world = World(unlucky)
    world.important = {"shop", "mail"}
    world.run(20)
    world.standing = [PROTECT]
    world.run(40)
    assert Outcome.REVERTED not in world.outcomes()
    assert Outcome.KEPT in world.outcomes()


def test_judge_quarantine_doubles_and_ends():
    world = World(lambda tick, applied: {"shop": 40 * MS, "build": 5 * MS})
    world.run(20)
    world.standing = [YIELD]
    world.run(400)
    ends = [e for e in world.effects if e.outcome is Outcome.REVERTED]
    assert 3 <= len(ends) <= 4  # after 60 s, 120 s, 240 s
    applied = [bool(a) for a in world.applied_at]
    first = applied.index(True)
    again = applied.index(True, applied.index(False, first) + 5)
    assert again - first >= QUARANTINE_NS / 1e9


def test_judge_finds_the_one_of_a_group_that_does_nothing():
    def one_helps(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        return {"shop": 2 * MS if PROTECT in applied else 40 * MS, "build": 5 * MS}

    world = World(one_helps)
    world.run(20)
    world.standing = [PROTECT, YIELD]
    world.run(3 * RECHECK)
    dropped = [e for e in world.effects if e.outcome is Outcome.COINCIDENT]
    assert [e.stance for e in dropped] == [YIELD]
    assert key(PROTECT) not in world.judge.withheld(world.standing)


def test_judge_takes_off_nothing_that_helped_while_somebody_suffers():
    def worse_later(tick: int, applied: frozenset[Stance]) -> Mapping[str, float]:
        much = 40 if tick > 60 else 2
        return {"shop": (much if applied else 80) * MS, "build": 5 * MS}

    world = World(worse_later)
    world.run(20)
    world.standing = [PROTECT]
    world.run(40)
    assert world.outcomes() == [Outcome.KEPT]
    world.run(2 * RECHECK)
    assert all(world.applied_at[60:])


def test_judge_asks_nothing_where_nobody_suffers():
    world = World(lambda tick, applied: {"shop": 2 * MS, "build": 5 * MS})
    world.run(20)
    world.standing = [PROTECT]
    world.run(50)
    assert world.outcomes() == []
    assert all(world.applied_at[20:])


def test_judge_forgets_what_the_decider_drops():
    world = World(helps)
    world.run(20)
    world.standing = [PROTECT]
    world.run(3)
    world.standing = []
    world.run(30)
    assert world.outcomes() == []


def test_judge_does_not_test_while_the_reflex_has_let_go():
    world = World(helps)
    world.run(20)
    world.standing = [PROTECT]
    world.run(2)
    for tick in range(30):
        world.judge.observe(window(100 + tick, {"shop": 2 * MS}), [PROTECT], set())
    assert not world.judge.withheld([PROTECT])


@settings(max_examples=CASES)
@given(st.integers(0, 10_000), st.floats(0.0, 0.15), st.floats(3, 40))
def test_judge_keeps_a_real_effect_under_noise(seed, noise, factor):
    """Three times and more is far beyond a noise of 15 %."""
    world = World(of_factor(factor), noise, seed)
    world.run(30)
    world.standing = [PROTECT]
    world.run(60)
    assert world.outcomes() == [Outcome.KEPT]


def of_factor(factor: float) -> Plant:
    """Return a shop that waits 14 ms with a stance, and a multiple of it without."""
    return lambda tick, applied: {
        "shop": 14 * MS * (1 if PROTECT in applied else factor),
        "build": 5 * MS,
    }


class Proportional(random.Random):
    """Noise as of latencies: normal in the logarithm, with the same spread."""

    def uniform(self, a: float, b: float) -> float:
        return math.exp(self.gauss(0, (b - a) / math.sqrt(12)))


class Spiky(random.Random):
    """One window in thirty is ten times as bad."""

    def uniform(self, a: float, b: float) -> float:
        return super().uniform(a, b) * (10 if self.random() < 1 / 30 else 1)


def verdicts(plant: Plant, noise: float, chance: type[random.Random]) -> Counter[str]:
    """Return what becomes of one stance in many lives, the same every time."""
    found: Counter[str] = Counter()
    for seed in range(CASES):
        world = World(plant, noise, seed)
        world.random = chance(seed)
        world.run(30)
        world.standing = [PROTECT]
        world.run(60)
        found[world.outcomes()[0] if world.outcomes() else "none"] += 1
    return found


CHANCES = pytest.mark.parametrize(
    ("chance", "noise", "one_in"),
    [
        (random.Random, 0.25, 2000),
        (Proportional, 0.15, 2000),
        (Proportional, 0.25, 2000),
        (Spiky, 0.15, 200),
    ],
)


@CHANCES
def test_judge_seldom_takes_noise_for_an_effect(chance, noise, one_in):
    """What has no effect is kept once in so many lives at most."""
    found = verdicts(of_factor(1.0), noise, chance)
    assert found[Outcome.REVERTED] and found[Outcome.KEPT] <= CASES // one_in


@CHANCES
def test_judge_seldom_misses_an_effect(chance, noise, one_in):
    """What helps to a third is kept, but for ten of so many lives at most."""
    found = verdicts(of_factor(3.0), noise, chance)
    assert found[Outcome.KEPT] >= CASES - 10 * CASES // one_in


def test_noise_is_learned_from_neighbours_not_from_a_load_that_comes():
    floor = Floor("runq_p99_ns")
    for value in [1 * MS] * 20 + [40 * MS] * 20:
        floor.learn(value)
    assert floor.learned
    assert floor.noise(1 * MS) < 0.5 * MS


def test_noise_is_assumed_until_it_is_learned():
    floor = Floor("psi_cpu_some_pct")
    assert floor.noise(50.0) == 10.0
    for _ in range(LEARNED_FROM + 1):
        floor.learn(50.0)
    assert floor.noise(50.0) == 2.0


def test_judge_does_not_withdraw_what_could_not_be_given_back():
    world = World(helps)
    world.run(20)
    for tick in range(20, 60):
        waits = {"shop": 40 * MS if tick < 22 else 2 * MS, "build": 5 * MS}
        seen = window(tick, waits)
        world.judge.observe(seen, [PROTECT], {key(PROTECT)}, (), {key(PROTECT)})
        assert not world.judge.withheld([PROTECT])


def test_judge_forgets_a_name_that_is_another_cgroup_now():
    world = World(helps)
    world.run(20)
    world.standing = [PROTECT]
    world.run(3)
    assert world.judge._trials
    seen = window(99, {"shop": 2 * MS, "build": 5 * MS})
    other = {n: replace(w, cgroup_id=7) for n, w in seen.workloads.items()}
    seen = replace(seen, workloads=other)
    world.judge.observe(seen, [], set())
    assert not world.judge._trials
    effects = world.judge.observe(seen, [PROTECT], {key(PROTECT)})
    assert effects[0].before == pytest.approx(2 * MS)
