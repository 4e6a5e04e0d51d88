# SPDX-License-Identifier: MIT
"""What the operator wants for the time being, over the policy file; pure."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

import msgspec

from vagus.flow import Mode, Stance
from vagus.policy.hours import capped, effective
from vagus.policy.model import Policy
from vagus.verify import kind_of

NS = 1_000_000_000
# How long a spoken objective, an approval and an undone stance hold, and how long
# the decider is asked about a sentence that is only tried.
SAID_NS = 3600 * NS
APPROVED_NS = 3600 * NS
UNDONE_NS = 600 * NS
TRIED_NS = 30 * NS


class Approval(msgspec.Struct, frozen=True):
    """What the operator approved of one decision."""

    stances: list[Stance]
    until_ns: int


class Wishes(msgspec.Struct, frozen=True):
    """Orders given since the start; times are CLOCK_MONOTONIC."""

    mode: Mode | None = None  # also the most that any workload has
    modes: dict[str, Mode] = {}  # of single workloads, by their name in the policy
    objective: str = ""
    objective_until_ns: int = 0
    muted: dict[str, int] = {}  # workload -> until
    approvals: dict[str, Approval] = {}  # by the decision's number, oldest first

    @property
    def approved(self) -> list[Stance]:
        """Return the stances that are approved; of a workload's the latest."""
        each = (s for one in self.approvals.values() for s in one.stances)
        return [*{stance.workload: stance for stance in each}.values()]

    def approving(self, number: str, approval: Approval) -> Wishes:
        """Return the wishes with one more approval, or the same one anew."""
        others = {n: one for n, one in self.approvals.items() if n != number}
        return msgspec.structs.replace(self, approvals={**others, number: approval})

    def undoing(self, number: str, stances: Collection[Stance]) -> Wishes:
        """Return the wishes without an approval, and without these in any other."""
        undone = {kind_of(stance) for stance in stances}
        approvals = {}
        for name, one in self.approvals.items():
            kept = [s for s in one.stances if kind_of(s) not in undone]
            if kept and name != number:
                approvals[name] = Approval(kept, one.until_ns)
        return msgspec.structs.replace(self, approvals=approvals)

    def current(self, now_ns: int) -> Wishes:
        """Return the wishes without those whose time is over."""
        changes: dict[str, object] = {}
        if self.objective and now_ns >= self.objective_until_ns:
            changes |= {"objective": "", "objective_until_ns": 0}
        approvals = {n: a for n, a in self.approvals.items() if a.until_ns > now_ns}
        if approvals != self.approvals:
            changes["approvals"] = approvals
        muted = {name: end for name, end in self.muted.items() if end > now_ns}
        if muted != self.muted:
            changes["muted"] = muted
        return msgspec.structs.replace(self, **changes) if changes else self

    def over(self, policy: Policy, local: datetime) -> Policy:
        """Return the policy as the hour and these wishes leave it."""
        policy = effective(policy, local)
        if self.objective:
            policy = policy.with_objective(self.objective)
        if self.mode is not None:
            policy = capped(policy.with_mode(self.mode), self.mode)
        for name, mode in self.modes.items():
            if name in policy.workloads:
                policy = policy.with_mode(mode, name)
        if self.approvals:
            policy = policy.approving(self.approved)
        if self.muted:
            spared = (*policy.never_touch, *map(_literal, sorted(self.muted)))
            policy = policy.model_copy(update={"never_touch": spared})
        return policy


def advice_taken(policy: Policy) -> Policy:
    """Return the policy in which what is only advised may be done."""
    advised = [n for n, entry in policy.workloads.items() if entry.mode is Mode.ADVISE]
    for name in advised:
        policy = policy.with_mode(Mode.ENFORCE, name)
    return policy.with_mode(Mode.ENFORCE)


def _literal(name: str) -> str:
    """Return a glob that matches this name alone."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
