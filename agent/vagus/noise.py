# SPDX-License-Identifier: MIT
"""The A/A noise floor: how much a signal moves while nothing is applied.

It is learned from the differences of neighbouring windows, not from their
spread: a load that comes or goes is one difference and not noise.  Latencies
vary in proportion to themselves, shares in points.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

# Half a minute of windows is enough for a median and forgets old habits.
KEEP = 120
LEARNED_FROM = 8
# Three median differences: for a normal signal about three standard deviations.
FACTOR = 3.0
# Below these nobody notices a change: (absolute, relative).
LEAST = {"_ns": (200_000.0, 0.15), "_pct": (2.0, 0.0)}
# Until it is learned: latencies may vary by half, shares by ten points.
ASSUMED = {"_ns": math.log(1.5), "_pct": 10.0}
# A floor over this would hide anything: e^1.1 is a factor of three.
MOST = {"_ns": 1.1, "_pct": 25.0}


def kind(signal: str) -> str:
    """Return how a signal varies: "_ns" in proportion, "_pct" in points."""
    return "_ns" if signal.endswith("_ns") else "_pct"


class Floor:
    """What one signal of one workload does by itself."""

    def __init__(self, signal: str) -> None:
        """Start with nothing learned."""
        self._kind = kind(signal)
        self._last: float | None = None
        self._moves: deque[float] = deque(maxlen=KEEP)

    @property
    def learned(self) -> bool:
        """Say whether there were enough windows."""
        return len(self._moves) >= LEARNED_FROM

    def learn(self, value: float) -> None:
        """Take one window in which nothing was applied."""
        if self._last is not None:
            self._moves.append(abs(self._scaled(value) - self._scaled(self._last)))
        self._last = value

    def pause(self) -> None:
        """Forget the last window: the next one is no neighbour of it."""
        self._last = None

    def noise(self, level: float) -> float:
        """Return the noise at a level, in the signal's own unit."""
        move = FACTOR * median(self._moves) if self.learned else ASSUMED[self._kind]
        move = min(move, MOST[self._kind])
        absolute, relative = LEAST[self._kind]
        grown = level * math.expm1(move) if self._kind == "_ns" else move
        return max(absolute, relative * level, grown)

    def _scaled(self, value: float) -> float:
        """Return the scale on which the noise is even."""
        least = LEAST["_ns"][0]
        return math.log(max(value, least)) if self._kind == "_ns" else value
