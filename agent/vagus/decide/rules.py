# SPDX-License-Identifier: MIT
"""The decider `rules`: words, uses, time senses and SLOs; never the sentence.

Fallback when the model does not answer, and control group: docs/stance.md, with
every standing of the weak kind.
"""

from __future__ import annotations

from vagus.decide.hold import held
from vagus.decide.instant import Instant
from vagus.decide.standing import Scene, lasting, level, scenes
from vagus.flow import Act, Stance, Window


class Rules(Instant):
    """Protect those in trouble, let those yield who take and may wait."""

    name = "rules"

    _before: tuple[Stance, ...] = ()

    def stances(self, window: Window) -> tuple[list[Stance], str]:
        """Return the right stances, holding what stood while it is contested."""
        seen = scenes(self.policy, window)
        answer = right(window, seen)
        found = held(lasting(self._before, window), answer, window)
        self._before = tuple(found)
        return found, _cause(seen, held_only=_acts(found) and not _acts(answer))


def right(window: Window, seen: list[Scene]) -> list[Stance]:
    """Return the right stances of one window: one for each workload."""
    found: dict[str, Stance] = {}
    poor = not window.quality.good
    for scene in seen:  # the most trouble first
        if not scene.trouble:
            continue
        for name in scene.takers:
            strength = _strength(scene.trouble, poor)
            stance = Stance(name, Act.YIELD, scene.resource, strength)
            found.setdefault(name, stance)
    hurt = sorted(
        (
            (-level(window.workloads[name], scene.resource), name, scene.resource)
            for scene in seen
            for name in scene.sufferers
        ),
        key=lambda one: one[0],
    )
    for minus, name, resource in hurt:
        stance = Stance(name, Act.PROTECT, resource, _strength(-minus, poor))
        found.setdefault(name, stance)
    return [
        found.get(name, Stance(name, Act.LEAVE, strength=0))
        for name in window.workloads
    ]


def _acts(stances: list[Stance]) -> bool:
    return any(stance.act is not Act.LEAVE for stance in stances)


def _strength(grade: int, poor: bool) -> int:
    """Return the strength of a weak standing: the level less one."""
    return 1 if poor else max(1, min(3, grade - 1))


def _cause(seen: list[Scene], held_only: bool) -> str:
    worst = seen[0]
    if held_only:
        return "the trouble is over, and somebody still competes"
    if not worst.trouble:
        return "nobody who matters is in trouble"
    word = {2: "bad", 3: "critical"}[worst.trouble]
    who = ", ".join(worst.sufferers)
    takers = ", ".join(worst.takers) or "nobody who may wait"
    return f"{who}: {worst.resource} {word}; {takers} takes it"
