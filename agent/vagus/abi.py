# SPDX-License-Identifier: MIT
"""The contract's numbers in Python, taken from the compiled kmod/uapi/vagus.h.

Nothing is typed again here but the names; importing needs no privilege.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from vagus._native import ffi, lib

ABI_VERSION: int = lib.VAGUS_ABI_VERSION
GENL_NAME: str = ffi.string(lib.VAGUS_GENL_NAME).decode()
GENL_GROUP: str = ffi.string(lib.VAGUS_GENL_GROUP).decode()

COMM_LEN: int = lib.VAGUS_COMM_LEN
ARGS_LEN: int = lib.VAGUS_ARGS_LEN
VALUE_LEN: int = lib.VAGUS_VALUE_LEN
PATH_LEN: int = lib.VAGUS_PATH_LEN
TTL_MIN_MS: int = lib.VAGUS_TTL_MIN_MS
TTL_MAX_MS: int = lib.VAGUS_TTL_MAX_MS
BATCH_MAX: int = lib.VAGUS_BATCH_MAX
SLOTS_MAX: int = lib.VAGUS_SLOTS_MAX

HIST_MIN_SHIFT: int = lib.VAGUS_HIST_MIN_SHIFT
HIST_SUB_BITS: int = lib.VAGUS_HIST_SUB_BITS
HIST_OCTAVES: int = lib.VAGUS_HIST_OCTAVES
HIST_BUCKETS: int = lib.VAGUS_HIST_BUCKETS
HIST_KINDS: int = lib.VAGUS_HIST_KINDS

# The largest value of a __u64, the end of the last bucket.
U64_MAX = (1 << 64) - 1


class EventType(IntEnum):
    """What a ring record tells."""

    LOST = lib.VAGUS_EVENT_LOST
    RUNQ = lib.VAGUS_EVENT_RUNQ
    RECLAIM = lib.VAGUS_EVENT_RECLAIM
    FORK = lib.VAGUS_EVENT_FORK
    EXEC = lib.VAGUS_EVENT_EXEC
    EXIT = lib.VAGUS_EVENT_EXIT
    BLOCK = lib.VAGUS_EVENT_BLOCK
    OOM = lib.VAGUS_EVENT_OOM
    LEASE = lib.VAGUS_EVENT_LEASE


class Cmd(IntEnum):
    """Commands of the generic netlink family."""

    INFO = lib.VAGUS_CMD_INFO
    TRACK = lib.VAGUS_CMD_TRACK
    UNTRACK = lib.VAGUS_CMD_UNTRACK
    TRACKED = lib.VAGUS_CMD_TRACKED
    GRANT = lib.VAGUS_CMD_GRANT
    RENEW = lib.VAGUS_CMD_RENEW
    REVOKE = lib.VAGUS_CMD_REVOKE
    LEASES = lib.VAGUS_CMD_LEASES
    OFF = lib.VAGUS_CMD_OFF
    CONFIG = lib.VAGUS_CMD_CONFIG
    EVENT = lib.VAGUS_CMD_EVENT


class Attr(IntEnum):
    """Top-level netlink attributes."""

    ABI = lib.VAGUS_A_ABI
    LEASE = lib.VAGUS_A_LEASE
    WORKLOAD = lib.VAGUS_A_WORKLOAD
    SLOTS = lib.VAGUS_A_SLOTS
    RING_BYTES = lib.VAGUS_A_RING_BYTES
    RUNQ_THRESHOLD_NS = lib.VAGUS_A_RUNQ_THRESHOLD_NS
    RECLAIM_THRESHOLD_NS = lib.VAGUS_A_RECLAIM_THRESHOLD_NS
    RATE_PER_S = lib.VAGUS_A_RATE_PER_S
    EVENTS = lib.VAGUS_A_EVENTS
    DROPS = lib.VAGUS_A_DROPS
    LIMITED = lib.VAGUS_A_LIMITED
    GRANTED = lib.VAGUS_A_GRANTED
    RENEWED = lib.VAGUS_A_RENEWED
    RESTORED = lib.VAGUS_A_RESTORED
    LOST = lib.VAGUS_A_LOST
    FAILED = lib.VAGUS_A_FAILED
    LIVE = lib.VAGUS_A_LIVE
    SWITCHES = lib.VAGUS_A_SWITCHES
    ENDED = lib.VAGUS_A_ENDED
    TRACKED = lib.VAGUS_A_TRACKED


class WorkloadAttr(IntEnum):
    """Netlink attributes of one tracked workload."""

    CGROUP_ID = lib.VAGUS_W_CGROUP_ID
    SLOT = lib.VAGUS_W_SLOT
    GENERATION = lib.VAGUS_W_GENERATION
    ERROR = lib.VAGUS_W_ERROR


class LeaseAttr(IntEnum):
    """Netlink attributes of one lease."""

    ID = lib.VAGUS_L_ID
    KIND = lib.VAGUS_L_KIND
    FD = lib.VAGUS_L_FD
    VALUE = lib.VAGUS_L_VALUE
    RESTORE = lib.VAGUS_L_RESTORE
    TTL_MS = lib.VAGUS_L_TTL_MS
    PIDFD = lib.VAGUS_L_PIDFD
    TID = lib.VAGUS_L_TID
    COOKIE = lib.VAGUS_L_COOKIE
    OLD = lib.VAGUS_L_OLD
    PATH = lib.VAGUS_L_PATH
    OWNER = lib.VAGUS_L_OWNER
    ERROR = lib.VAGUS_L_ERROR
    MESSAGE = lib.VAGUS_L_MESSAGE
    END = lib.VAGUS_L_END
    NOW = lib.VAGUS_L_NOW
    TIME_NS = lib.VAGUS_L_TIME_NS
    TOOK_NS = lib.VAGUS_L_TOOK_NS
    CAUSE = lib.VAGUS_L_CAUSE


class LeaseKind(IntEnum):
    """What a lease holds."""

    KNOB = lib.VAGUS_LEASE_KNOB
    NICE = lib.VAGUS_LEASE_NICE
    POLICY = lib.VAGUS_LEASE_POLICY


class LeaseEnd(IntEnum):
    """How a lease ended."""

    RESTORED = lib.VAGUS_END_RESTORED
    LOST = lib.VAGUS_END_LOST
    GONE = lib.VAGUS_END_GONE
    FAILED = lib.VAGUS_END_FAILED


class LeaseCause(IntEnum):
    """Why a lease ended."""

    DEADLINE = lib.VAGUS_CAUSE_DEADLINE
    REVOKED = lib.VAGUS_CAUSE_REVOKED
    OFF = lib.VAGUS_CAUSE_OFF
    OWNER = lib.VAGUS_CAUSE_OWNER
    UNLOAD = lib.VAGUS_CAUSE_UNLOAD
    CHANGED = lib.VAGUS_CAUSE_CHANGED


class HistKind(IntEnum):
    """Which histogram of a cell of the table."""

    RUNQ = lib.VAGUS_HIST_RUNQ
    SLICE = lib.VAGUS_HIST_SLICE
    RECLAIM = lib.VAGUS_HIST_RECLAIM


class BlockOp(IntEnum):
    """Kinds of block requests told apart."""

    READ = lib.VAGUS_BLOCK_READ
    WRITE = lib.VAGUS_BLOCK_WRITE
    OTHER = lib.VAGUS_BLOCK_OTHER


class Counter(IntEnum):
    """Counters of all eBPF programs together."""

    EVENTS = lib.VAGUS_COUNTER_EVENTS
    RING_FULL = lib.VAGUS_COUNTER_RING_FULL
    STATS_FULL = lib.VAGUS_COUNTER_STATS_FULL
    REQUESTS_FULL = lib.VAGUS_COUNTER_REQUESTS_FULL


class SchedClass(IntEnum):
    """How the sched_ext scheduler treats a task."""

    YIELD = lib.VAGUS_SCHED_YIELD
    NORMAL = lib.VAGUS_SCHED_NORMAL
    PROTECT = lib.VAGUS_SCHED_PROTECT


def hist_bucket(value_ns: int) -> int:
    """Return the bucket that the module and the eBPF programs count a value in."""
    if value_ns < 1 << HIST_MIN_SHIFT:
        return 0
    shift = value_ns.bit_length() - 1
    if shift >= HIST_MIN_SHIFT + HIST_OCTAVES:
        return HIST_BUCKETS - 1
    sub = (value_ns >> (shift - HIST_SUB_BITS)) & ((1 << HIST_SUB_BITS) - 1)
    return 1 + ((shift - HIST_MIN_SHIFT) << HIST_SUB_BITS) + sub


def hist_bounds_ns() -> list[tuple[int, int]]:
    """Return each bucket's lowest value and the one above its highest, ns."""
    subs = 1 << HIST_SUB_BITS
    lows = [0] + [
        (subs + sub) << (HIST_MIN_SHIFT + octave - HIST_SUB_BITS)
        for octave in range(HIST_OCTAVES)
        for sub in range(subs)
    ]
    lows.append(1 << (HIST_MIN_SHIFT + HIST_OCTAVES))
    return list(zip(lows, [*lows[1:], U64_MAX + 1], strict=True))


def fields(struct: str) -> dict[str, int]:
    """Return the byte offset of every field of a struct of the header."""
    return {name: field.offset for name, field in ffi.typeof(struct).fields}


def size_bytes(struct: str) -> int:
    """Return the size of a struct of the header."""
    return int(ffi.sizeof(struct))


def record_dtype() -> dict[str, Any]:
    """Return what numpy.dtype() needs to view kept ring records without a copy."""
    head, whole = fields("struct vagus_event"), fields("struct vagus_exec")
    formats = {"type": "<u4", "cpu": "<u4", "tgid": "<u4", "tid": "<u4"}
    formats["comm"] = f"S{COMM_LEN}"
    offsets = {name: head[name] for name in head}
    offsets |= {name: whole[name] for name in ("uid", "args_len", "args")}
    formats |= {"uid": "<u4", "args_len": "<u4", "args": f"V{ARGS_LEN}"}
    return {
        "names": list(offsets),
        "formats": [formats.get(name, "<u8") for name in offsets],
        "offsets": list(offsets.values()),
        "itemsize": size_bytes("struct vagus_exec"),
    }
