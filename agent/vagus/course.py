# SPDX-License-Identifier: MIT
"""The course: which policy is in force, what was proposed, what stands.

Joins decide and verify.  Does no I/O of its own: time comes as an argument, the
decider is asked and never waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec
from msgspec.structs import replace

from vagus.flow import (
    Basis,
    Decider,
    Mode,
    Proposal,
    Resource,
    Stance,
    Tried,
    Verdict,
    Window,
)
from vagus.policy.hours import ORDER
from vagus.policy.model import Policy
from vagus.verify import (
    APPROVED,
    VerifyState,
    forgotten,
    kind_of,
    lifted,
    pardoned,
    quarantined,
    verify,
)
from vagus.wishes import Approval, Wishes


class Course:
    """What the loop is steering by."""

    def __init__(self, policy: Policy) -> None:
        """Begin with nothing standing."""
        self.base = policy  # as it stands in the file
        self.policy = policy  # with the hour and the operator's wishes over it
        self.bounds = policy.bounds()
        self.wishes = Wishes()
        self.standing: list[Stance] = []  # allowed, and to be enforced
        self.verdict: Verdict | None = None
        self.proposal: Proposal | None = None
        self._decided: Proposal | None = None  # without what is approved over it
        self.proposals = self.fallbacks = 0
        self.tried: Tried | None = None
        self.instead = ""  # why another decider answers than the policy's
        self._fresh: tuple[Proposal, Verdict, Basis] | None = None
        self._noted: tuple[object, ...] = ()  # what the latest one on record says
        self._state = VerifyState()
        self._steered = (self.wishes, datetime.min)  # what `policy` was made with

    def take_fresh(self) -> tuple[Proposal | None, Verdict | None, Basis | None]:
        """Return the decision made since the last call, for the record."""
        fresh, self._fresh = self._fresh, None
        return fresh or (None, None, None)

    # ------------------------------------------------------------------ deciding

    def consider(self, decider: Decider, window: Window, now_ns: int) -> None:
        """Show the window to the decider; verify what it says, or said last.

        What had to wait (cooldown, budget, a strength that must be reached step
        by step) comes through here without the decider being asked again.
        """
        tried = self.tried
        if tried and tried.verdict is None and now_ns < tried.until_ns:
            decider.consider(window, tried.sentence)
            if not self.answered(decider, window, now_ns):
                self._again(window, now_ns)
            return
        if self.policy.modes() == {Mode.OBSERVE}:
            self._again(window, now_ns)  # on record: nothing stands any more
            # What was said before would be stale when the mode is another again.
            self.standing, self.proposal, self._decided = [], None, None
            return
        decider.consider(window, self.policy.objective)
        if not self.answered(decider, window, now_ns):
            self._again(window, now_ns)

    def answered(self, decider: Decider, window: Window, now_ns: int) -> bool:
        """Take the decider's answer if it has one; True where it had."""
        proposal = decider.answer()
        if proposal is None:
            return False
        if self.instead and not proposal.fallback:
            proposal = replace(proposal, fallback=self.instead)
        if self._tried(proposal, window, now_ns):
            return False
        self.proposals += 1
        self.fallbacks += bool(proposal.fallback)
        self._decided = proposal
        self._approve()
        self._again(window, now_ns)
        return True

    def _tried(self, proposal: Proposal, window: Window, now_ns: int) -> bool:
        """Take an answer to the sentence on trial; nothing comes to stand by it."""
        tried = self.tried
        if tried is None or tried.verdict is not None:
            return False
        if proposal.objective not in ("", tried.sentence):
            return False
        policy = self.policy.with_objective(tried.sentence).approving(())
        verdict, _ = verify(proposal, window, policy, self._state, now_ns)
        self.tried = replace(
            tried, proposal=proposal, verdict=verdict, mode=policy.mode
        )
        return True

    def _again(self, window: Window, now_ns: int) -> None:
        """Verify the proposal in force, and put on record what changed by that.

        What is only said again, because something had to wait, is no decision.
        """
        said = self.proposal
        if said is None:
            return
        before = self._state
        verdict = self._verified(said, window, now_ns)
        came = (verdict.mode, verdict.allowed, verdict.advised)
        noted = (said.decider, said.stances, said.fallback, *came)
        if noted != self._noted:
            basis = self._basis(window, now_ns, before)
            self._fresh, self._noted = (said, verdict, basis), noted

    def _basis(self, window: Window, now_ns: int, state: VerifyState) -> Basis:
        """Return what a verdict was made from."""
        wishes, local = self._steered
        return Basis(
            tick=window.tick,
            now_ns=now_ns,
            local=local.isoformat(),
            policy=self.policy.text_hash,
            wishes=msgspec.json.encode(wishes).decode(),
            state=msgspec.json.encode(state).decode(),
        )

    def _verified(self, proposal: Proposal, window: Window, now_ns: int) -> Verdict:
        """Verify a proposal; what is allowed stands until the next verdict."""
        verdict, self._state = verify(
            proposal, window, self.policy, self._state, now_ns
        )
        self.verdict = verdict
        self.standing = verdict.allowed if verdict.mode is Mode.ENFORCE else []
        return verdict

    # ------------------------------------------------------------------ steering

    def refresh(self, now_ns: int, local: datetime) -> bool:
        """Bring the policy in force up to date; True where it changed."""
        self.wishes = self.wishes.current(now_ns)
        self._steered = (self.wishes, local)
        self._approve()
        policy = self.wishes.over(self.base, local)
        if policy is self.policy or policy == self.policy:
            return False
        if aims(policy) != aims(self.policy):
            self._state = pardoned(self._state)
        self.policy, self.bounds = policy, policy.bounds()
        # What has just been changed was so under other wishes.
        self._state = replace(self._state, changed_ns={})
        return True

    def wish(self, wishes: Wishes) -> None:
        """Take the operator's wishes; in force from the next refresh on."""
        self.wishes = wishes

    def approve(self, number: str, stances: list[Stance], until_ns: int) -> None:
        """Let a decision's stances stand until a time, also what was undone."""
        self._state = lifted(self._state, stances)
        self.wish(self.wishes.approving(number, Approval(stances, until_ns)))

    def _approve(self) -> None:
        """Propose what the decider does, and over it what the operator approved."""
        approved, said = self.wishes.approved, self._decided
        names = {stance.workload for stance in approved}
        others = [s for s in said.stances if s.workload not in names] if said else []
        if said and approved and others:
            who = ", ".join(sorted(names))
            cause = f"{said.cause}; approved by the operator: {who}"
            said = replace(said, stances=[*approved, *others], cause=cause)
        elif approved:
            said = Proposal(APPROVED, approved, "approved by the operator")
        elif said is None and self.proposal:
            said = Proposal(APPROVED, [], "what the operator approved is over")
        self.proposal = said

    def refuse(self, stance: Stance, until_ns: int) -> None:
        """Do not try a stance, up to its strength, before a time."""
        self._state = quarantined(self._state, stance, until_ns)

    @property
    def withdrawn(self) -> set[tuple[str, Resource]]:
        """Return what the operator has undone: to be given back at once."""
        undone = [held.stance for held in self._state.quarantine if held.undone]
        standing = {(s.workload, s.resource) for s in self.standing}
        return {(s.workload, s.resource) for s in undone} - standing

    def undo(self, number: str, stances: Sequence[Stance], until_ns: int) -> None:
        """Take stances back; they are not tried again before a time."""
        for stance in stances:
            strongest = replace(stance, strength=3)
            self._state = quarantined(self._state, strongest, until_ns, undone=True)
        undone = {kind_of(stance) for stance in stances}
        self.standing = [s for s in self.standing if kind_of(s) not in undone]
        self.wish(self.wishes.undoing(number, stances))

    def stand_down(self) -> None:
        """Let nothing stand, and only advise from now on."""
        self.forget()
        mode = min(self.policy.mode, Mode.ADVISE, key=ORDER.index)
        self.wishes = Wishes(mode=mode, muted=self.wishes.muted)

    def forget(self) -> None:
        """Let nothing stand: every lease was given back."""
        self.standing, self._state = [], forgotten(self._state)


def aims(policy: Policy) -> tuple[object, ...]:
    """Return what a stance is to serve: who was refuted under another may help now.

    How far Vagus may go, and whom it leaves alone, is no part of it.
    """
    workloads = {
        name: entry.model_copy(update={"mode": None})
        for name, entry in policy.workloads.items()
    }
    return policy.objective, workloads
