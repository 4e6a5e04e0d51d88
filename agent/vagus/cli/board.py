# SPDX-License-Identifier: MIT
"""The present as one value: what `vagus top` shows and the socket sends.

Built by following records as the agent publishes them, or from the newest rows
of a record where no agent runs.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from vagus.errors import PolicyError
from vagus.flow import (
    Act,
    Cost,
    CpuHandle,
    Effect,
    Lease,
    Outcome,
    Proposal,
    Quality,
    Record,
    Stance,
    Verdict,
    WorkloadWindow,
)
from vagus.record.found import LeaseRow
from vagus.record.read import Reader

if TYPE_CHECKING:
    from vagus.policy.model import Policy

HISTORY = 60  # values of the objective's signal for the sparkline
RUNQ = "runq_p99_ns"  # that signal where the policy sets none
Signals = Callable[[str], Mapping[str, str]]  # of a policy by its hash: see watched()
ENDED = (Outcome.REVERTED, Outcome.COINCIDENT)


class Held(msgspec.Struct, frozen=True):
    """A lease that holds a knob now."""

    lease: int  # the kernel's number; below zero: a class in the scheduler
    workload: str  # whose knob
    knob: str  # its name
    path: str  # below its file system's mount point
    old: str  # what goes back
    value: str  # what is held, as read back
    why: str  # the stance
    ttl_ms: int  # time to live, renewed until it is let go
    since_ns: int  # wall clock
    left_ms: int | None = None  # of the time to live, then; null from a record


class Line(msgspec.Struct, frozen=True):
    """One workload."""

    name: str  # of the workload
    role: str  # what it is for
    words: dict[str, str]  # how it suffers: cpu, io, memory
    uses: dict[str, str]  # how much it takes: cpu, io, memory
    numbers: dict[str, float]  # by signal, with the unit in its name
    stances: list[Stance]  # in force
    leases: int  # how many hold knobs of it


class Judged(msgspec.Struct, frozen=True):
    """What the judge found; None where a number is unknown (JSON has no NaN)."""

    stance: Stance  # what was judged
    signal: str  # whose and which, with its unit
    before: float | None  # in the signal's unit
    after: float | None  # likewise
    noise: float | None  # how much it moves by itself
    outcome: Outcome  # what was found
    sentence: str  # the judge's own words


class Board(msgspec.Struct, frozen=True):
    """The present."""

    wall_ns: int  # of the newest window
    tick: int  # number of the window, since the agent started
    lines: list[Line] = []  # one a workload
    leases: list[Held] = []  # what the kernel holds now
    mode: str = ""  # observe, advise or enforce; empty before the first decision
    decider: str = ""  # who decided last
    cause: str = ""  # why, in a sentence
    fallback: str = ""  # why the wanted decider did not answer; empty where it did
    decided_ns: int = 0  # wall clock of the latest decision; 0: none yet
    took_ms: float = 0.0  # of the latest decision
    effects: list[Judged] = []  # the newest five
    policy: str = ""  # hash of the policy in force
    cost: Cost | None = None  # of the agent and its engine
    quality: Quality = Quality()  # what was lost, which sources are silent
    machine: dict[str, float] = {}  # numbers of the whole machine
    counters: dict[str, int] = {}  # by source, since the agent started
    cpu: CpuHandle | None = None  # by what CPU stances are held, and why by that
    signal: str = RUNQ  # a protected workload's SLO; the run queue's where none is set
    history: list[float] = []  # values of that signal, of the worst such workload
    source: str = "agent"  # agent, or record where none answered


class Tracker:
    """Follows records and knows what holds now."""

    def __init__(self, signals: Signals = lambda _: {}) -> None:
        """Know nothing yet; ask `signals` what policies watch."""
        self._signals = signals
        self._signal = RUNQ
        self._record: Record | None = None
        self._proposal: Proposal | None = None
        self._verdict = Verdict([], [])
        self._decided_ns = 0
        self._leases: dict[int, Held] = {}
        self._effects: list[Effect] = []
        self._history: list[float] = []
        self._left_ms: Mapping[int, int] = {}

    def follow(self, record: Record, left_ms: Mapping[int, int] | None = None) -> None:
        """Take the next record; `left_ms`: time left of leases, by number."""
        self._record, self._left_ms = record, left_ms or {}
        if record.proposal is not None and record.verdict is not None:
            self._proposal, self._verdict = record.proposal, record.verdict
            self._decided_ns = record.wall_ns
        for lease in record.granted:
            self._leases[lease.id] = held(lease, record.wall_ns)
        for end in record.ended:
            self._leases.pop(end.id, None)
        self._effects = [*self._effects, *record.effects][-5:]
        signal, worst = self._worst(record)
        if signal != self._signal:
            self._signal, self._history = signal, []
        self._history = [*self._history, worst][-HISTORY:]

    def _worst(self, record: Record) -> tuple[str, float]:
        """Return the signal of the objective, and its worst value.

        It is the SLO of a protected workload, or else of any; where the policy sets
        none it is the run queue's, of protected workloads if there are.
        """
        protected = {
            one.workload for one in self._verdict.allowed if one.act is Act.PROTECT
        }
        loads = record.window.workloads
        slos = self._signals(record.policy)
        watched = {
            n: slos[one.policy] for n, one in loads.items() if one.policy in slos
        }
        names = [one for one in watched if one in protected] or [*watched]
        signal = watched[names[0]] if names else RUNQ
        names = [one for one in names if watched[one] == signal]
        names = names or [*(protected & loads.keys())] or [*loads]
        values = [loads[name].numbers.get(signal, 0.0) for name in names]
        return signal, max(filter(math.isfinite, values), default=0.0)

    def board(self, source: str = "agent") -> Board | None:
        """Return the present, or None before the first record."""
        record = self._record
        if record is None:
            return None
        stances = in_force(self._verdict.allowed, self._effects)
        proposal = self._proposal
        leases = [
            replace(one, left_ms=self._left_ms.get(one.lease))
            for one in self._leases.values()
        ]
        return Board(
            wall_ns=record.wall_ns,
            tick=record.window.tick,
            lines=[
                line(load, stances, leases) for load in record.window.workloads.values()
            ],
            leases=leases,
            mode=self._verdict.mode if proposal else "",
            decider=proposal.decider if proposal else "",
            cause=proposal.cause if proposal else "",
            fallback=proposal.fallback if proposal else "",
            decided_ns=self._decided_ns,
            took_ms=proposal.took_ms if proposal else 0.0,
            effects=[judged(one) for one in self._effects],
            policy=record.policy,
            cost=record.cost,
            quality=record.window.quality,
            machine=record.window.machine,
            counters=record.counters,
            cpu=record.cpu,
            signal=self._signal,
            history=self._history,
            source=source,
        )


def from_record(path: Path, until_ns: int = (1 << 63) - 1) -> Board | None:
    """Return the newest moment of a record as a board, or None where it is empty."""
    with Reader(path) as reader:
        latest = reader.latest()
        if latest is None:
            return None
        tracker = Tracker(recorded(reader))
        since = min(latest.wall_ns, until_ns) - HISTORY * 1_000_000_000
        for record in reader.between(since, until_ns):
            tracker.follow(record)
        board = tracker.board("record")
        if board is None:
            return None
        return _with_older(board, reader)


def _with_older(board: Board, reader: Reader) -> Board:
    """Add the leases and the decision from before the history that was read."""
    leases = [_held_row(row) for row in reader.live_leases() if row.is_current]
    board = replace(board, leases=leases)
    decisions = reader.decisions(until_ns=board.wall_ns, limit=1)
    if not decisions:
        return board
    last = decisions[0]
    effects = [row.effect for row in reader.effects(last.id)]
    stances = in_force(last.allowed, effects)
    counts = [one.workload for one in leases]
    lines = [
        replace(
            one,
            stances=[stance for stance in stances if stance.workload == one.name],
            leases=counts.count(one.name),
        )
        for one in board.lines
    ]
    return replace(
        board,
        lines=lines,
        mode=last.mode,
        decider=last.proposal.decider,
        cause=last.proposal.cause,
        fallback=last.proposal.fallback,
        decided_ns=last.wall_ns,
        took_ms=last.proposal.took_ms,
    )


def watched(policy: Policy) -> dict[str, str]:
    """Return the signal of each workload that has an SLO, by its key in the policy."""
    slos = {key: one.slo.numbers() for key, one in policy.workloads.items() if one.slo}
    return {key: next(iter(numbers)) for key, numbers in slos.items() if numbers}


def recorded(reader: Reader) -> Signals:
    """Return what the recorded policies watch, each read when it is asked for."""
    known: dict[str, dict[str, str]] = {}

    def signals(policy: str) -> dict[str, str]:
        if policy not in known:
            known[policy] = _signals_in(reader.policy(policy))
        return known[policy]

    return signals


def _signals_in(text: str) -> dict[str, str]:
    """Return what a policy's text watches; nothing where it is none any more."""
    if "slo" not in text:
        return {}
    from vagus.policy.load import loads  # slow, and most records need it not

    with contextlib.suppress(PolicyError):  # redacted, or an older Vagus'
        return watched(loads(text))
    return {}


def in_force(allowed: list[Stance], effects: list[Effect]) -> list[Stance]:
    """Return the stances that still hold: allowed, and not judged useless since."""
    ended = [one.stance for one in effects if one.outcome in ENDED]
    return [one for one in allowed if one not in ended and one.act is not Act.LEAVE]


def line(load: WorkloadWindow, stances: list[Stance], leases: list[Held]) -> Line:
    """Return one workload's line."""
    return Line(
        name=load.name,
        role=load.role.name,
        words={key: word.value for key, word in load.words.items()},
        uses={key: use.value for key, use in load.uses.items()},
        numbers={k: v for k, v in load.numbers.items() if math.isfinite(v)},
        stances=[one for one in stances if one.workload == load.name],
        leases=sum(one.workload == load.name for one in leases),
    )


def judged(effect: Effect) -> Judged:
    """Return an effect as a board shows it."""
    before, after, noise = (
        number if math.isfinite(number) else None
        for number in (effect.before, effect.after, effect.noise)
    )
    return Judged(
        effect.stance,
        effect.signal,
        before,
        after,
        noise,
        effect.outcome,
        effect.sentence,
    )


def held(lease: Lease, wall_ns: int) -> Held:
    """Return a lease as a board shows it."""
    want = lease.setting
    return Held(
        lease=lease.id,
        workload=want.workload,
        knob=want.knob,
        path=want.path,
        old=lease.old,
        value=lease.value,
        why=want.why,
        ttl_ms=lease.ttl_ms,
        since_ns=wall_ns,
    )


def _held_row(row: LeaseRow) -> Held:
    return Held(
        lease=row.lease,
        workload=row.workload,
        knob=row.knob,
        path=row.path,
        old=row.old,
        value=row.value,
        why=row.why,
        ttl_ms=row.ttl_ms,
        since_ns=row.wall_ns,
    )
