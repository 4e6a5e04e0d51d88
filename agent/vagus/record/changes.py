# SPDX-License-Identifier: MIT
"""Windows as they changed: nothing that is as before is said, or made, again.

An hour of a thousand workloads is a gigabyte when every window is told whole.  This
reads the same rows as pack.Unpacker and keeps one changeable value a workload, so
that the work is that of what changed.
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
from vagus.record.pack import MOVING, Load, Row, moved, unsqueeze

FEW = MOVING[1:]  # of what changes often, all but the numbers


class Face(msgspec.Struct, frozen=True):
    """What seldom changes of a workload."""

    cgroup: str  # path below the cgroup2 mount
    cgroup_id: int
    identity: Identity
    role: Role
    policy: str
    by: str


class Change(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is new of one workload; a field that is left out is as before."""

    face: Face | None = None
    numbers: dict[str, float] = {}  # those that differ
    gone: list[str] = []  # numbers that are not measured any more
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


class _Known(msgspec.Struct):
    """What is known of a workload so far; changed in place."""

    face: int
    numbers: dict[str, float]
    words: dict[str, Word]
    uses: dict[str, Use]
    programs: list[str]
    pids: list[int]


class Differ:
    """Turns rows into changes, in order, from a key row on."""

    def __init__(self, face_data: Callable[[int], bytes]) -> None:
        """Read faces through face_data."""
        self._face_data = face_data
        self._rows = msgspec.msgpack.Decoder(Row)
        self._face_decoder = msgspec.msgpack.Decoder(WorkloadWindow)
        self._faces: dict[int, Face] = {}
        self._known: dict[str, _Known] = {}
        self._names: list[str] = []
        self._counters: dict[str, int] = {}
        self._policy = ""
        self._cpu: CpuHandle | None = None
        # What the last changes said of it: nothing, before the first.
        self._said_names: dict[str, None] = {}
        self._said_counters: dict[str, int] = {}
        self._said_policy = ""
        self._said_cpu: CpuHandle | None = None

    def learn(self, data: bytes) -> tuple[Row, dict[str, Change]]:
        """Take in a row; return it and how its workloads differ from before."""
        row = self._rows.decode(unsqueeze(data))
        changed: dict[str, Change] = {}
        for load in row.loads:
            change = self._learn(load)
            if change is not None:
                changed[load.name] = change
        if row.names is not None:
            self._names = row.names
        self._counters.update(row.counters)
        self._policy, self._cpu = row.policy or self._policy, row.cpu or self._cpu
        return row, changed

    def take(self, data: bytes, wall_ns: int, beside: dict[str, Any]) -> Changes:
        """Take in a row; return what it changed, with what lies beside it."""
        row, changed = self.learn(data)
        here, left = self._said_names, []
        if row.names is not None or not here:
            came = (name for name in self._names if name not in here)
            changed.update({name: self._whole(name) for name in came})
            self._said_names = dict.fromkeys(self._names)
            left = [name for name in here if name not in self._said_names]
        counters = moved(self._said_counters, self._counters)
        policy = "" if self._policy == self._said_policy else self._policy
        cpu = None if self._cpu == self._said_cpu else self._cpu
        self._said_counters.update(counters)
        self._said_policy, self._said_cpu = self._policy, self._cpu
        window = WindowChanges(
            tick=row.tick,
            start_ns=row.start_ns,
            end_ns=row.end_ns,
            workloads=changed,
            left=left,
            machine=row.machine,
            quality=row.quality,
        )
        return Changes(
            wall_ns=wall_ns,
            window=window,
            cost=row.cost,
            policy=policy,
            counters=counters,
            cpu=cpu,
            **beside,
        )

    def _learn(self, load: Load) -> Change | None:
        """Take in what a row says of a workload; None: nothing new."""
        known = self._known.get(load.name)
        if known is None:
            self._known[load.name] = _first(load)
            return None  # it has come: it is told whole
        # Nearly all say only how numbers moved: this runs 180,000 times an hour.
        numbers, gone = load.moved or {}, []
        if load.numbers is not None:
            numbers = moved(known.numbers, load.numbers)
            gone = [name for name in known.numbers if name not in load.numbers]
            known.numbers = load.numbers
        elif numbers:
            known.numbers.update(numbers)
        new: dict[str, Any] = {}
        for field in FEW:
            value = getattr(load, field)
            if value is not None and value != getattr(known, field):
                new[field] = value
                setattr(known, field, value)
        if load.face is not None and load.face != known.face:
            known.face = load.face
            new["face"] = self._face(load.face)
        if not (numbers or gone or new):
            return None
        return Change(numbers=numbers, gone=gone, **new)

    def _whole(self, name: str) -> Change:
        known = self._known[name]
        # A copy of the numbers: the value outlives what is told next.
        return Change(
            face=self._face(known.face),
            numbers=dict(known.numbers),
            words=known.words,
            uses=known.uses,
            programs=known.programs,
            pids=known.pids,
        )

    def _face(self, number: int) -> Face:
        face = self._faces.get(number)
        if face is None:
            load = self._face_decoder.decode(self._face_data(number))
            values = {name: getattr(load, name) for name in Face.__struct_fields__}
            face = self._faces[number] = Face(**values)
        return face


def _first(load: Load) -> _Known:
    """Return the first that is said of a workload: a row says all of it then."""
    return _Known(
        face=load.face or 0,
        numbers=load.numbers or {},
        words=load.words or {},
        uses=load.uses or {},
        programs=load.programs or [],
        pids=load.pids or [],
    )
