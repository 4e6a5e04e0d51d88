# SPDX-License-Identifier: MIT
"""When the agent asks for more of the CPU than in calm, and when it gives that up.

While nobody suffers nothing is urgent, and the agent's own work must not be what
others wait for; in trouble it must come through among many.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from vagus.flow import Window, Word

# Ticks without need after which it gives the larger share up.
CALM_TICKS = 3
# What the loop may wait for the CPU in one go before it asks for more.
STARVED_NS = 50_000_000
# Not urgent: while it works the agent itself makes somebody warm on one slow CPU.
BEARABLE = (Word.OK, Word.UNKNOWN, Word.WARM)


class Urgency:
    """Remembers what was asked for; `urge` sets it."""

    def __init__(self, urge: Callable[[bool], None]) -> None:
        """Begin as in trouble: what is going on is not known yet."""
        self._urge, self._is_urgent, self._calm_ticks = urge, True, 0

    def ticked(self) -> None:
        """Note that a tick has passed; need() says whether in calm."""
        self._calm_ticks += 1

    def need(self, is_urgent: bool, waited_ns: int = 0) -> None:
        """Say if it is urgent, and for how long the loop waited for the CPU."""
        if is_urgent or waited_ns > STARVED_NS:
            self._calm_ticks = 0
        lately = self._calm_ticks < CALM_TICKS
        if lately != self._is_urgent:
            self._is_urgent = lately
            self._urge(lately)


def all_have(
    words: Collection[Word], window: Window, names: Collection[str] | None = None
) -> bool:
    """Say whether these (None: all) workloads have no other words than these."""
    return all(
        word in words
        for name, one in window.workloads.items()
        if names is None or name in names
        for word in one.words.values()
    )
