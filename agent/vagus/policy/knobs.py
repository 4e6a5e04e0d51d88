# SPDX-License-Identifier: MIT
"""The knobs that Vagus may set, with the kernel's own bounds and their source.

A policy's `limits` may only narrow these; verification refuses any other knob.
Numbers are in the knob's own unit: CPUs for cpu.max, bytes or bytes per second.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from vagus.policy import units

UNLIMITED = float("inf")
CGROUP = "admin-guide/cgroup-v2"
# A class in Vagus' own scheduler; it has no file, and no limits but the strengths.
SCHED_EXT = "sched_ext"
# How long a knob is left alone that somebody else has set.
LEAVE_ALONE_NS = 600 * units.NS_PER["s"]


class Knob(msgspec.Struct, frozen=True):
    """One knob: what the kernel takes, and what holds without a policy."""

    unit: str  # "", "cpus", "bytes", "bytes/s", "us"
    kernel_min: float
    kernel_max: float
    source: str  # kernel document or man page
    least: float  # without a policy; never outside the kernel's bounds
    most: float
    meaning: str


class Bound(msgspec.Struct, frozen=True):
    """What the policy allows of one knob."""

    min: float
    max: float
    headroom: float = 0.0  # share of the working set; memory.high only
    step: float = UNLIMITED  # largest change in one write, as a share of the old


KNOBS: Mapping[str, Knob] = MappingProxyType(
    {
        "cpu.weight": Knob(
            "", 1, 10_000, CGROUP, 1, 10_000, "share of CPU among siblings"
        ),
        "cpu.idle": Knob("", 0, 1, CGROUP, 0, 1, "run only when nobody else wants to"),
        # kernel/sched/core.c, min_cfs_quota_period: 1 ms of a 100 ms period.
        "cpu.max": Knob(
            "cpus", 0.01, UNLIMITED, CGROUP, 0.05, UNLIMITED, "quota of CPUs"
        ),
        "io.weight": Knob(
            "", 1, 10_000, CGROUP, 1, 10_000, "share of disk time (iocost)"
        ),
        # Less than 1 MB/s starves what it limits and saves nothing worth having.
        "io.max": Knob(
            "bytes/s", 1, UNLIMITED, CGROUP, 1e6, UNLIMITED, "limit of a disk's rate"
        ),
        "memory.low": Knob(
            "bytes", 0, UNLIMITED, CGROUP, 0, UNLIMITED, "memory spared by reclaim"
        ),
        "memory.high": Knob(
            "bytes", 0, UNLIMITED, CGROUP, 64 << 20, UNLIMITED, "memory throttle limit"
        ),
        "wbt_lat_usec": Knob(
            "us", 0, 2**63 - 1, "ABI/stable/sysfs-block", 100, 1e6, "writeback target"
        ),
        "nice": Knob("", -20, 19, "sched(7)", -10, 19, "niceness of threads"),
        "policy": Knob(
            "", 0, 2, "sched(7)", 0, 2, "scheduling policy: other, batch, idle"
        ),
        SCHED_EXT: Knob(
            "", -3, 3, "ebpf/sched.bpf.c", -3, 3, "class: yield 3 to protect 3"
        ),
    }
)


def text(knob: str, value: float) -> str:
    """Write a bound of a knob as people do: '64M', '50%', '100'."""
    unit = KNOBS[knob].unit
    if value == UNLIMITED:
        return "unlimited"
    if unit in ("bytes", "bytes/s"):
        return units.size_text(value)
    return units.percent_text(100 * value) if unit == "cpus" else f"{value:.10g}"


# memory.high stays above the working set by a tenth unless the policy says more.
HEADROOM = 0.1
