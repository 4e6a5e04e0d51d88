# SPDX-License-Identifier: MIT
"""The decider `bandit`: learns which stance set helps, from the judge's effects.

UCB1 (Auer, Cesa-Bianchi, Fischer 2002) over ten arms: leave, or protect those in
trouble, or let takers yield, or both, at strength 1 to 3.  Arms are learned apart
for each situation: the resource, who suffers, who takes.  It reads no sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import product

import msgspec

from vagus.decide.hold import held
from vagus.decide.instant import Instant
from vagus.decide.standing import Scene, lasting, scenes
from vagus.flow import Act, Effect, Outcome, Stance, Window
from vagus.policy.model import Policy

# How long an arm stands for a verdict of the judge before the next is tried.
TRIAL_NS = 60_000_000_000
# UCB1's own constant is sqrt(2); a trial is a minute here, so less is tried out.
EXPLORE = 0.5
# Half for the verdict, half for how much better it became.
VERDICT: Mapping[Outcome, float] = {
    Outcome.KEPT: 1.0,
    Outcome.COINCIDENT: 0.5,
    Outcome.REVERTED: 0.0,
}


class Arm(msgspec.Struct, frozen=True):
    """Whom to set, how hard; strength 0 is to leave everybody alone."""

    protect: bool = False
    yields: bool = False
    strength: int = 0


ARMS = (
    Arm(),
    *(
        Arm(protect, yields, strength)
        for strength, (protect, yields) in product(
            (1, 2, 3), ((False, True), (True, False), (True, True))
        )
    ),
)


class Score(msgspec.Struct, frozen=True):
    """What an arm has earned."""

    pulls: int = 0
    total: float = 0.0


Situation = tuple[str, tuple[str, ...], tuple[str, ...]]


class Bandit(Instant):
    """Try arms, keep what the judge keeps."""

    name = "bandit"

    def __init__(self, policy: Policy) -> None:
        """Begin with nothing learned."""
        super().__init__(policy)
        self._scores: dict[Situation, dict[Arm, Score]] = {}
        self._situation: Situation | None = None
        self._arm = Arm()
        self._since_ns = 0
        self._told = False
        self._before: list[Stance] = []

    def stances(self, window: Window) -> tuple[list[Stance], str]:
        """Return the stances of the arm that is on trial or the best one."""
        worst = scenes(self.policy, window)[0]
        if not worst.trouble or not worst.sufferers:
            nobody = [Stance(n, Act.LEAVE, strength=0) for n in window.workloads]
            self._before = held(lasting(self._before, window), nobody, window)
            return self._before, "nobody who matters is in trouble"
        situation = (str(worst.resource), worst.sufferers, worst.takers)
        waited_ns = window.end_ns - self._since_ns
        if situation != self._situation or self._told or waited_ns >= TRIAL_NS:
            self._choose(situation, window.end_ns)
        self._before = _set(self._arm, worst)
        arm = self._arm
        return self._before, f"{worst.resource}: trying {_said(arm)}"

    def reward(self, effect: Effect) -> float | None:
        """Learn from an effect; return the reward, 0 to 1, None if it says nothing.

        Only the arm that stands is credited, and once a trial: the judge tells of
        every stance of a set.
        """
        worth = VERDICT.get(effect.outcome)
        mine = any(_same(stance, effect.stance) for stance in self._before)
        if worth is None or not mine or self._situation is None or self._told:
            return None
        scale = max(abs(effect.before), effect.noise, 1e-9)
        gain = max(-1.0, min(1.0, (effect.before - effect.after) / scale))
        earned = 0.5 * worth + 0.25 * (1 + gain)
        self._add(earned)
        self._told = True
        return earned

    def _choose(self, situation: Situation, now_ns: int) -> None:
        """Close the trial that stands, and begin one with the best bound."""
        if self._situation is not None and not self._told:
            # No verdict in time: nothing was seen to help, or to harm.
            self._add(0.25)
        scores = self._scores.setdefault(situation, {})
        pulls = sum(score.pulls for score in scores.values())
        self._arm = max(ARMS, key=lambda arm: _bound(scores.get(arm), pulls))
        self._situation, self._since_ns, self._told = situation, now_ns, False

    def _add(self, earned: float) -> None:
        if self._situation is None:
            return
        scores = self._scores.setdefault(self._situation, {})
        old = scores.get(self._arm, Score())
        scores[self._arm] = Score(old.pulls + 1, old.total + earned)


def _bound(score: Score | None, pulls: int) -> float:
    """Return the upper confidence bound; an arm never tried comes first."""
    if score is None or not score.pulls:
        return math.inf
    return score.total / score.pulls + EXPLORE * math.sqrt(
        math.log(max(pulls, 1)) / score.pulls
    )


def _set(arm: Arm, scene: Scene) -> list[Stance]:
    """Return the stances of an arm in a situation."""
    found = []
    if arm.protect:
        found += [(name, Act.PROTECT) for name in scene.sufferers]
    if arm.yields:
        found += [(name, Act.YIELD) for name in scene.takers]
    return [Stance(n, act, scene.resource, arm.strength) for n, act in found]


def _same(one: Stance, other: Stance) -> bool:
    """Compare whom and what; verification may have lowered the strength."""
    return (one.workload, one.act, one.resource) == (
        other.workload,
        other.act,
        other.resource,
    )


def _said(arm: Arm) -> str:
    if not arm.strength:
        return "to leave everybody alone"
    parts = ["protect"] * arm.protect + ["yield"] * arm.yields
    return f"{' and '.join(parts)} at {arm.strength}"
