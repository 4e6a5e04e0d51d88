# SPDX-License-Identifier: MIT
"""Windows as they changed: nothing that is as before is said, or made, again.

An hour of a thousand workloads is a gigabyte when every window is told whole.  Rows
of the record hold what changed, too: this tells of them as they are, one after the
other, and needs to know of those before only what the first leaves out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from vagus.flow import (
    Basis,
    Cost,
    CpuHandle,
    Effect,
    Event,
    Identity,
    Lease,
    LeaseEnd,
    Proposal,
    Quality,
    Refusal,
    Role,
    Step,
    Use,
    Verdict,
    Word,
    WorkloadWindow,
)
from vagus.record.pack import Load, Row, gather, moved, unsqueeze


class Face(msgspec.Struct, frozen=True):
    """What seldom changes of a workload."""

    cgroup: str  # path below the cgroup2 mount
    cgroup_id: int
    identity: Identity
    role: Role
    policy: str
    by: str


class Change(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is new of one workload; a field that is left out is as before."""

    face: Face | None = None
    numbers: dict[str, float] = {}  # those that differ
    is_whole: bool = False  # these are all its numbers; what is not told is gone
    words: dict[str, Word] | None = None
    uses: dict[str, Use] | None = None
    programs: list[str] | None = None
    pids: list[int] | None = None


class WindowChanges(msgspec.Struct, frozen=True, omit_defaults=True):
    """One window; the first of a dump tells of every workload."""

    tick: int  # number of the window, since the agent started
    start_ns: int
    end_ns: int
    workloads: dict[str, Change] = {}  # that came, or changed
    left: list[str] = []  # workloads that are not there any more
    machine: dict[str, float] = {}  # machine-wide numbers, all of them
    quality: Quality | None = None  # left out: nothing was lost


class Changes(msgspec.Struct, frozen=True, omit_defaults=True):
    """A record of which only what changed is told; fields as a Record's."""

    wall_ns: int  # when the window ended
    window: WindowChanges  # what changed since the one before
    proposal: Proposal | None = None  # where one was made in this window
    verdict: Verdict | None = None  # where verification was asked
    basis: Basis | None = None  # of the verdict
    granted: list[Lease] = []  # in this window
    steps: list[Step] = []  # that granted them
    ended: list[LeaseEnd] = []  # in this window
    failed: list[Refusal] = []  # settings that the kernel refused
    effects: list[Effect] = []  # judged in this window
    events: list[Event] = []  # in this window
    cost: Cost | None = None  # of the agent and its engine
    policy: str = ""  # left out: as before
    counters: dict[str, int] = {}  # those that changed
    cpu: CpuHandle | None = None  # left out: as before


class Differ:
    """Turns rows into changes, in order, from a key row on."""

    def __init__(self, face: Callable[[int], WorkloadWindow]) -> None:
        """Ask for faces by number."""
        self._workload = face
        self._rows = msgspec.msgpack.Decoder(Row)
        # What was said before the first changes; None when these are told.
        self._loads: dict[str, Load] | None = {}
        self._names: list[str] = []
        self._counters: dict[str, int] = {}
        self._policy = ""
        self._cpu: CpuHandle | None = None

    def learn(self, data: bytes) -> Row:
        """Take in a row from before the first changes."""
        row = self._rows.decode(unsqueeze(data))
        if self._loads is not None:
            gather(self._loads, row)
        self._note(row)
        return row

    def take(self, data: bytes, wall_ns: int, beside: dict[str, Any]) -> Changes:
        """Take in a row; return what it changed, with what lies beside it."""
        known, here = self._loads, self._names
        counters, policy, cpu = self._counters, self._policy, self._cpu
        row = self.learn(data)
        if known is not None:  # the first: all is new
            self._loads = None
            loads, here = [known[name] for name in self._names], []
            counters, policy, cpu = {}, "", None
        else:
            loads = row.loads
        there = {*(row.names or [])}
        left = [] if row.names is None else [one for one in here if one not in there]
        window = WindowChanges(
            tick=row.tick,
            start_ns=row.start_ns,
            end_ns=row.end_ns,
            workloads={load.name: self._change(load) for load in loads},
            left=left,
            machine=row.machine,
            quality=row.quality,
        )
        return Changes(
            wall_ns=wall_ns,
            window=window,
            cost=row.cost,
            policy="" if policy == self._policy else self._policy,
            counters=moved(counters, self._counters),
            cpu=None if cpu == self._cpu else self._cpu,
            **beside,
        )

    def _note(self, row: Row) -> None:
        if row.names is not None:
            self._names = row.names
        self._counters = self._counters | row.counters
        self._policy, self._cpu = row.policy or self._policy, row.cpu or self._cpu

    def _change(self, load: Load) -> Change:
        """Return what a row says of a workload: this runs 180,000 times an hour."""
        numbers, is_whole = load.numbers, True
        if numbers is None:
            numbers, is_whole = load.moved or {}, False
        face = None if load.face is None else self._face(load.face)
        what = load.words, load.uses, load.programs, load.pids
        return Change(face, numbers, is_whole, *what)

    def _face(self, number: int) -> Face:
        load = self._workload(number)
        return Face(*[getattr(load, name) for name in Face.__struct_fields__])
