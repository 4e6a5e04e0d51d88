# SPDX-License-Identifier: MIT
"""How long from a wake-up to the finished write."""

from __future__ import annotations

from collections import deque

KEEP = 1_000


class Reactions:
    """Times from what woke the loop to the write that it led to."""

    def __init__(self) -> None:
        """Start with none."""
        self._since_ns = 0
        self._times_ns: deque[int] = deque(maxlen=KEEP)
        self.count = 0

    @property
    def waiting(self) -> bool:
        """Say whether a wake-up is not answered yet."""
        return self._since_ns > 0

    def woken(self, now_ns: int) -> None:
        """Note a wake-up; the first one that is not answered yet counts."""
        self._since_ns = self._since_ns or now_ns

    def looked(self, now_ns: int, wrote: bool) -> None:
        """Note that the reflex looked, and whether it wrote anything."""
        if wrote and self._since_ns:
            self._times_ns.append(now_ns - self._since_ns)
            self.count += 1
        self._since_ns = 0

    def counters(self) -> dict[str, int]:
        """Return how many, and their 99th percentile in microseconds."""
        ranked = sorted(self._times_ns)
        p99_ns = ranked[int(len(ranked) * 0.99)] if ranked else 0
        return {"loop.reactions": self.count, "loop.reaction_p99_us": p99_ns // 1000}
