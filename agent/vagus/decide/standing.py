# SPDX-License-Identifier: MIT
"""Who is in trouble and who may wait, without reading: docs/stance.md, steps 1 to 3.

For deciders that do not read the sentence every standing is one of the weak ones:
first~ by an SLO or an interactive or service time sense, later~ by a throughput or
deferrable one, else plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from vagus.flow import Act, Resource, Stance, Use, Window, Word, WorkloadWindow
from vagus.policy.model import Policy
from vagus.policy.trust import entry_of

TAKES = (Use.BUSY, Use.HEAVY)
LEVELS: Mapping[Word, int] = {Word.BAD: 2, Word.CRITICAL: 3}
FIRST = ("interactive", "service")
LATER = ("throughput", "deferrable")


class Standing(StrEnum):
    """What a workload is by role and policy alone."""

    FIRST = "first~"
    LATER = "later~"
    PLAIN = "plain"


class Scene(msgspec.Struct, frozen=True):
    """Who suffers, and who takes, on one resource; names are sorted."""

    resource: Resource
    trouble: int  # 0 none, 2 bad, 3 critical
    sufferers: tuple[str, ...]  # first~ with trouble of their own
    takers: tuple[str, ...]  # later~ that use it busy or heavy


def standing(policy: Policy, workload: WorkloadWindow) -> Standing:
    """Return what a workload is by its SLO or its time sense."""
    entry = entry_of(policy, workload)
    if entry is not None and (entry.slo is not None or entry.protect):
        return Standing.FIRST
    sense = workload.role.time_sense
    if entry is not None and (role := entry.known_role()) is not None:
        sense = role.time_sense
    if sense in FIRST:
        return Standing.FIRST
    return Standing.LATER if sense in LATER else Standing.PLAIN


def scenes(policy: Policy, window: Window) -> list[Scene]:
    """Return cpu, io and memory, the most trouble first; ties in this order."""
    found = []
    standings = {n: standing(policy, w) for n, w in window.workloads.items()}
    for resource in Resource:
        levels = {
            name: level(window.workloads[name], resource)
            for name, stand in standings.items()
            if stand is Standing.FIRST
        }
        takers = [
            name
            for name, stand in standings.items()
            if stand is Standing.LATER and takes(window.workloads[name], resource)
        ]
        hurt = sorted(name for name, grade in levels.items() if grade)
        trouble = max(levels.values(), default=0)
        found.append(Scene(resource, trouble, tuple(hurt), tuple(sorted(takers))))
    return sorted(found, key=lambda scene: -scene.trouble)


def level(workload: WorkloadWindow, resource: Resource) -> int:
    """Return 2 for bad, 3 for critical; warm is no trouble without a sentence."""
    return LEVELS.get(workload.words.get(resource, Word.UNKNOWN), 0)


def takes(workload: WorkloadWindow, resource: Resource) -> bool:
    """Tell whether a workload uses a resource busy or heavy."""
    return workload.uses.get(resource) in TAKES


def lasting(before: Sequence[Stance], window: Window) -> list[Stance]:
    """Return what stood before, or nothing where one whom it was about has gone.

    Newcomers do not end a hold: idle cgroups come and go in every window.
    """
    about = [stance for stance in before if stance.act is not Act.LEAVE]
    gone = {stance.workload for stance in about} - window.workloads.keys()
    return [] if gone else about
