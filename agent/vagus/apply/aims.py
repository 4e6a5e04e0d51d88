# SPDX-License-Identifier: MIT
"""Stances and ground -> aims: which knob of which cgroup should have which number.

An aim says where a knob should end; law.py says how fast it goes there.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from vagus.apply import knobs, table
from vagus.apply.ground import Flow, Ground
from vagus.apply.place import inside, parts, places
from vagus.flow import Act, Handle, Refusal, Resource, Stance, Window
from vagus.policy.knobs import SCHED_EXT, Bound


class Aim(msgspec.Struct, frozen=True):
    """One knob and the number that a stance wants it to have."""

    stance: Stance
    knob: str
    path: str
    value: float
    limits: bool = False  # it costs throughput: hold it only during trouble
    harder: bool = False  # the stance counts one strength more than it says
    measured: bool = False  # it follows a noisy measurement: a wider deadband
    least: float = 0.0  # memory.high: held below this is let out at once
    gently: float = 0.0  # memory.high: no lower than this in one write
    device: str = ""  # io.max: which line
    ios_per_s: float = 0.0  # io.max


class View(msgspec.Struct, frozen=True):
    """What the law looks at; a value, so that a recorded one replays."""

    window: Window
    ground: Ground
    bounds: dict[str, Bound]  # Limits.bounds(): what is not in it is not allowed
    fast: Window | None = None  # the last 100 ms: table and PSI only
    handle: Handle = Handle.CGROUP  # by what CPU stances can be held now
    own: dict[str, dict[str, Bound]] = {}  # of workloads with bounds of their own

    def of(self, workload: str) -> dict[str, Bound]:
        """Return the bounds that hold for a workload."""
        return self.own.get(workload, self.bounds)


def aims(
    stances: Collection[Stance], view: View, seen: Mapping[str, Flow]
) -> tuple[list[Aim], list[Refusal]]:
    """Return every aim of these stances; `seen`: io rates when the trouble began."""
    found: list[Aim] = []
    refused: list[Refusal] = []
    for stance in stances:
        path = view.ground.cgroups.get(stance.workload)
        if path is None or stance.act is Act.LEAVE:
            continue
        blocked = _blocked(stance, path, stances, view.ground)
        its = msgspec.structs.replace(view, bounds=view.of(stance.workload))
        if classes := _classes(stance, path, blocked, its):
            found += classes
        elif blocked and stance.resource is Resource.CPU and "share" in blocked.code:
            found += _task_aims(stance, its)
        elif blocked:
            refused.append(blocked)
        else:
            found += _cgroup_aims(stance, path, stances, its, seen)
    return found, refused


def _blocked(
    stance: Stance, path: str, stances: Collection[Stance], ground: Ground
) -> Refusal | None:
    """Say why the workload's cgroup cannot be set for it alone, if so."""
    alike = {s.workload for s in stances if _alike(s, stance)}
    others = {n: p for n, p in ground.cgroups.items() if n not in alike}
    if not parts(path):
        return _refusal(stance, "shared_root", "it lives in the root cgroup")
    for name, other in others.items():
        if other == path:
            return _refusal(stance, "shared", f"it shares its cgroup with {name}")
        if inside(other, path):
            return _refusal(stance, "contains", f"its cgroup contains {name}")
    return None


def _alike(one: Stance, other: Stance) -> bool:
    return one.act is other.act and one.resource is other.resource


def _refusal(stance: Stance, code: str, reason: str) -> Refusal:
    what = f"{stance.act} {stance.resource} cannot be set for {stance.workload}"
    return Refusal(code, f"{what}: {reason}", stance.workload, stance.resource)


def _classes(
    stance: Stance, path: str, blocked: Refusal | None, view: View
) -> list[Aim]:
    """Return the class of the cgroup, or of its threads, in the scheduler.

    None where the scheduler has not the task.  It takes a cgroup that contains
    another workload's, which has an entry of its own.
    """
    partial = view.handle is Handle.PARTIAL
    takes = view.handle is Handle.SCHED_EXT or (partial and stance.act is Act.YIELD)
    if stance.resource is not Resource.CPU or not takes:
        return []
    if not table.allowed(view.bounds, SCHED_EXT) or (partial and blocked):
        return []
    if partial and _has_quota(path, view.ground):
        return []  # the scheduler keeps none, and does not take its threads
    sign = 1 if stance.act is Act.PROTECT else -1
    value = table.clamp(view.bounds, SCHED_EXT, sign * stance.strength)
    paths = [f"{path}/{SCHED_EXT}"]
    if blocked and "share" in blocked.code:
        seen = view.window.workloads.get(stance.workload)
        paths = [f"task:{tid}" for tid in (seen.pids if seen else [])]
    return [Aim(stance, SCHED_EXT, one, value) for one in paths]


def _has_quota(path: str, ground: Ground) -> bool:
    """Say whether a cgroup, or one above it, has a cpu.max."""
    return any(
        key.endswith("/cpu.max")
        and not text.startswith("max")
        and inside(path, key.removesuffix("/cpu.max"))
        for key, text in ground.knobs.items()
    )


def _cgroup_aims(
    stance: Stance,
    path: str,
    stances: Collection[Stance],
    view: View,
    seen: Mapping[str, Flow],
) -> list[Aim]:
    levels, reached = _levels(stance, path, stances, view.ground)
    if stance.resource is Resource.CPU:
        return _cpu(stance, path, levels, reached, view)
    if stance.resource is Resource.IO:
        return _io(stance, path, levels, view, seen)
    return _memory(stance, path, view)


def _levels(
    stance: Stance, path: str, stances: Collection[Stance], ground: Ground
) -> tuple[list[str], bool]:
    """Return where a weight of this stance belongs, and if that reaches all."""
    opposite = Act.YIELD if stance.act is Act.PROTECT else Act.PROTECT
    same = [s.workload for s in stances if _alike(s, stance)]
    rivals = [
        s.workload
        for s in stances
        if s.act is opposite and s.resource is stance.resource
    ] or [name for name in ground.cgroups if name not in same]
    mine = [ground.cgroups[n] for n in same if n in ground.cgroups]
    against = [ground.cgroups[n] for n in rivals if n in ground.cgroups]
    return places(path, mine, against, ground.populated)


def _cpu(
    stance: Stance, path: str, levels: list[str], reached: bool, view: View
) -> list[Aim]:
    """Return cpu.weight or cpu.idle at every level, else a quota."""
    found = []
    for level in levels:
        if stance.act is Act.PROTECT:
            found += _weight(stance, level, "cpu.weight", view)
        elif stance.strength >= table.IDLE_FROM and _may_idle(level, view):
            idle = knobs.IDLE_WEIGHT
            found.append(Aim(stance, "cpu.idle", f"{level}/cpu.idle", idle))
        else:
            found += _weight(stance, level, "cpu.weight", view)
    if stance.act is Act.YIELD and not reached:
        found += _quota(stance, path, view)
    return found


def _may_idle(level: str, view: View) -> bool:
    bound = view.bounds.get("cpu.idle")
    return bool(bound and bound.max >= 1) and f"{level}/cpu.idle" in view.ground.knobs


def _settable(knob: str, path: str, view: View) -> bool:
    """Say whether the policy allows a knob and the file is there."""
    return table.allowed(view.bounds, knob) and path in view.ground.knobs


def _weight(stance: Stance, level: str, knob: str, view: View) -> list[Aim]:
    """Return the weight aim; none where the file is not there."""
    path = f"{level}/{knob}"
    if not _settable(knob, path, view):
        return []
    values = table.WEIGHT_PROTECT if stance.act is Act.PROTECT else table.WEIGHT_YIELD
    value = table.clamp(view.bounds, knob, values[stance.strength])
    return [Aim(stance, knob, path, value)]


def _quota(stance: Stance, path: str, view: View) -> list[Aim]:
    """Return a cpu.max aim: weights on the right level would hit others."""
    share = table.CPU_MAX_SHARE.get(stance.strength)
    knob_path = f"{path}/cpu.max"
    if share is None or not _settable("cpu.max", knob_path, view):
        return []
    value = table.clamp(view.bounds, "cpu.max", share * view.ground.cpus)
    burst = view.ground.knobs.get(f"{knob_path}.burst", "0")
    burst_us = knobs.number("cpu.max.burst", burst)
    # kernel/sched/core.c tg_set_cfs_bandwidth: a burst over the quota is -EINVAL,
    # and the burst is the administrator's: the quota stays above it.
    value = max(value, burst_us / knobs.PERIOD_US)
    return [Aim(stance, "cpu.max", knob_path, value, limits=True)]


def _io(
    stance: Stance,
    path: str,
    levels: list[str],
    view: View,
    seen: Mapping[str, Flow],
) -> list[Aim]:
    """Return io.weight where iocost works, else wbt or io.max."""
    ground = view.ground
    flow = seen.get(path) or ground.flows.get(path)
    if flow is None:
        return []
    if flow.device in ground.iocost:
        return [
            a for level in levels for a in _weight(stance, level, "io.weight", view)
        ]
    if stance.act is Act.PROTECT:
        return _writeback(stance, flow, view)
    knob_path = f"{path}/io.max"
    # Somebody's own limit on the file stands: one line of it is one lease.
    if not _settable("io.max", knob_path, view) or path not in seen:
        return []
    share = table.IO_SHARE[stance.strength]
    rate = table.clamp(view.bounds, "io.max", flow.bytes_per_s * share)
    ios = max(table.IO_FLOOR_PER_S, flow.ios_per_s * share)
    return [
        Aim(
            stance,
            "io.max",
            knob_path,
            rate,
            limits=True,
            device=flow.device,
            ios_per_s=ios,
        )
    ]


def _writeback(stance: Stance, flow: Flow, view: View) -> list[Aim]:
    """Return a lower wbt target; none where writeback throttling is off."""
    path = view.ground.disks.get(flow.device)
    goal = table.WBT_US.get(stance.strength)
    if path is None or goal is None or not _settable("wbt_lat_usec", path, view):
        return []
    now = knobs.number("wbt_lat_usec", view.ground.knobs[path])
    value = table.clamp(view.bounds, "wbt_lat_usec", goal)
    if not now > value:  # 0: off, and not ours to switch on
        return []
    return [Aim(stance, "wbt_lat_usec", path, value, limits=True)]


def _memory(stance: Stance, path: str, view: View) -> list[Aim]:
    """Return memory.low down the whole path, or memory.high on the workload."""
    used = view.ground.working_set.get(path, 0.0)
    if used <= 0:
        return []
    if stance.act is Act.PROTECT:
        return _low(stance, path, used, view)
    knob_path = f"{path}/memory.high"
    if not _settable("memory.high", knob_path, view):
        return []
    spare = view.bounds["memory.high"].headroom
    headroom = max(spare + table.HIGH_ROOM, table.HIGH_HEADROOM[stance.strength])
    value = table.clamp(view.bounds, "memory.high", used * (1 + headroom))
    least = used * (1 + spare)
    # A policy's maximum must not push the limit into the working set.
    if value < least:
        return []
    return [
        Aim(
            stance,
            "memory.high",
            knob_path,
            value,
            limits=True,
            measured=True,
            least=least,
            gently=_current(path, view) - table.RECLAIM_BYTES,
        )
    ]


def _current(path: str, view: View) -> float:
    """Return what a cgroup uses, page cache and all; 0 where that is not known."""
    text = view.ground.knobs.get(f"{path}/memory.current", "0")
    return knobs.number("memory.current", text)


def _low(stance: Stance, path: str, used: float, view: View) -> list[Aim]:
    """Return memory.low aims: an ancestor's low bounds its children's."""
    if not table.allowed(view.bounds, "memory.low"):
        return []
    share = min(
        used * table.LOW_SHARE[stance.strength],
        view.ground.memory_bytes * table.LOW_MACHINE_SHARE,
    )
    value = table.clamp(view.bounds, "memory.low", share)
    names = parts(path)
    levels = ["/" + "/".join(names[: n + 1]) for n in range(len(names))]
    return [
        Aim(stance, "memory.low", f"{level}/memory.low", value, measured=True)
        for level in levels
        if f"{level}/memory.low" in view.ground.knobs
    ]


def _task_aims(stance: Stance, view: View) -> list[Aim]:
    """Return nice and policy aims for the threads of a shared cgroup."""
    seen = view.window.workloads.get(stance.workload)
    protect = stance.act is Act.PROTECT
    nice = (table.NICE_PROTECT if protect else table.NICE_YIELD)[stance.strength]
    found = []
    for tid in seen.pids if seen else []:
        if table.allowed(view.bounds, "nice"):
            value = table.clamp(view.bounds, "nice", nice)
            found.append(Aim(stance, "nice", f"task:{tid}", value))
        if not protect and table.allowed(view.bounds, "policy"):
            wanted = table.POLICY_YIELD[stance.strength]
            policy = table.clamp(view.bounds, "policy", wanted)
            found.append(Aim(stance, "policy", f"task:{tid}", policy))
    return found


def named(found: Iterable[Aim]) -> dict[tuple[str, str], Aim]:
    """Return the aims by slot; where two meet, the one that hurts least.

    They meet on an ancestor that several workloads share (then all of them have
    the same act) and on a disk: of two that yield the weaker stance counts, of
    two that are protected the stronger.
    """
    best: dict[tuple[str, str], Aim] = {}
    for aim in found:
        key = slot(aim.knob, aim.path)
        if key not in best or _gentler(aim.stance, best[key].stance):
            best[key] = aim
    return best


def _gentler(one: Stance, other: Stance) -> bool:
    if one.act is Act.PROTECT:
        return one.strength > other.strength
    return one.strength < other.strength


def slot(knob: str, path: str) -> tuple[str, str]:
    """Return what a lease is for: cpu.idle and cpu.weight are one slot."""
    if knob in ("cpu.idle", "cpu.weight"):
        return ("cpu.weight", path.rsplit("/", 1)[0])
    return (knob, path)
