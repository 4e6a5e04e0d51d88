# SPDX-License-Identifier: MIT
"""Ring records -> events: few of them one by one, the rest folded in C."""

from __future__ import annotations

import select
from collections.abc import Callable

from vagus.abi import ARGS_LEN, EventType
from vagus.flow import Event
from vagus.native import RawEvent, Ring
from vagus.text import CUT, args, comm

KEPT = 512  # records turned into events in one drain; more are only counted
# type -> (kind, unit of value)
_KINDS: dict[int, tuple[str, str]] = {
    EventType.LOST: ("lost", "records"),
    EventType.RUNQ: ("runq", "ns"),
    EventType.RECLAIM: ("reclaim", "ns"),
    EventType.FORK: ("fork", ""),
    EventType.EXEC: ("exec", ""),
    EventType.EXIT: ("exit", "ns"),
    EventType.BLOCK: ("block", "ns"),
    EventType.OOM: ("oom", "pages"),
}


class Waiter:
    """A descriptor that is plainly readable when a ring woke us.

    Both rings want edge-triggered waiting, the module's for POLLPRI, the BPF
    one for POLLIN; an epoll around them looks the same from outside.
    """

    def __init__(self, fd: int, mask: int) -> None:
        """Wait on `fd`, which stays the caller's."""
        self._epoll = select.epoll()
        self._epoll.register(fd, mask | select.EPOLLET)

    def fileno(self) -> int:
        """Return the descriptor to poll for POLLIN."""
        return self._epoll.fileno()

    def clear(self) -> None:
        """Take the wake-up; before draining, so that none is missed."""
        self._epoll.poll(0)

    def close(self) -> None:
        """Close it."""
        self._epoll.close()


def drain(
    ring: Ring, source: str, name_of: Callable[[int], str]
) -> tuple[list[Event], set[int]]:
    """Empty a ring; return events, and the cgroups in which a program started.

    Where there are more than a batch, the rest is told by one event a workload
    and type.  Raises ModuleMissing when the module was unloaded.
    """
    raw = ring.drain()
    events = [to_event(one, source, name_of) for one in raw]
    if len(raw) == KEPT:
        ring.fold_rest()
    told: dict[tuple[int, int], int] = {}
    for one in raw:
        told[one.cgroup_id, one.type] = told.get((one.cgroup_id, one.type), 0) + 1
    started = set()
    now = raw[-1].time_ns if raw else 0
    for (cgroup_id, type_), fold in ring.take_folds().items():
        if type_ == EventType.EXEC:
            started.add(cgroup_id)
        more = fold.count - told.get((cgroup_id, type_), 0)
        if more > 0:
            events.append(_summary(now, source, cgroup_id, type_, more, name_of))
    return events, started


def to_event(raw: RawEvent, source: str, name_of: Callable[[int], str]) -> Event:
    """Turn one record into an event; what the process chose is escaped."""
    kind, unit = _KINDS.get(raw.type, (f"type-{raw.type}", ""))
    value = raw.extra if raw.type == EventType.EXIT else raw.value
    return Event(
        time_ns=raw.time_ns,
        source=source,
        kind=kind,
        workload=name_of(raw.cgroup_id),
        cgroup_id=raw.cgroup_id,
        tgid=raw.tgid,
        tid=raw.tid,
        comm=comm(raw.comm),
        value=float(value),
        unit=unit,
        detail=_detail(raw, name_of),
    )


def _detail(raw: RawEvent, name_of: Callable[[int], str]) -> str:
    """Say in a few words what the other fields hold."""
    if raw.type == EventType.EXEC:
        # What fills its room was cut in the kernel, wherever a character ends.
        cut = CUT if len(raw.args) == ARGS_LEN and raw.args[-1:] != b"\0" else ""
        shown = args(raw.args)
        return shown if shown.endswith(CUT) else shown + cut
    if raw.type == EventType.EXIT:
        return _status(raw.value)
    if raw.type == EventType.RUNQ and raw.extra:
        return f"behind {_whose(raw.extra, name_of)}"
    if raw.type == EventType.BLOCK:
        return f"{raw.extra} bytes"
    if raw.type == EventType.RECLAIM:
        return f"{raw.extra} pages reclaimed"
    if raw.type == EventType.OOM:
        return f"limit of {_whose(raw.extra, name_of) if raw.extra else 'the machine'}"
    return f"of {raw.value}" if raw.type == EventType.FORK else ""


def _whose(cgroup_id: int, name_of: Callable[[int], str]) -> str:
    """Return a workload's name; that of a cgroup which is none is its number."""
    return name_of(cgroup_id) or f"cgroup {cgroup_id}"


def _status(status: int) -> str:
    """Say how a process ended (wait(2) status)."""
    if status & 0x7F:
        dumped = ", core dumped" if status & 0x80 else ""
        return f"signal {status & 0x7F}{dumped}"
    return f"exit {status >> 8 & 0xFF}"


def _summary(
    now: int,
    source: str,
    cgroup_id: int,
    type_: int,
    more: int,
    name_of: Callable[[int], str],
) -> Event:
    kind = _KINDS.get(type_, (f"type-{type_}", ""))[0]
    text = f"and {more} more"
    name = name_of(cgroup_id)
    return Event(
        now, source, kind, name, cgroup_id, 0, 0, "", float(more), "events", text
    )
