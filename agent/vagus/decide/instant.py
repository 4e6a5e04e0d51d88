# SPDX-License-Identifier: MIT
"""What deciders share that answer at once: pacing, and no resource to own."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vagus.flow import Act, Proposal, Stance, Window
from vagus.policy.model import Policy


class Instant(ABC):
    """A decider that thinks within consider(); says something new at once.

    What is unchanged is said again every `decide.min_interval`, because
    verification may have had it wait.
    """

    name = ""

    def __init__(self, policy: Policy) -> None:
        """Take roles, SLOs and the interval from the policy."""
        self.policy = policy
        self._ready: Proposal | None = None
        self._said: list[Stance] | None = None
        self._said_ns = 0

    @abstractmethod
    def stances(self, window: Window) -> tuple[list[Stance], str]:
        """Return the stances that are right now, and why, in one sentence."""

    def set_policy(self, policy: Policy) -> None:
        """Decide by another policy from now on."""
        self.policy = policy
        self._said = None

    def consider(self, window: Window, objective: str) -> None:
        """Look at a window; the objective is for deciders that can read."""
        del objective
        found, cause = self.stances(window)
        acts = [s for s in found if s.act is not Act.LEAVE]
        waited_ns = window.end_ns - self._said_ns
        if acts == self._said and waited_ns < self.policy.decide.min_interval_ns:
            return
        self._said, self._said_ns = acts, window.end_ns
        self._ready = Proposal(self.name, found, cause)

    def answer(self) -> Proposal | None:
        """Return what is new, once."""
        ready, self._ready = self._ready, None
        return ready

    def fileno(self) -> int:
        """Return -1: nothing comes later."""
        return -1

    def close(self) -> None:
        """Drop what nobody asked for; nothing else was taken."""
        self._ready = None
