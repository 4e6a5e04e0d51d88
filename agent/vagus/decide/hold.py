# SPDX-License-Identifier: MIT
"""Holding: a stance does not end the moment it has helped; docs/stance.md, Time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from vagus.flow import Act, Resource, Stance, Use, Window, Word

WANTS_USE = (Use.BUSY, Use.HEAVY)
WANTS_WORD = (Word.BAD, Word.CRITICAL)


def held(
    before: Sequence[Stance], now: Sequence[Stance], window: Window
) -> list[Stance]:
    """Return the new stances, with earlier ones kept where the competition goes on.

    The caller passes before=[] when the objective or the workloads changed.
    """
    old = {stance.workload: stance for stance in before}
    contested = {
        one
        for one in Resource
        if any(wants(window, rival, one) for rival in _rivals(before, one, window))
    }
    return [_kept(old, stance, contested) for stance in now]


def _rivals(
    before: Sequence[Stance], resource: Resource, window: Window
) -> Collection[str]:
    """Return who could bring trouble back: who yields, else all but the protected."""
    about = [stance for stance in before if stance.resource is resource]
    yielding = {s.workload for s in about if s.act is Act.YIELD}
    protected = {s.workload for s in about if s.act is Act.PROTECT}
    return yielding or (protected and window.workloads.keys() - protected)


def _kept(
    old: Mapping[str, Stance], stance: Stance, contested: set[Resource]
) -> Stance:
    """Return the earlier stance of a workload where it still has a reason."""
    earlier = old.get(stance.workload)
    if earlier is None or earlier.act is Act.LEAVE or earlier.resource not in contested:
        return stance
    weaker = (
        stance.act is earlier.act
        and stance.resource is earlier.resource
        and stance.strength < earlier.strength
    )
    return earlier if stance.act is Act.LEAVE or weaker else stance


def wants(window: Window, workload: str, resource: Resource) -> bool:
    """Tell whether a workload takes or misses a resource."""
    one = window.workloads.get(workload)
    return one is not None and (
        one.uses.get(resource, Use.UNKNOWN) in WANTS_USE
        or one.words.get(resource, Word.UNKNOWN) in WANTS_WORD
    )
