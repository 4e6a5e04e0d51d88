# SPDX-License-Identifier: MIT
"""Recorded windows in the words of another policy: its thresholds and SLOs.

The numbers are as recorded, and so is which workload is which.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from vagus.flow import Resource, Use, Window, Word, WorkloadWindow
from vagus.policy.model import Policy
from vagus.window import enough, suffering, taken, using
from vagus.words import HOLD, UNKNOWN, Held, use, word


class _Known(msgspec.Struct):
    """One workload: its words as they are held, and what they were made of."""

    cgroup_id: int
    words: dict[Resource, Held]
    uses: dict[str, Held]
    load: WorkloadWindow | None = None  # as recorded
    again: WorkloadWindow | None = None  # as reworded
    times: int = 0  # that it was the same


class Reworder:
    """Rewords windows in order; words that are held are remembered."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[str, _Known] = {}

    def window(self, window: Window, policy: Policy) -> Window:
        """Return a window in the words of a policy."""
        loads = {
            name: self._load(load, window, policy)
            for name, load in window.workloads.items()
        }
        return replace(window, workloads=loads)

    def _load(
        self, load: WorkloadWindow, window: Window, policy: Policy
    ) -> WorkloadWindow:
        known = self._known.get(load.name)
        if known is None or known.cgroup_id != load.cgroup_id:
            known = self._known[load.name] = _Known(load.cgroup_id, {}, {})
        known.times = known.times + 1 if known.load == load else 0
        # What did not move for so long has no word that could still get better.
        if known.again is None or known.times <= HOLD:
            known.load, known.again = load, _reworded(load, known, window, policy)
        return known.again


def _reworded(
    load: WorkloadWindow, known: _Known, window: Window, policy: Policy
) -> WorkloadWindow:
    """Return a workload in other words.

    A word that rests on no number is as recorded: all was quiet, or nobody knew.
    """
    levels, counted = policy.levels(load.policy), enough(load.numbers)
    words, uses = {}, {}
    for resource in Resource:
        now, calm = suffering(counted, levels, resource)
        said = load.words.get(resource, Word.UNKNOWN)
        if now == UNKNOWN and said is not Word.UNKNOWN:
            now = calm = 0
        moved = known.words.setdefault(resource, Held()).move(now, calm)
        words[resource.value] = word(moved)
    for name, value in taken(load.numbers, window.machine).items():
        if value is None and load.uses.get(name, Use.UNKNOWN) is not Use.UNKNOWN:
            value = 0.0
        moved = known.uses.setdefault(name, Held()).move(*using(value, policy, name))
        uses[name] = use(moved)
    return replace(load, words=words, uses=uses)
