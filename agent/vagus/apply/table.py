# SPDX-License-Identifier: MIT
"""From (act, resource, strength) to knob values: the one table of the reflex.

cpu protect   cpu.weight 300 / 1000 / 5000.  A workload that wants 70 % of one
              CPU gets it against N neighbours of weight w only while
              weight >= 0.7 / 0.3 * N * w: 233 * N at w = 100, so 300 is enough
              against one neighbour, 1000 against four, 5000 against twenty.
cpu yield     cpu.weight 50 / 20 / cpu.idle 1.  Shares are not the whole story:
              a waking thread waits for the end of the running slice unless the
              slice belongs to an idle group, which a normal thread preempts at
              once (Documentation/scheduler/sched-design-CFS.rst, SCHED_IDLE;
              admin-guide/cgroup-v2, cpu.idle).  Only strength 3 brings the tail
              latency of the protected near what it is alone.
              cpu.max 50 % / 20 % of the CPUs, strengths 2 and 3: only where
              weights cannot reach (see place.py) and somebody suffers, since a
              quota throttles even while the CPU is free.
io protect    io.weight 300 / 1000 / 5000 where iocost is on; wbt_lat_usec down
              to 2 ms / 0.5 ms for strengths 2 and 3, which holds buffered
              writes back while reads are slower than that
              (Documentation/ABI/stable/sysfs-block).
io yield      io.weight 50 / 20 / 10 where iocost is on, else io.max at 70 % /
              40 % / 15 % of the rate seen when the trouble began; a limit is
              held only while somebody suffers.
memory protect memory.low over 50 % / 80 % / 100 % of the working set: reclaim
              passes it by while others have something to give.
memory yield  memory.high at the working set + 50 % / 25 % / 20 %: its page cache
              goes first, its working set stays.
nice, policy  where several workloads share one cgroup: nice +5 / +10 / +19 (a
              step is a factor of 1.25, kernel/sched/core.c), SCHED_BATCH, and
              SCHED_IDLE for strength 3; nice -3 / -6 / -10 to protect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from vagus.policy.knobs import SCHED_EXT, Bound

WEIGHT_PROTECT = {1: 300.0, 2: 1000.0, 3: 5000.0}
WEIGHT_YIELD = {1: 50.0, 2: 20.0, 3: 10.0}
IDLE_FROM = 3  # strength from which cpu yield is cpu.idle
CPU_MAX_SHARE = {2: 0.5, 3: 0.2}
IO_SHARE = {1: 0.7, 2: 0.4, 3: 0.15}
# Fewer requests starve what is limited and save nothing worth having.
IO_FLOOR_PER_S = 20.0
WBT_US = {2: 2000.0, 3: 500.0}
LOW_SHARE = {1: 0.5, 2: 0.8, 3: 1.0}
# More than half of the memory protected leaves reclaim nowhere to go.
LOW_MACHINE_SHARE = 0.5
HIGH_HEADROOM = {1: 0.5, 2: 0.25, 3: 0.1}
# Over the policy's own headroom, so that a working set may breathe.
HIGH_ROOM = 0.1
# Reclaimed in one write of memory.high at most: kernels that ignore O_NONBLOCK there
# (6.12) reclaim inside the write, and 1.3 s for 350 MB with swap is too long to wait.
RECLAIM_BYTES = 64 << 20
NICE_PROTECT = {1: -3.0, 2: -6.0, 3: -10.0}
NICE_YIELD = {1: 5.0, 2: 10.0, 3: 19.0}
# A share of them means nothing: a switch, a scale that starts at zero, and a
# limit that has no old value to be a share of.
UNPACED = ("cpu.idle", "cpu.max", "io.max", "nice", "policy", "memory.low", SCHED_EXT)
POLICY_YIELD = {1: 1.0, 2: 1.0, 3: 2.0}  # batch, batch, idle


def allowed(bounds: Mapping[str, Bound], knob: str) -> bool:
    """Say whether the policy lets this knob be set at all."""
    return knob in bounds


def clamp(bounds: Mapping[str, Bound], knob: str, value: float) -> float:
    """Bring a number within the policy's bounds."""
    limit = bounds[knob]
    return min(max(value, limit.min), limit.max)


def paced(bounds: Mapping[str, Bound], knob: str, value: float, base: float) -> float:
    """Hold a change to the policy's largest step from `base`, if it has one."""
    step = bounds[knob].step
    if math.isinf(step) or math.isinf(base) or math.isnan(base) or knob in UNPACED:
        return value
    # A knob of whole numbers moves by at least one.
    size = max(abs(base) * step, 1.0)
    return min(max(value, base - size), base + size)
