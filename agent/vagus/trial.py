# SPDX-License-Identifier: MIT
"""What is on trial: stances, their objective, what was seen so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median

import msgspec

from vagus.flow import Act, Resource, Stance, Window, Word, WorkloadWindow
from vagus.wording import Target

Key = tuple[str, Resource]
# Workload -> resource -> the number that made its last word (window.py).
Telling = Callable[[str], Mapping[str, str]]
Name = tuple[str, Act, Resource]

RECHECK = 300  # windows until a kept stance is asked again; doubles
SIGNALS = {
    Resource.CPU: ("slo_p99_ns", "runq_p99_ns", "runq_wait_pct", "psi_cpu_some_pct"),
    Resource.IO: ("io_p99_ns", "psi_io_some_pct"),
    Resource.MEMORY: ("psi_memory_some_pct",),
}
# One task that waits makes PSI full: how much is waited in all tells of a help that
# does not end the trouble, as while a backlog is worked off.
IN_ALL = {"psi_cpu_some_pct": "runq_wait_pct"}
# By so many noises nothing gets worse by chance: a withdrawal ends at once, and
# needs no other to confirm it.
CLEARLY = 2.0
HURTING = 2  # windows in a row that are clearly worse end a withdrawal early
DOUBTS = 2  # withdrawals that may leave it open
GLANCES = 3  # in a row; each costs 100 ms without the stance
SETTLE = 1  # windows
USUAL = 30  # fast readings remembered from before a withdrawal
# Over how long such a reading is taken: of less there are few waits, and one tells
# too much; what is usual must not be of much more than what it is compared with.
SHORTEST_NS, LONGEST_NS = 80_000_000, 250_000_000
BAD = (Word.BAD, Word.CRITICAL)


class Trial(msgspec.Struct):
    """One group of stances on trial for one objective."""

    stances: list[Stance]
    target: Target
    before: float
    troubled: bool  # the objective suffered when it began
    phase: str = "watch"  # watch, withdraw, rest, kept
    age: int = 0  # windows in this phase
    values: list[float] = []  # of the target, in this phase
    held: float = 0.0  # median of the target while applied
    testing: Target | None = None  # whose signal the withdrawal compares
    tested: list[Stance] = []  # which stances are withdrawn
    usual: list[float] = []  # fast readings while applied
    glances: list[float] = []  # fast readings in a row that hurt
    waits: int = 0  # windows in which the trouble went on, unasked
    hurting: list[float] = []  # windows in a row that hurt
    doubts: int = 0  # withdrawals that made it worse, but not by far
    levels: dict[Target, float] = {}  # everybody's signals when it began
    aside: list[str] = []  # bystanders that got worse under it, in words
    recheck: int = RECHECK
    turn: int = 0  # which member is asked next
    proven: bool = False  # a withdrawal made it worse

    @property
    def ended(self) -> bool:
        """Say whether fast readings have ended a withdrawal."""
        return len(self.glances) >= GLANCES

    def glance(self, value: float, span_ns: int, noise: float) -> None:
        """Take in a fast reading of the target, over `span_ns`."""
        if span_ns < SHORTEST_NS:
            return
        if self.phase == "withdraw" and self.testing == self.target:
            most = max(self.held + CLEARLY * noise, *self.usual, 0.0)
            self.glances = [*self.glances, value] if value > most else []
        is_usual = self.phase in ("watch", "kept") and self.age > SETTLE
        if is_usual and span_ns <= LONGEST_NS:
            self.usual = [*self.usual[1 - USUAL :], value]

    def concerns(self, workload: str) -> bool:
        """Say whether a workload is the objective or has one of the stances."""
        return workload in (self.target[0], *(s.workload for s in self.stances))


class Refuted(msgspec.Struct, frozen=True):
    """What was refuted: up to which strength, until when, how often by now."""

    strength: int
    until_ns: int
    times: int


def key(stance: Stance) -> Key:
    """Return what a stance is about."""
    return stance.workload, stance.resource


def name(stance: Stance) -> Name:
    """Return what a verdict is about."""
    return stance.workload, stance.act, stance.resource


def signal(workload: WorkloadWindow, resource: Resource, told_by: str = "") -> str:
    """Return the signal to judge a workload by on a resource; "" if there is none.

    `told_by`: the number that makes its word, which is what is to get better.
    """
    told_by = IN_ALL.get(told_by, told_by)
    order = (told_by, *SIGNALS[resource])
    known = (s for s in order if s in SIGNALS[resource])
    return next((s for s in known if s in workload.numbers), "")


def rank(word: Word | None) -> int:
    """Return how bad a word is, from 0; unknown is least."""
    order = [Word.UNKNOWN, Word.OK, Word.WARM, Word.BAD, Word.CRITICAL]
    return order.index(word or Word.UNKNOWN)


def objective(
    stance: Stance,
    standing: Sequence[Stance],
    window: Window,
    told_by: Callable[[WorkloadWindow, Resource], str],
) -> Target | None:
    """Return whose signal a stance is to improve: the worst off of its kind."""
    names = [stance.workload]
    if stance.act is Act.YIELD:
        same = [s for s in standing if s.resource is stance.resource]
        yielding = {s.workload for s in same if s.act is Act.YIELD}
        protected = [s.workload for s in same if s.act is Act.PROTECT]
        names = protected or [n for n in window.workloads if n not in yielding]
    found = [window.workloads[n] for n in names if n in window.workloads]
    found = [w for w in found if told_by(w, stance.resource)]
    if not found:
        return None
    worst = max(found, key=lambda w: rank(w.words.get(stance.resource)))
    return worst.name, told_by(worst, stance.resource)


def suffers(window: Window, target: Target, resource: Resource) -> bool:
    """Say whether a target's workload is in trouble on a resource."""
    workload = window.workloads.get(target[0])
    return workload is not None and workload.words.get(resource) in BAD


def sure(trial: Trial, readings: Sequence[float], noise: float) -> bool:
    """Say whether chance would not have made it worse without the stance."""
    margin = min(readings) - trial.held
    clear = len(readings) >= HURTING and margin > CLEARLY * noise
    again = trial.doubts >= (1 if margin > noise else DOUBTS)
    return clear or again or trial.proven


def begun(past: Sequence[tuple[float, Word]]) -> tuple[float, bool]:
    """Return the level before, and if there was trouble: the run of bad windows."""
    run: list[float] = []
    for value, word in reversed(past):
        if word not in (*BAD, Word.WARM):
            break
        run.append(value)
    if run:
        return median(run), True
    return median([value for value, _ in past]) if past else 0.0, False
