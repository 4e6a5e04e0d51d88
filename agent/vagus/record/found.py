# SPDX-License-Identifier: MIT
"""What is found in a record: frozen values, and how rows become them.

Times are wall clock nanoseconds unless a value of flow.py says otherwise.
"""

from __future__ import annotations

import math
import sqlite3
import zlib

import msgspec

from vagus.flow import (
    Act,
    Cost,
    CpuHandle,
    Effect,
    Event,
    Lease,
    LeaseEnd,
    Outcome,
    Proposal,
    Refusal,
    Resource,
    Setting,
    Stance,
    Step,
    Value,
    Verdict,
    Window,
)
from vagus.record.pack import Row, Unpacker


class Moment(Value, frozen=True):
    """One recorded window with what goes with it."""

    id: int  # of the window, in this record
    session: int
    wall_ns: int
    window: Window
    cost: Cost | None
    policy: str
    counters: dict[str, int]
    skipped: int  # records lost by the recorder just before
    cpu: CpuHandle | None


class End(Value, frozen=True):
    """How a lease ended."""

    wall_ns: int  # when
    now: str  # the knob's value just before
    end: str  # restored, lost, gone or failed
    cause: str  # deadline, revoked, off, owner, unload or scheduler
    took_ns: int  # to write the old value back


class LeaseRow(Value, frozen=True):
    """A lease and its end, as recorded."""

    id: int  # of the row
    wall_ns: int  # when it was granted
    decision: int | None  # whose it is
    lease: int  # the kernel's number
    workload: str  # whose knob
    knob: str  # its name
    path: str  # below its file system's mount point
    why: str  # the stance
    wanted: str  # what was sent
    old: str  # what goes back
    value: str  # what is held, as read back
    ttl_ms: int  # time to live
    is_current: bool  # granted to the latest agent, which still runs
    end: End | None  # null while no end is on record


class RefusalRow(Value, frozen=True):
    """What verification or the kernel did not let through."""

    stage: str  # "verify" or "apply"
    code: str  # stable, for scripts
    sentence: str  # why
    workload: str  # whose stance or setting
    resource: str | None  # cpu, io, memory or null


class EffectRow(Value, frozen=True):
    """What the judge found, when."""

    wall_ns: int  # when
    decision: int | None  # whose stance
    effect: Effect  # what was found


class EventRow(Value, frozen=True):
    """An event at its wall clock time."""

    wall_ns: int
    event: Event


class Decision(Value, frozen=True):
    """A proposal and the latest verdict on it."""

    id: int
    window: int
    wall_ns: int
    policy: str
    proposal: Proposal
    verdict: Verdict | None
    verdicts: int  # how many there were: cooldown and budget let more through later

    @property
    def allowed(self) -> list[Stance]:
        """Return what the latest verdict lets stand."""
        return self.verdict.allowed if self.verdict else []

    @property
    def mode(self) -> str:
        """Return the mode of the latest verdict; '' before the first."""
        return self.verdict.mode.value if self.verdict else ""


class Summary(Value, frozen=True):
    """What a record holds."""

    path: str  # of the file
    bytes: int  # its size
    schema: int  # version of its tables
    rows: dict[str, int]  # by table
    first_ns: int  # wall clock of the oldest window
    last_ns: int  # of the newest
    skipped: int  # windows that the recorder had to drop


def moment_of(
    row: sqlite3.Row, window: Window, packed: Row, unpacker: Unpacker
) -> Moment:
    """Return a window's row as a Moment."""
    return Moment(
        id=row["id"],
        session=row["session"],
        wall_ns=row["wall_ns"],
        window=window,
        cost=packed.cost,
        policy=unpacker.policy,
        counters=dict(unpacker.counters),
        skipped=row["skipped"],
        cpu=unpacker.cpu,
    )


def refusal_of(row: RefusalRow) -> Refusal:
    """Return the value that was recorded."""
    resource = Resource(row.resource) if row.resource else None
    return Refusal(row.code, row.sentence, row.workload, resource)


def lease_of(row: sqlite3.Row) -> Lease:
    """Return the value that was recorded."""
    setting = Setting(
        row["workload"], row["knob"], row["path"], row["wanted"], row["why"]
    )
    return Lease(
        row["lease"],
        setting,
        row["old"],
        row["value"],
        row["ttl_ms"],
        row["granted_ns"],
    )


def step_of(row: sqlite3.Row) -> Step:
    """Return the value that was recorded."""
    settings = msgspec.json.decode(row["settings"], type=list[Setting])
    return Step(row["tick"], zlib.decompress(row["given"]), settings)


def lease_end_of(row: sqlite3.Row) -> LeaseEnd:
    """Return the value that was recorded."""
    return LeaseEnd(
        id=row["lease"],
        path=row["path"],
        old=row["old"],
        now=row["now"],
        end=row["end"],
        cause=row["cause"],
        time_ns=row["time_ns"],
        took_ns=row["took_ns"],
    )


def lease_row_of(row: sqlite3.Row, is_current: bool) -> LeaseRow:
    """Return a lease joined with its end."""
    end = None
    if row["end_wall_ns"] is not None:
        end = End(
            row["end_wall_ns"], row["now"], row["end"], row["cause"], row["took_ns"]
        )
    return LeaseRow(
        id=row["id"],
        wall_ns=row["wall_ns"],
        decision=row["decision"],
        lease=row["lease"],
        workload=row["workload"],
        knob=row["knob"],
        path=row["path"],
        why=row["why"],
        wanted=row["wanted"],
        old=row["old"],
        value=row["value"],
        ttl_ms=row["ttl_ms"],
        is_current=is_current,
        end=end,
    )


def effect_of(row: sqlite3.Row) -> EffectRow:
    """Return an effect with its time and decision."""
    stance = Stance(
        row["workload"], Act(row["act"]), Resource(row["resource"]), row["strength"]
    )
    effect = Effect(
        stance,
        row["signal"],
        _number(row["before"]),
        _number(row["after"]),
        _number(row["noise"]),
        Outcome(row["outcome"]),
        row["sentence"],
    )
    return EffectRow(row["wall_ns"], row["decision"], effect)


def event_of(row: sqlite3.Row) -> EventRow:
    """Return an event with its wall clock time."""
    event = Event(
        time_ns=row["time_ns"],
        source=row["source"],
        kind=row["kind"],
        workload=row["workload"],
        cgroup_id=row["cgroup_id"] % (1 << 64),
        tgid=row["tgid"],
        tid=row["tid"],
        comm=row["comm"],
        value=_number(row["value"]),
        unit=row["unit"],
        detail=row["detail"],
    )
    return EventRow(row["wall_ns"], event)


def _number(value: float | None) -> float:
    """Return a number; SQLite keeps NaN as NULL."""
    return math.nan if value is None else value
