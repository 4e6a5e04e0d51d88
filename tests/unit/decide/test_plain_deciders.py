# SPDX-License-Identifier: MIT
"""static, none, random and bandit: the control groups."""

import random

import pytest

from vagus.decide.bandit import ARMS, TRIAL_NS, Bandit
from vagus.decide.none import Nothing
from vagus.decide.random_set import STANDS_NS, RandomSet
from vagus.decide.static import Static
from vagus.flow import (
    Act,
    Decider,
    Effect,
    Identity,
    Outcome,
    Resource,
    Role,
    Stance,
    Use,
    Window,
    Word,
    WorkloadWindow,
)
from vagus.policy import load

S = 1_000_000_000


def workload(name, sense="service", word=Word.OK, use=Use.IDLE, policy=""):
    return WorkloadWindow(
        name,
        f"/{name}",
        1,
        Identity(),
        Role("web", sense, "model"),
        {},
        {"cpu": word},
        {"cpu": use},
        policy=policy,
    )


def window(second=1, word=Word.BAD, use=Use.HEAVY):
    listed = [
        workload("shop", word=word, use=Use.BUSY),
        workload("build", "throughput", use=use),
    ]
    seen = {one.name: one for one in listed}
    return Window(second, 0, second * S, seen, {})


def answer(decider, seen):
    decider.consider(seen, "Keep the shop fast.")
    proposal = decider.answer()
    assert proposal is None or proposal.decider == decider.name
    return proposal and proposal.stances


def test_all_are_deciders():
    policy = load.default()
    made: list[Decider] = [
        kind(policy) for kind in (Static, Nothing, RandomSet, Bandit)
    ]
    assert [one.name for one in made] == ["static", "none", "random", "bandit"]
    for one in made:
        assert one.answer() is None and one.fileno() == -1
        one.close()


def test_static_says_what_the_policy_lists():
    decider = Static(
        load.loads(
            "static: {shop: protect cpu 3, gone: yield io 1, build: yield cpu 2}"
        )
    )
    assert answer(decider, window()) == [
        Stance("shop", Act.PROTECT, Resource.CPU, 3),
        Stance("build", Act.YIELD, Resource.CPU, 2),
    ]
    second = workload("shop@7", policy="shop")
    assert answer(decider, Window(2, 0, 2 * S, {second.name: second}, {})) == [
        Stance("shop@7", Act.PROTECT, Resource.CPU, 3)
    ]


def test_a_new_policy_takes_effect():
    decider = Static(load.loads("static: {shop: protect cpu 3}"))
    before = answer(decider, window())
    decider.set_policy(load.loads("static: {shop: leave}"))
    assert answer(decider, window(2)) == [Stance("shop", Act.LEAVE, strength=0)]
    assert before != []


def test_none_leaves_everybody_alone():
    assert answer(Nothing(load.default()), window()) == []


def test_random_repeats_by_its_seed_and_redraws_by_its_time():
    policy = load.loads("decide: {min_interval: 100ms}")
    first, same = RandomSet(policy, 7), RandomSet(policy, 7)
    draws = []
    for turn in range(20):
        second = 1 + turn * STANDS_NS // S
        drawn = answer(first, window(second))
        assert drawn == answer(same, window(second))
        assert answer(first, window(second + 1)) == drawn
        draws.append(drawn)
    assert len({str(d) for d in draws}) > 10
    kinds = {(s.act, s.resource) for d in draws for s in d}
    assert len(kinds) > 4


def test_random_draws_for_newcomers_only():
    decider = RandomSet(load.loads("decide: {min_interval: 100ms}"), 3)
    before = answer(decider, window())
    seen = window(2)
    seen.workloads["new"] = workload("new")
    assert answer(decider, seen)[:2] == before


def effect(stance, outcome, before=10.0, after=5.0):
    return Effect(stance, "shop runq_p99_ns", before, after, 0.1, outcome, "")


def test_bandit_tries_every_arm_before_it_repeats():
    decider = Bandit(load.default())
    seen = set()
    for turn in range(len(ARMS)):
        stances = answer(decider, window(1 + turn * TRIAL_NS // S))
        seen.add(str(stances))
    assert len(seen) == len(ARMS)


def test_bandit_rests_without_trouble():
    assert answer(Bandit(load.default()), window(word=Word.OK)) == [
        Stance("shop", Act.LEAVE, strength=0),
        Stance("build", Act.LEAVE, strength=0),
    ]


@pytest.mark.parametrize("seed", range(5))
def test_bandit_learns_what_the_judge_keeps(seed):
    """Only making the build yield at 2 helps; everything else is refuted."""
    noise = random.Random(seed)
    decider = Bandit(load.loads("decide: {min_interval: 100ms}"))
    good = Stance("build", Act.YIELD, Resource.CPU, 2)
    late = []
    for turn in range(400):
        stances = answer(decider, window(1 + turn * 10)) or []
        helped = stances == [good] and noise.random() < 0.9
        told = Outcome.KEPT if helped else Outcome.REVERTED
        for stance in stances:
            decider.reward(effect(stance, told, after=5.0 if helped else 10.0))
        if turn >= 200:
            late.append(stances == [good])
    assert sum(late) / len(late) > 0.6  # one arm of ten: 0.1 by chance


def test_bandit_rewards():
    def earned(outcome, before=10.0, after=10.0):
        decider = Bandit(load.default())
        for turn in range(2):  # the first arm leaves everybody alone
            stances = answer(decider, window(1 + turn * TRIAL_NS // S))
        return decider.reward(effect(stances[0], outcome, before, after))

    assert earned(Outcome.PENDING) is None
    assert earned(Outcome.KEPT, after=0.0) == 1.0
    assert earned(Outcome.KEPT) == 0.75
    assert earned(Outcome.COINCIDENT) == 0.5
    assert earned(Outcome.REVERTED) == 0.25
    assert earned(Outcome.REVERTED, after=99.0) == 0.0


def test_bandit_credits_only_what_stands_and_once():
    decider = Bandit(load.default())
    for turn in range(2):
        stances = answer(decider, window(1 + turn * TRIAL_NS // S))
    stranger = Stance("other", Act.YIELD, Resource.CPU, 1)
    assert decider.reward(effect(stranger, Outcome.KEPT)) is None
    assert decider.reward(effect(stances[0], Outcome.KEPT)) is not None
    assert decider.reward(effect(stances[0], Outcome.KEPT)) is None
