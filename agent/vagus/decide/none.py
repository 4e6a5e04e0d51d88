# SPDX-License-Identifier: MIT
"""The decider `none`: never anything; the control group of control groups."""

from __future__ import annotations

from vagus.decide.instant import Instant
from vagus.flow import Stance, Window


class Nothing(Instant):
    """Leave everybody alone."""

    name = "none"

    def stances(self, window: Window) -> tuple[list[Stance], str]:
        """Return no stance."""
        del window
        return [], "this decider leaves everybody alone"
