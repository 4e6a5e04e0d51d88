# SPDX-License-Identifier: MIT
"""The decider `random`: any stances at all; what verification leaves is the control.

A model that does not beat this one does nothing useful within its bounds.
"""

from __future__ import annotations

from random import Random

from vagus.decide.instant import Instant
from vagus.flow import Act, Resource, Stance, Window
from vagus.policy.model import Policy

# A draw stands as long as the judge needs to see what it does.
STANDS_NS = 30_000_000_000
CHOICES = (
    (Act.LEAVE, Resource.CPU, 0),
    *(
        (act, resource, strength)
        for act in (Act.PROTECT, Act.YIELD)
        for resource in Resource
        for strength in (1, 2, 3)
    ),
)


class RandomSet(Instant):
    """Draw a stance for every workload; a seed makes the draws repeatable."""

    name = "random"

    def __init__(self, policy: Policy, seed: int = 0) -> None:
        """Take the seed of the draws."""
        super().__init__(policy)
        self._random = Random(seed)
        self._drawn: dict[str, Stance] = {}
        self._drawn_ns: int | None = None

    def stances(self, window: Window) -> tuple[list[Stance], str]:
        """Return the draw that stands; a new one each half minute, or for newcomers."""
        since = self._drawn_ns
        if since is None or window.end_ns - since >= STANDS_NS:
            self._drawn, self._drawn_ns = {}, window.end_ns
        for name in sorted(window.workloads.keys() - self._drawn.keys()):
            act, resource, strength = self._random.choice(CHOICES)
            self._drawn[name] = Stance(name, act, resource, strength)
        found = [self._drawn[name] for name in window.workloads]
        return found, "drawn at random"
