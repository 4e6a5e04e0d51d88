# SPDX-License-Identifier: MIT
"""Verify settings on their way to the kernel; pure, the reflex's last gate.

The reflex runs between two verdicts, and by then a policy may be another one and a
workload gone.  So every setting is checked again, by the text that would be
written: the knob is allow-listed, the file is this workload's own (or an ancestor's
where the knob shares out among siblings), the value is well formed and within the
policy's bounds and steps, memory.high stays above the working set, and what is
given away leaves enough for those whom nobody named.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from vagus.codes import Code
from vagus.flow import Mode, Refusal, Setting, Window, WorkloadWindow
from vagus.policy.knobs import KNOBS, SCHED_EXT, UNLIMITED, Bound
from vagus.policy.match import spared_by
from vagus.policy.model import Policy
from vagus.policy.trust import entry_of, own_bounds, vouched_entry
from vagus.policy.values import numbers

TASK_KNOBS = ("nice", "policy")
# These share out among siblings, so they are also set on a workload's ancestors.
SHARING = ("cpu.weight", "cpu.idle", "io.weight", "memory.low")
# A share of these means nothing: switches, scales from zero, and limits that have
# no old value to be a share of.
UNPACED = ("cpu.idle", "cpu.max", "io.max", "nice", "policy", "memory.low", SCHED_EXT)
NEUTRAL_WEIGHT = 100  # admin-guide/cgroup-v2: the default, so that of the unnamed
Finding = tuple[Code, str] | None


class Facts(msgspec.Struct, frozen=True):
    """What the reflex read of the machine; what is missing here is not assumed."""

    working_set: Mapping[str, float] = {}  # cgroup -> bytes; else the window's
    held: Mapping[str, str] = {}  # path -> text that is there now, for step limits
    populated: Collection[str] = ()  # cgroups that have processes
    memory_bytes: float = 0.0  # the machine's; else the window's
    kept: Mapping[str, float] = {}  # path of memory.min or .low -> bytes, by anybody


def verify_settings(
    settings: Sequence[Setting],
    policy: Policy,
    window: Window,
    facts: Facts | None = None,
) -> tuple[list[Setting], list[Refusal]]:
    """Return the settings that may be written, in their order, and the refusals."""
    bounds, own = policy.bounds(), own_bounds(policy, window)
    look = _Look(policy, window, facts or Facts(), bounds, own)
    allowed: list[Setting] = []
    refused: list[Refusal] = []
    weights: dict[tuple[str, str], float] = {}
    lows = _others_keep(look.facts)
    for setting in settings:
        found = _refused(look, setting) or _total(look, setting, weights, lows)
        if found is None:
            allowed.append(setting)
            continue
        code, reason = found
        what = f"{setting.knob} {setting.value!r:.64}"
        sentence = f"{setting.workload}: {what} refused: {reason}"
        refused.append(Refusal(code, sentence, setting.workload))
    return allowed, refused


class _Look(msgspec.Struct, frozen=True):
    """What every rule looks at."""

    policy: Policy
    window: Window
    facts: Facts
    bounds: Mapping[str, Bound]
    own: Mapping[str, Mapping[str, Bound]]

    def of(self, workload: str) -> Mapping[str, Bound]:
        """Return the bounds that hold for a workload."""
        return self.own.get(workload, self.bounds)


def _refused(look: _Look, setting: Setting) -> Finding:
    workload = look.window.workloads.get(setting.workload)
    if workload is None:
        return Code.UNKNOWN, "there is no such workload now"
    return (
        _spared(look, workload)
        or _mode(look, workload)
        or _knob(look, setting)
        or _path(look, setting, workload)
        or _value(look, setting, workload)
    )


def _spared(look: _Look, workload: WorkloadWindow) -> Finding:
    for name in (workload.name, workload.policy):
        pattern = spared_by(look.policy, name, workload.cgroup)
        if pattern:
            return Code.NEVER_TOUCH, f"never_touch has {pattern}"
    return None


def _mode(look: _Look, workload: WorkloadWindow) -> Finding:
    if workload.name in {stance.workload for stance in look.policy.approved}:
        return None
    entry = entry_of(look.policy, workload)
    mode = entry.mode if entry and entry.mode else look.policy.mode
    return None if mode is Mode.ENFORCE else (Code.MODE, f"its mode is {mode}")


def _knob(look: _Look, setting: Setting) -> Finding:
    if setting.knob not in KNOBS:
        return Code.KNOB, "Vagus does not set this knob"
    if setting.knob not in look.of(setting.workload):
        return Code.KNOB, "the policy does not allow this knob"
    return None


def _path(look: _Look, setting: Setting, workload: WorkloadWindow) -> Finding:
    """Check that a path is the workload's; paths come from names others chose."""
    knob, path = setting.knob, setting.path
    if knob in TASK_KNOBS or (knob == SCHED_EXT and path.startswith("task:")):
        mine = path in {f"task:{tid}" for tid in workload.pids}
        return None if mine else (Code.PATH, "this thread is not the workload's")
    folder, _, file = path.rpartition("/")
    names = folder.split("/")[1:]
    plain = path.startswith("/") and not {"", ".", ".."}.intersection(names)
    plain = plain and bool(names)  # the root cgroup is nobody's
    if file != knob or not plain or not path.isprintable():
        return Code.PATH, "this is no path of the knob"
    if knob == "wbt_lat_usec":
        is_queue = len(names) > 1 and names[-1] == "queue"
        return None if is_queue else (Code.PATH, "this is no block device's queue")
    if folder == workload.cgroup:
        return _inside(look, setting, folder)
    if knob in SHARING and workload.cgroup.startswith(f"{folder}/"):
        return _inside(look, setting, folder)
    return Code.PATH, "this cgroup is not the workload's"


def _inside(look: _Look, setting: Setting, folder: str) -> Finding:
    """Look at who else lives below a cgroup that would be set."""
    under = f"{folder}/"
    for path in look.facts.populated:
        pattern = spared_by(look.policy, "", path) if path.startswith(under) else ""
        if pattern:
            return Code.NEVER_TOUCH, f"never_touch has {pattern}, which is inside"
    for pattern in look.policy.never_touch:
        if pattern.startswith(under):
            return Code.NEVER_TOUCH, f"never_touch has {pattern}, which is inside"
    for other in look.window.workloads.values():
        if not other.cgroup.startswith(under) or other.name == setting.workload:
            continue
        if _spared(look, other):
            return Code.NEVER_TOUCH, f"{other.name} is inside, and never touched"
        entry = vouched_entry(look.policy, other)
        if entry and entry.protect and not setting.why.startswith("protect"):
            return Code.PROTECTED, f"{other.name} is inside, and protected"
    return None


def _below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def _value(look: _Look, setting: Setting, workload: WorkloadWindow) -> Finding:
    values = numbers(setting.knob, setting.value)
    if values is None:
        return Code.VALUE, "this knob takes no such value"
    bound, facts = look.of(setting.workload)[setting.knob], KNOBS[setting.knob]
    least = max(bound.min, facts.kernel_min)
    most = min(bound.max, facts.kernel_max)
    for value in values:
        if not least <= value <= most:
            return Code.BOUNDS, f"outside of {least:g} to {most:g}"
    if setting.knob == "memory.high":
        short = _too_near(look, setting, workload, values[0])
        if short is not None:
            return short
    return _step(look, setting, bound, values)


def _too_near(
    look: _Look, setting: Setting, workload: WorkloadWindow, value: float
) -> Finding:
    """Hold memory.high above the working set, or reclaim would never end."""
    used = look.facts.working_set.get(workload.cgroup)
    if used is None:
        numbers_ = workload.numbers
        used = numbers_.get("working_set_bytes", numbers_.get("memory_bytes"))
    if used is None:
        return Code.WORKING_SET, "its working set is not known"
    # A byte of rounding is not a reason.
    headroom = look.of(setting.workload)["memory.high"].headroom
    least = used * (1 + headroom) - 1
    if value >= least:
        return None
    return Code.WORKING_SET, f"{used:.0f} bytes are in use; not under {least:.0f}"


def _step(
    look: _Look, setting: Setting, bound: Bound, values: Sequence[float]
) -> Finding:
    text = look.facts.held.get(setting.path)
    if text is None or setting.knob in UNPACED or bound.step == UNLIMITED:
        return None
    before = numbers(setting.knob, text.strip())
    if not before or before[0] == UNLIMITED:
        return None
    # A knob of whole numbers must be able to move by one.
    size = max(abs(before[0]) * bound.step, 1.0)
    if abs(values[0] - before[0]) <= size + 0.5:
        return None
    return Code.STEP, f"from {before[0]:g} it moves by {size:g} at most"


def _total(
    look: _Look,
    setting: Setting,
    weights: dict[tuple[str, str], float],
    lows: dict[str, float],
) -> Finding:
    """Leave something for those whom nobody named; adds up what it lets through."""
    values = numbers(setting.knob, setting.value)
    if values is None:
        return None
    folder = setting.path.rpartition("/")[0]
    if setting.knob in ("cpu.weight", "io.weight"):
        key = (folder.rpartition("/")[0], setting.knob)
        share = look.policy.reserve.cpu_pct / 100
        most = NEUTRAL_WEIGHT * (1 - share) / share
        total = weights.get(key, 0.0) + values[0]
        if values[0] > NEUTRAL_WEIGHT and total > most:
            return Code.TOTAL, f"siblings would weigh {total:g}, over {most:g} together"
        weights[key] = total
    if setting.knob == "memory.low":
        return _low(look, folder, values[0], lows)
    return None


def _others_keep(facts: Facts) -> dict[str, float]:
    """Return what memory.min and memory.low cover that Vagus did not set."""
    found: dict[str, float] = {}
    for path, value in facts.kept.items():
        folder = path.rpartition("/")[0]
        if path not in facts.held:
            found[folder] = max(value, found.get(folder, 0.0))
    return found


def _low(look: _Look, folder: str, value: float, lows: dict[str, float]) -> Finding:
    """Add up what memory.low and memory.min cover, by whoever set them.

    Of cgroups that contain each other the larger counts.
    """
    machine = look.facts.memory_bytes or look.window.machine.get(
        "memory_total_bytes", 0.0
    )
    most = machine * (1 - look.policy.reserve.memory_pct / 100)
    added = lows | {folder: max(value, lows.get(folder, 0.0))}
    # An ancestor's memory.low is shared by its children: only the larger counts.
    roots = [f for f in added if not any(_below(f, other) for other in added)]
    total = sum(max(added[f] for f in added if f == r or _below(f, r)) for r in roots)
    if total > most:
        what = f"memory.min and low would cover {total:.0f} bytes of {machine:.0f}"
        return Code.TOTAL, what
    lows.update(added)
    return None
