# SPDX-License-Identifier: MIT
"""Verify: (proposal, window, policy, state, time) -> verdict; pure, no I/O.

Whatever a decider says, only what passes here can reach the reflex.  In this order:

1. One stance for a workload; it must exist, and be well formed.
2. `never_touch` beats everything, the mode comes next; what the operator approved
   may stand in any.
3. Nobody yields whom the policy protects (`protect: true`): no decider and no
   sentence changes that.  A workload with an SLO is protected more softly: it may
   yield only by the operator's own word, which is a stance that the operator
   approved, the policy's `static:`, or an objective as read by the decider `llm`.
   "Finish the backup; the shop can wait" therefore can make a shop with an SLO
   yield; rules, bandit, random and an llm that fell back to rules, none of which
   read the sentence, cannot.
4. Provenance: what only vouches for itself is never protected (policy/trust.py),
   unless the operator has seen and approved just that.
   Nor does it gain the exemptions of an entry that it matched by a name it chose.
5. Quarantine: what the judge refuted, or the operator undid, is not tried again
   until its time.
6. Strength 3 follows a standing 2, unless somebody is critical; else it becomes 2.
7. On each resource at least one workload does not yield: else nobody would gain.
8. Cooldown, then the budgets.  A change that has to wait leaves the former stance
   standing, provided it would pass 1 to 5 today.

`allowed` is everything that may stand from now on; whoever is not in it is left
alone.  Withdrawals cost nothing and always pass.  Settings are checked once more on
their way to the kernel, by settings.py.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from vagus.codes import Code
from vagus.flow import (
    Act,
    Mode,
    Proposal,
    Refusal,
    Resource,
    Stance,
    Verdict,
    Window,
    Word,
)
from vagus.policy.hours import ORDER
from vagus.policy.match import spared_by
from vagus.policy.model import Policy
from vagus.policy.trust import known, vouched_entry

MINUTE_NS = 60_000_000_000
STRENGTHS = (1, 2, 3)
READERS = ("llm",)  # deciders that read the objective
APPROVED = "operator"  # the decider of a proposal that a person approved
SPOKEN = (APPROVED, "static")  # whose stances are the operator's own
Key = tuple[str, Act, Resource]


class Quarantine(msgspec.Struct, frozen=True):
    """What must wait: this stance up to this strength, until then."""

    stance: Stance
    until_ns: int
    undone: bool = False  # by the operator; else the judge refuted it


class VerifyState(msgspec.Struct, frozen=True):
    """What verification remembers from one verdict to the next."""

    standing: dict[str, Stance] = {}  # by workload, as last allowed in enforce mode
    changed_ns: dict[str, int] = {}  # by workload, for the cooldown
    actions_ns: tuple[int, ...] = ()  # of the last minute, for the budget
    quarantine: tuple[Quarantine, ...] = ()


def quarantined(
    state: VerifyState, stance: Stance, until_ns: int, undone: bool = False
) -> VerifyState:
    """Return the state in which a stance that was refuted, or undone, must wait."""
    others = tuple(
        held
        for held in state.quarantine
        if held.undone is not undone or kind_of(held.stance) != kind_of(stance)
    )
    return replace(state, quarantine=(*others, Quarantine(stance, until_ns, undone)))


def lifted(state: VerifyState, stances: Sequence[Stance]) -> VerifyState:
    """Return the state in which what was undone of these may be again."""
    keys = {kind_of(stance) for stance in stances}
    kept = (
        q for q in state.quarantine if not q.undone or kind_of(q.stance) not in keys
    )
    return replace(state, quarantine=tuple(kept))


def pardoned(state: VerifyState) -> VerifyState:
    """Return the state in which nothing was refuted; what was undone stays so."""
    return replace(state, quarantine=tuple(q for q in state.quarantine if q.undone))


def forgotten(state: VerifyState) -> VerifyState:
    """Return the state after every lease was given back: nothing stands."""
    return replace(state, standing={})


def verify(
    proposal: Proposal,
    window: Window,
    policy: Policy,
    state: VerifyState,
    now_ns: int,
) -> tuple[Verdict, VerifyState]:
    """Return what may stand, each refusal with its reason, and the next state."""
    check = _Check(proposal, window, policy, state, now_ns)
    wanted, refused = _passing(check)
    mode = max((policy.mode, *(check.mode(s) for s in wanted)), key=ORDER.index)
    main = [s for s in wanted if check.mode(s) is mode]
    lesser = [s for s in wanted if check.mode(s) is not mode]
    allowed, waiting = _in_time(check, main)
    allowed, useless = _useful(allowed, window)
    order = {stance.workload: n for n, stance in enumerate(proposal.stances)}
    allowed.sort(key=lambda s: order.get(s.workload, len(order)))
    verdict = Verdict(allowed, [*refused, *waiting, *useless], mode, lesser)
    return verdict, _after(check, allowed if mode is Mode.ENFORCE else [])


class _Check(msgspec.Struct, frozen=True):
    """What every rule looks at."""

    proposal: Proposal
    window: Window
    policy: Policy
    state: VerifyState
    now_ns: int

    def approved(self, stance: Stance) -> bool:
        """Say whether a person has seen and approved this."""
        if self.proposal.decider == APPROVED:
            return True
        return kind_of(stance) in map(kind_of, self.policy.approved)

    def mode(self, stance: Stance) -> Mode:
        """Return the mode that holds for a stance: its workload's, or the policy's."""
        if self.approved(stance):
            return Mode.ENFORCE
        seen = self.window.workloads.get(stance.workload)
        key = seen.policy or stance.workload if seen else stance.workload
        entry = self.policy.workloads.get(key)
        return entry.mode if entry and entry.mode else self.policy.mode

    def refusal(self, code: Code, stance: Stance, reason: str) -> Refusal:
        """Return a refusal in one sentence."""
        sentence = f"{stance.workload}: {_said(stance)} refused: {reason}"
        return Refusal(code, sentence, stance.workload, stance.resource)


def _passing(check: _Check) -> tuple[list[Stance], list[Refusal]]:
    """Return the stances that pass the rules that know no time, 1 to 7."""
    passed: list[Stance] = []
    refused: list[Refusal] = []
    seen: dict[str, Stance] = {}
    for stance in check.proposal.stances:
        first = seen.setdefault(stance.workload, stance)
        if first is not stance:
            if first != stance:
                reason = f"one stance for a workload, and it has {_said(first)}"
                refused.append(check.refusal(Code.DUPLICATE, stance, reason))
            continue
        if stance.act is Act.LEAVE:
            continue
        found = _refused(check, stance)
        if found is not None:
            refused.append(found)
            continue
        graded, lowered = _graded(check, stance)
        refused += lowered
        found = _refused(check, graded)  # what is quarantined may be the weaker one
        if found is None:
            passed.append(graded)
        else:
            refused.append(found)
    useful, useless = _useful(passed, check.window)
    return useful, refused + useless


def _refused(check: _Check, stance: Stance) -> Refusal | None:
    """Return why a stance may not be at all, by the rules 1 to 5."""
    for rule in (_malformed, _unknown, _spared, _mode, _yields, _vouched, _waits):
        found = rule(check, stance)
        if found is not None:
            return check.refusal(found[0], stance, found[1])
    return None


Finding = tuple[Code, str] | None


def _malformed(check: _Check, stance: Stance) -> Finding:
    if stance.strength in STRENGTHS:
        return None
    return Code.MALFORMED, f"strength is 1, 2 or 3, not {stance.strength}"


def _unknown(check: _Check, stance: Stance) -> Finding:
    if stance.workload in check.window.workloads:
        return None
    return Code.UNKNOWN, "there is no such workload now"


def _spared(check: _Check, stance: Stance) -> Finding:
    workload = check.window.workloads[stance.workload]
    for name in (workload.policy, stance.workload, workload.name):
        pattern = spared_by(check.policy, name, workload.cgroup)
        if pattern:
            return Code.NEVER_TOUCH, f"never_touch has {pattern}"
    return None


def _mode(check: _Check, stance: Stance) -> Finding:
    if check.mode(stance) is not Mode.OBSERVE:
        return None
    return Code.MODE, "its mode is observe"


def _yields(check: _Check, stance: Stance) -> Finding:
    """Hold up what the policy and the objective protect."""
    if stance.act is not Act.YIELD:
        return None
    policy, proposal = check.policy, check.proposal
    entry = vouched_entry(policy, check.window.workloads[stance.workload])
    if entry is None:
        return None
    if entry.protect:
        return Code.PROTECTED, "the policy has protect: true for it"
    reads = proposal.decider in READERS and not proposal.fallback
    says = reads and policy.objective.strip() != ""
    spoken = proposal.decider in SPOKEN or check.approved(stance)
    if entry.slo is None or says or spoken:
        return None
    who = f"{proposal.decider} does not read the objective"
    return Code.OBJECTIVE, f"it has an SLO, and {who if not reads else 'there is none'}"


def _vouched(check: _Check, stance: Stance) -> Finding:
    workload = check.window.workloads[stance.workload]
    if stance.act is not Act.PROTECT or check.approved(stance):
        return None
    if known(check.policy, workload):
        return None
    reason = "only its own name and arguments speak for it; name it in the policy"
    return Code.PROVENANCE, reason


def _waits(check: _Check, stance: Stance) -> Finding:
    # The operator's word first: it is what a person will ask about.
    for held in sorted(check.state.quarantine, key=lambda one: not one.undone):
        same = kind_of(held.stance) == kind_of(stance)
        if same and stance.strength <= held.stance.strength:
            left_ns = held.until_ns - check.now_ns
            if left_ns > 0:
                seconds = -(-left_ns // 1_000_000_000)
                why = "the operator undid it" if held.undone else "it did not help"
                return Code.QUARANTINE, f"{why}; not before {seconds} s"
    return None


def _graded(check: _Check, stance: Stance) -> tuple[Stance, list[Refusal]]:
    """Bring strength 3 down to 2 where nothing calls for it yet."""
    before = check.state.standing.get(stance.workload)
    steady = before is not None and kind_of(before) == kind_of(stance)
    if stance.strength < 3 or (steady and before and before.strength >= 2):
        return stance, []
    if _critical(check, stance):
        return stance, []
    reason = "3 follows a standing 2 or a critical word; 2 for now"
    return replace(stance, strength=2), [check.refusal(Code.STRENGTH, stance, reason)]


def _critical(check: _Check, stance: Stance) -> bool:
    """Tell whether somebody whom a stance is for is in critical trouble.

    To make others yield hard, one's own word is not enough.
    """
    workloads = check.window.workloads
    if stance.act is Act.PROTECT:
        return workloads[stance.workload].words.get(stance.resource) is Word.CRITICAL
    return any(
        other.words.get(stance.resource) is Word.CRITICAL
        and name != stance.workload
        and bool(known(check.policy, other))
        for name, other in workloads.items()
    )


def _useful(
    stances: Sequence[Stance], window: Window
) -> tuple[list[Stance], list[Refusal]]:
    """Take out yields on a resource on which everybody would yield."""
    useless: list[Stance] = []
    for resource in Resource:
        yields = [s for s in stances if s.act is Act.YIELD and s.resource is resource]
        if len(yields) >= len(window.workloads):
            useless += yields
    reason = "everybody would yield, so nobody would gain"
    refused = [
        Refusal(
            Code.NOBODY_GAINS,
            f"{s.workload}: {_said(s)} refused: {reason}",
            s.workload,
            s.resource,
        )
        for s in useless
    ]
    return [s for s in stances if s not in useless], refused


def _in_time(
    check: _Check, wanted: Sequence[Stance]
) -> tuple[list[Stance], list[Refusal]]:
    """Let through what cooldown and budgets have room for, in order of urgency."""
    standing, budget = check.state.standing, check.policy.budget
    same = [s for s in wanted if standing.get(s.workload) == s]
    changes = [s for s in wanted if standing.get(s.workload) != s]
    allowed: list[Stance] = []
    refused: list[Refusal] = []
    left = budget.actions_per_minute - len(_recent(check.state, check.now_ns))
    for stance in [*same, *sorted(changes, key=_urgency)]:
        is_change = standing.get(stance.workload) != stance
        found = _late(check, stance, left) if is_change else None
        if found is not None:
            refused.append(check.refusal(found[0], stance, found[1]))
            kept = _former(check, stance)
        else:
            kept = [stance]
        if kept and len(allowed) >= budget.workloads:
            reason = f"{budget.workloads} workloads at once, and no more"
            if found is None:
                refused.append(check.refusal(Code.WORKLOADS, stance, reason))
            continue
        left -= is_change and found is None
        allowed += kept
    return allowed, refused


def _late(check: _Check, stance: Stance, left: int) -> Finding:
    """Return why a change must wait."""
    changed_ns = check.state.changed_ns.get(stance.workload)
    cooldown_ns = check.policy.budget.cooldown_ns
    if changed_ns is not None and not _raised_in_need(check, stance):
        left_ns = cooldown_ns - (check.now_ns - changed_ns)
        if left_ns > 0:
            seconds = left_ns / 1_000_000_000
            return Code.COOLDOWN, f"it was changed lately; not before {seconds:.1f} s"
    if left <= 0:
        limit = check.policy.budget.actions_per_minute
        return Code.BUDGET, f"{limit} actions a minute are used up"
    return None


def _raised_in_need(check: _Check, stance: Stance) -> bool:
    """Tell whether a standing stance is only made stronger, in critical trouble."""
    before = check.state.standing.get(stance.workload)
    return (
        before is not None
        and kind_of(before) == kind_of(stance)
        and stance.strength > before.strength
        and _critical(check, stance)
    )


def _former(check: _Check, stance: Stance) -> list[Stance]:
    """Return the stance that stands instead of one that has to wait, if it may."""
    before = check.state.standing.get(stance.workload)
    if before is None or _refused(check, before) is not None:
        return []
    if check.mode(before) is not check.mode(stance):
        return []  # only the new one is approved
    return [before]


def _after(check: _Check, allowed: Sequence[Stance]) -> VerifyState:
    """Return what to remember of a verdict; what has passed is forgotten."""
    state, now_ns = check.state, check.now_ns
    standing = {stance.workload: stance for stance in allowed}
    begun = [s.workload for s in allowed if state.standing.get(s.workload) != s]
    ended = [
        name
        for name in state.standing
        if name not in standing and name in check.window.workloads
    ]
    cooldown_ns = check.policy.budget.cooldown_ns
    changed_ns = {
        name: at for name, at in state.changed_ns.items() if now_ns - at < cooldown_ns
    } | dict.fromkeys((*begun, *ended), now_ns)
    return VerifyState(
        standing=standing,
        changed_ns=changed_ns,
        actions_ns=(*_recent(state, now_ns), *(now_ns for _ in begun)),
        quarantine=tuple(q for q in state.quarantine if q.until_ns > now_ns),
    )


def _recent(state: VerifyState, now_ns: int) -> tuple[int, ...]:
    return tuple(at for at in state.actions_ns if now_ns - at < MINUTE_NS)


def _urgency(stance: Stance) -> tuple[bool, int, str]:
    """Sort: those who are protected first, then the stronger."""
    return stance.act is not Act.PROTECT, -stance.strength, stance.workload


def kind_of(stance: Stance) -> Key:
    """Return what a stance is but for its strength."""
    return stance.workload, stance.act, stance.resource


def _said(stance: Stance) -> str:
    if stance.act is Act.LEAVE:
        return "leave"
    return f"{stance.act} {stance.resource} {stance.strength}"
