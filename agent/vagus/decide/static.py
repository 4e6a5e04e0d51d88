# SPDX-License-Identifier: MIT
"""The decider `static`: the stances that the policy lists, always."""

from __future__ import annotations

from vagus.decide.instant import Instant
from vagus.flow import Stance, Window


class Static(Instant):
    """Say what the policy's `static:` says of the workloads that are there."""

    name = "static"

    def stances(self, window: Window) -> tuple[list[Stance], str]:
        """Return the listed stances; a name covers each of its cgroups."""
        found = []
        for name, workload in window.workloads.items():
            pick = self.policy.static.get(workload.policy or name)
            if pick is not None:
                found.append(Stance(name, pick.act, pick.resource, pick.strength))
        return found, "the policy lists these stances"
