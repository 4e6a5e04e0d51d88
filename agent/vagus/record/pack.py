# SPDX-License-Identifier: MIT
"""Windows as small rows: what did not change is not said again.

A row holds the workloads that changed since the row before, field by field and
number by number; every KEY_EVERY rows one holds everything (a key row), so that
reading starts at most that far back, and holds apart what did not change.  What
seldom changes of a workload (its cgroup, identity and role: its face) is kept once
in a table of its own and named by number.  Numbers stay exact: replay must agree
bit for bit.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from vagus.flow import (
    Cost,
    CpuHandle,
    Quality,
    Use,
    Window,
    Word,
    WorkloadWindow,
)

KEY_EVERY = 60  # rows; a minute at the default window of 1 s
LEVEL = 4  # of zlib; 6 is 3 % smaller and takes half as long again

# Fields of a workload that change often; all others are its face.
MOVING = ("numbers", "words", "uses", "programs", "pids")

# What rows repeat, so that even a short one compresses; part of the format.
DICTIONARY = (
    b"unknowncriticalheavybusylightidlewarmbadok\xa6memory\xa2io\xa3cpu"
    b"slo_p99_nsexecs_per_sforks_per_soom_killsreclaim_p99_nsmajor_faults_per_s"
    b"memory_byteswrite_bytes_per_sread_bytes_per_sio_countio_p99_nsio_p50_ns"
    b"psi_memory_some_pctpsi_io_some_pctpsi_cpu_some_pctpreempted_by_other_per_s"
    b"runq_wait_pctrunq_countrunq_p99_nsrunq_p50_nscpu_pct"
    b"\x83\xa3cpu\xa2ok\xa2io\xa2ok\xa6memory\xa2ok"
    b"\x83\xa3cpu\xa4idle\xa2io\xa4idle\xa6memory\xa5light"
)


class Load(msgspec.Struct, array_like=True, omit_defaults=True, gc=False):
    """One workload of one row; None: as before."""

    name: str
    face: int | None = None  # number of the workload's face
    numbers: dict[str, float] | None = None  # all of them, in order
    moved: dict[str, float] | None = None  # those that changed, where none came or went
    words: dict[str, Word] | None = None
    uses: dict[str, Use] | None = None
    programs: list[str] | None = None
    pids: list[int] | None = None


class Row(msgspec.Struct, array_like=True, omit_defaults=True):
    """One window; None, or an empty policy: as before."""

    tick: int
    start_ns: int
    end_ns: int
    loads: list[Load]
    names: list[str] | None = None  # in order, where one came, went or moved
    machine: dict[str, float] = {}
    quality: Quality | None = None
    cost: Cost | None = None
    policy: str = ""
    counters: dict[str, int] = {}  # those that changed
    cpu: CpuHandle | None = None
    same: bytes = b""  # of a key row: MessagePack of the loads that did not change


class Packer:
    """Turns windows into rows; remembers the row before."""

    def __init__(self, face_number: Callable[[bytes], int]) -> None:
        """Start with a key row; face_number stores a packed face once."""
        self._face_number = face_number
        self._encoder = msgspec.msgpack.Encoder()
        self.reset()

    def reset(self) -> None:
        """Forget the row before: the next one is a key row."""
        self._before: Mapping[str, WorkloadWindow] = {}
        self._faces: dict[str, tuple[WorkloadWindow, int]] = {}
        self._names: list[str] = []
        self._counters: dict[str, int] = {}
        self._policy = ""
        self._cpu: CpuHandle | None = None
        self._age = 0

    def pack(
        self,
        window: Window,
        cost: Cost | None,
        policy: str,
        counters: dict[str, int],
        cpu: CpuHandle | None = None,
    ) -> tuple[bytes, bool]:
        """Return the row's bytes and whether it is a key row."""
        before = self._before
        if self._age >= KEY_EVERY:
            self.reset()
        is_key = self._age == 0
        self._age += 1
        names = list(window.workloads)
        loads, same = [], []
        for name, load in window.workloads.items():
            if load != before.get(name):
                loads.append(self._load(load))
            elif is_key:
                same.append(self._load(load))
        row = Row(
            tick=window.tick,
            start_ns=window.start_ns,
            end_ns=window.end_ns,
            loads=loads,
            names=None if names == self._names and not is_key else names,
            machine=window.machine,
            quality=None if window.quality.good else window.quality,
            cost=cost,
            policy="" if policy == self._policy else policy,
            counters=moved(self._counters, counters),
            cpu=None if cpu == self._cpu else cpu,
            same=self._encoder.encode(same) if same else b"",
        )
        self._policy, self._cpu = policy, cpu
        self._names = names
        self._counters |= counters
        self._before = window.workloads
        return _squeeze(self._encoder.encode(row)), is_key

    def _load(self, now: WorkloadWindow) -> Load:
        """Say how a workload differs from what was said of it before."""
        was = self._before.get(now.name)
        if was is None:  # it comes, or comes back
            self._faces.pop(now.name, None)
        load = Load(name=now.name, face=self._face(now))
        if was is None or was.numbers.keys() != now.numbers.keys():
            load.numbers = now.numbers
        else:
            load.moved = moved(was.numbers, now.numbers) or None
        for field in MOVING[1:]:
            value = getattr(now, field)
            if was is None or getattr(was, field) != value:
                setattr(load, field, value)
        return load

    def _face(self, load: WorkloadWindow) -> int | None:
        """Return the number of a workload's face where it is not as before."""
        known = self._faces.get(load.name)
        face = replace(load, numbers={}, words={}, uses={}, programs=[], pids=[])
        if known is not None and known[0] == face:
            return None
        number = self._face_number(self._encoder.encode(face))
        self._faces[load.name] = (face, number)
        return number


class Unpacker:
    """Turns rows back into windows, in order, from a key row on."""

    def __init__(self, face: Callable[[int], WorkloadWindow]) -> None:
        """Ask for faces by number."""
        self._face = face
        self._rows = msgspec.msgpack.Decoder(Row)
        self._clear()

    def _clear(self) -> None:
        self._before: dict[str, WorkloadWindow] = {}
        self._present: dict[str, WorkloadWindow] = {}  # those in the last window
        # What rows have said since that window was made.
        self._late: dict[str, Load] = {}
        self._names: list[str] | None = None
        self.counters: dict[str, int] = {}
        self.policy = ""
        self.cpu: CpuHandle | None = None

    def learn(self, data: bytes, is_key: bool) -> Row:
        """Take in a row, whether or not its window is asked for."""
        if is_key:
            self._clear()
        row = self._rows.decode(unsqueeze(data))
        gather(self._late, row)
        if row.names is not None:
            self._names = row.names
        self.counters |= row.counters
        self.policy = row.policy or self.policy
        self.cpu = row.cpu or self.cpu
        return row

    def unpack(self, data: bytes, is_key: bool) -> tuple[Window, Row]:
        """Return the whole window, and the row for its cost, policy, counters."""
        row = self.learn(data, is_key)
        moved = {name: self._whole(load) for name, load in self._late.items()}
        self._before.update(moved)
        if self._names is None:
            self._present = self._present | moved  # a copy: windows are values
        else:
            self._present = {name: self._before[name] for name in self._names}
        self._late, self._names = {}, None
        window = Window(
            tick=row.tick,
            start_ns=row.start_ns,
            end_ns=row.end_ns,
            workloads=self._present,
            machine=row.machine,
            quality=row.quality or Quality(),
        )
        return window, row

    def _whole(self, load: Load) -> WorkloadWindow:
        """Return a workload: what was said of it before, and what is new."""
        was = self._before.get(load.name)
        if was is None:
            was = self._face(load.face or 0)
        elif load.face is not None:
            moving = {field: getattr(was, field) for field in MOVING}
            was = replace(self._face(load.face), **moving)
        # Spelled out: this runs 180,000 times for an hour of 50 changes a second.
        numbers = load.numbers
        if numbers is None:
            numbers = was.numbers | load.moved if load.moved else was.numbers
        return replace(
            was,
            numbers=numbers,
            words=was.words if load.words is None else load.words,
            uses=was.uses if load.uses is None else load.uses,
            programs=was.programs if load.programs is None else load.programs,
            pids=was.pids if load.pids is None else load.pids,
        )


def gather(loads: dict[str, Load], row: Row) -> None:
    """Put what a row says of workloads over what those before it said."""
    same = msgspec.msgpack.decode(row.same, type=list[Load]) if row.same else []
    for load in (*row.loads, *same):
        known = loads.setdefault(load.name, load)
        if known is not load:
            _say_over(known, load)


def _say_over(known: Load, load: Load) -> None:
    """Put what a later row says of a workload over what an earlier one did."""
    if load.numbers is not None:
        known.numbers, known.moved = load.numbers, None
    elif load.moved is not None:
        was = known.moved if known.numbers is None else known.numbers
        if was is None:
            known.moved = load.moved
        else:
            was.update(load.moved)
    for field in ("face", *MOVING[1:]):
        value = getattr(load, field)
        if value is not None:
            setattr(known, field, value)


def moved(was: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what differs; a number that is not one (NaN) always differs."""
    missing = object()
    return {key: value for key, value in now.items() if was.get(key, missing) != value}


def _squeeze(data: bytes) -> bytes:
    squeezer = zlib.compressobj(LEVEL, zdict=DICTIONARY)
    return squeezer.compress(data) + squeezer.flush()


def unsqueeze(data: bytes) -> bytes:
    """Return what a row was before it was compressed; zlib.error where damaged."""
    return zlib.decompressobj(zdict=DICTIONARY).decompress(data)
