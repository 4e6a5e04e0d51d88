# SPDX-License-Identifier: MIT
"""The reflex law: stances and readings -> the settings to hold; pure.

Away from neutral at once, back towards it by a tenth a step at most and only on
full windows.  What is held and near enough is asked for again unchanged, so the
holder writes nothing.  A stance that the decider forgets keeps its settings for
three windows (a decider that wavers must not make knobs waver); one that the
judge withdraws, or that is told to leave, loses them at once.

Where the scheduler can hold a CPU stance it does, and the knobs that did are let go
in the same step; where it no longer can, the knobs take the stance back.

Trouble that stays although the stances are in the knobs makes them count one
strength more until it is over: how hard is the decider's, how much of it is needed
is measured.

Nothing here weakens: a knob that already stands beyond the aim is left alone.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping

import msgspec

from vagus.apply import knobs, table
from vagus.apply.aims import Aim, View, aims, named, slot
from vagus.apply.ground import Flow
from vagus.apply.place import parts
from vagus.apply.trouble import Watch, beneficiaries, watched, worst
from vagus.flow import Act, Lease, Refusal, Resource, Setting, Stance
from vagus.policy.knobs import SCHED_EXT

# Windows for which a stance that is no longer proposed keeps its settings.
FORGET_WINDOWS = 3
# Deadband of what follows a measurement: memory in use varies by a tenth up and
# down, which is a fifth from one end to the other.
MEASURED_DEADBAND = 0.3
# A limit whose neutral is "max" is let go after this many steps: 1.1^12 = 3.1.
EASE_STEPS = 12

Slot = tuple[str, str]
Key = tuple[str, Resource]


class Standing(msgspec.Struct, frozen=True):
    """A stance in force, and for how many windows nobody asked for it."""

    stance: Stance
    forgotten: int = 0


class LawState(msgspec.Struct, frozen=True):
    """What the law remembers from one step to the next."""

    standing: dict[Key, Standing] = {}
    watches: dict[Resource, Watch] = {}
    flows: dict[str, Flow] = {}  # cgroup -> io rates when the trouble began
    eased: dict[Slot, int] = {}  # slot -> steps back so far


class Law(msgspec.Struct, frozen=True):
    """What the law says: everything to hold, in the order to set it."""

    settings: list[Setting]
    state: LawState
    refused: list[Refusal] = []
    relaxed: list[Slot] = []  # let go at the end of the way back, not at once


def enforce(
    stances: Collection[Stance],
    view: View,
    held: Mapping[Slot, Lease],
    state: LawState,
    *,
    full: bool = True,
    withdrawn: Collection[Key] = (),
) -> Law:
    """Return the settings to hold now.

    `full` is False for the 100 ms readings, which may only tighten.  `withdrawn`
    stances are ended at once and not relaxed.
    """
    standing = _standing(stances, state.standing, full, withdrawn)
    wanted = [entry.stance for entry in standing.values()]
    watches = _watches(wanted, view, state.watches, full)
    flows = _flows(wanted, view, watches, state.flows)
    harder = {resource for resource, watch in watches.items() if watch.harder}
    found, refused = aims([_counted(s, harder) for s in wanted], view, flows)
    goals = named(
        msgspec.structs.replace(aim, harder=aim.stance.resource in harder)
        for aim in found
        if not aim.limits or watches[aim.stance.resource].on
    )
    tight, loose, eased, relaxed = [], [], {}, []
    for key, aim in goals.items():
        if (full or key not in held) and _admin_idle(aim, view, held):
            continue
        setting = _toward(aim, held.get(key), view, full)
        if setting is not None:
            tight.append(setting)
    classed = _classed(goals.values())
    for key, lease in held.items():
        stance, is_class = key_of(lease.setting), lease.setting.knob == SCHED_EXT
        if key in goals or stance in withdrawn:
            continue
        if classed.get(stance, is_class) is not is_class:
            continue  # another handle has the stance now: not both
        eased[key] = state.eased.get(key, 0) + full
        setting = _back(lease, eased[key], full, view)
        if setting is not None:
            loose.append(setting)
        else:
            relaxed.append(key)
    after = LawState(standing, watches, flows, eased)
    return Law(_ordered(tight) + _ordered(loose)[::-1], after, refused, relaxed)


def _classed(found: Iterable[Aim]) -> dict[Key, bool]:
    """Return of each stance whether the scheduler holds it, or knobs do."""
    return {
        (aim.stance.workload, aim.stance.resource): aim.knob == SCHED_EXT
        for aim in found
    }


def key_of(setting: Setting) -> Key:
    """Return the stance that a setting is for, as (workload, resource)."""
    return setting.workload, Resource(setting.why.split()[1])


def _standing(
    stances: Collection[Stance],
    before: Mapping[Key, Standing],
    full: bool,
    withdrawn: Collection[Key],
) -> dict[Key, Standing]:
    """Return the stances in force: the new ones, and those not long forgotten."""
    asked = {(s.workload, s.resource): s for s in stances}
    kept = {
        key: Standing(entry.stance, entry.forgotten + full)
        for key, entry in before.items()
        if key not in asked and entry.forgotten + full < FORGET_WINDOWS
    }
    new = {k: Standing(s) for k, s in asked.items() if s.act is not Act.LEAVE}
    return {k: s for k, s in (kept | new).items() if k not in withdrawn}


def _counted(stance: Stance, harder: Collection[Resource]) -> Stance:
    """Return a stance at the strength that it counts with now."""
    strength = min(3, stance.strength + (stance.resource in harder))
    return msgspec.structs.replace(stance, strength=strength)


def _watches(
    stances: Collection[Stance],
    view: View,
    before: Mapping[Resource, Watch],
    full: bool,
) -> dict[Resource, Watch]:
    """Return each resource's trouble after this reading."""
    window = view.window if full or view.fast is None else view.fast
    after = {}
    for resource in Resource:
        for_whom = beneficiaries(stances, resource, window.workloads)
        word = worst(window, for_whom, resource)
        watch = watched(before.get(resource, Watch()), word, full)
        if not any(stance.resource is resource for stance in stances):
            # Nothing is done: nothing can have been not enough.
            watch = msgspec.structs.replace(watch, bad=0)
        after[resource] = watch
    return after


def _flows(
    stances: Collection[Stance],
    view: View,
    watches: Mapping[Resource, Watch],
    before: Mapping[str, Flow],
) -> dict[str, Flow]:
    """Return the reference rates: as seen when trouble began, never while limited."""
    yielding = {
        view.ground.cgroups.get(s.workload)
        for s in stances
        if s.resource is Resource.IO and s.act is Act.YIELD
    }
    kept = {path: flow for path, flow in before.items() if path in yielding}
    if not watches[Resource.IO].on:
        return kept
    new = {
        path: flow
        for path, flow in view.ground.flows.items()
        if path in yielding and path not in kept and flow.bytes_per_s > 0
    }
    return kept | new


def _neutral(knob: str, lease: Lease | None, now: str) -> float:
    """Return the number that a knob goes back to."""
    if lease is None:
        return knobs.number(knob, now)
    if lease.setting.knob == "cpu.idle":
        # The saved text of the compound knob is "IDLE WEIGHT" or the idle alone,
        # whose weight the kernel resets to 100 on leaving idle.
        fields = lease.old.split()
        return float(fields[1]) if len(fields) > 1 else 100.0
    if knob == "io.max" and not lease.old.strip():
        return math.inf
    return knobs.number(lease.setting.knob, lease.old)


def _toward(aim: Aim, lease: Lease | None, view: View, full: bool) -> Setting | None:
    """Return the setting on the way to an aim; None where there is nothing to do."""
    neutral = _neutral(aim.knob, lease, _now(aim, view))
    bounds = view.of(aim.stance.workload)
    if not _beyond(aim, neutral):
        return None
    if lease is None:
        first = table.paced(bounds, aim.knob, aim.value, neutral)
        return _setting(aim, max(first, aim.gently) if aim.gently else first)
    value = knobs.number(lease.setting.knob, lease.value)
    goal = table.paced(bounds, aim.knob, aim.value, value)
    if aim.least and value < aim.least:
        return _setting(aim, goal)
    on_the_way = aim.gently > aim.value
    steady = aim.measured and not on_the_way
    band = MEASURED_DEADBAND if steady else knobs.DEADBAND
    if knobs.near(aim.knob, value, aim.value, band) and _same_device(aim, lease):
        return _kept(aim, lease)
    if knobs.farther(aim.knob, aim.value, value, neutral):
        return _setting(aim, min(max(goal, aim.gently), value) if aim.gently else goal)
    if not full:
        return _kept(aim, lease)
    stepped = knobs.step(aim.knob, value, goal)
    return _setting(aim, table.clamp(bounds, aim.knob, stepped))


def _now(aim: Aim, view: View) -> str:
    """Return the knob's present text; "" where the ground does not know it."""
    if aim.knob == "io.max":
        lines = view.ground.knobs.get(aim.path, "").splitlines()
        mine = [line for line in lines if line.split()[0] == aim.device]
        return mine[0] if mine else f"{aim.device} rbps=max wbps=max"
    if aim.knob == "cpu.idle":
        weight = aim.path.removesuffix("cpu.idle") + "cpu.weight"
        return "0 " + view.ground.knobs.get(weight, "100")
    if aim.knob == SCHED_EXT:
        return knobs.NORMAL
    if aim.path.startswith("task:"):
        return "other" if aim.knob == "policy" else "0"
    return view.ground.knobs.get(aim.path, "")


def _admin_idle(aim: Aim, view: View, held: Mapping[Slot, Lease]) -> bool:
    """Say whether somebody else made this cgroup idle; its weight refuses writes."""
    if aim.knob not in ("cpu.weight", "cpu.idle", SCHED_EXT):
        return False
    folder = aim.path.rsplit("/", 1)[0]
    is_ours = slot("cpu.weight", f"{folder}/cpu.weight") in held
    return not is_ours and view.ground.knobs.get(f"{folder}/cpu.idle") == "1"


def _beyond(aim: Aim, neutral: float) -> bool:
    """Say whether the aim lies on the stance's side of neutral."""
    if math.isnan(neutral):
        return True
    protect = aim.stance.act is Act.PROTECT
    up = protect if aim.knob not in ("nice", "policy", "wbt_lat_usec") else not protect
    return aim.value > neutral if up else aim.value < neutral


def _same_device(aim: Aim, lease: Lease) -> bool:
    return not aim.device or lease.setting.value.split()[0] == aim.device


def _kept(aim: Aim, lease: Lease) -> Setting:
    """Return what is held, as what this aim wants: names may have changed."""
    setting = lease.setting
    return msgspec.structs.replace(setting, workload=aim.stance.workload, why=_why(aim))


def _why(aim: Aim) -> str:
    stance = aim.stance
    more = ", since it was not enough" if aim.harder else ""
    return f"{stance.act} {stance.resource} {stance.strength}{more}"


def _setting(aim: Aim, value: float) -> Setting:
    stance, knob, path = aim.stance, aim.knob, aim.path
    if knob == "cpu.idle":
        if value <= knobs.IDLE_WEIGHT:
            text = "1"
        else:
            knob, path = "cpu.weight", path.removesuffix("cpu.idle") + "cpu.weight"
            text = knobs.text(knob, value)
    elif knob == "io.max":
        text = knobs.io_max(aim.device, value, aim.ios_per_s)
    else:
        text = knobs.text(knob, value)
    return Setting(stance.workload, knob, path, text, _why(aim))


def _back(lease: Lease, steps: int, full: bool, view: View) -> Setting | None:
    """Return one step back towards neutral; None to let go."""
    setting = lease.setting
    if not full:
        return setting
    knob = "cpu.weight" if setting.knob == "cpu.idle" else setting.knob
    neutral = _neutral(knob, lease, "")
    value = knobs.number(setting.knob, lease.value)
    if math.isnan(value) or math.isnan(neutral) or steps > EASE_STEPS * 4:
        return None
    if math.isinf(neutral) and steps > EASE_STEPS:
        return None
    bounds = view.of(setting.workload)
    if not table.allowed(bounds, knob):
        return None
    stepped = knobs.step(knob, value, neutral)
    bounded = table.clamp(bounds, knob, stepped)
    if knobs.near(knob, bounded, neutral) or bounded == value:
        return None
    if setting.knob == "io.max":
        text = knobs.scaled_io_max(setting.value, bounded / value)
        return msgspec.structs.replace(setting, value=text)
    if setting.knob == "cpu.idle":
        path = setting.path.removesuffix("cpu.idle") + "cpu.weight"
        text = knobs.text(knob, bounded)
        return msgspec.structs.replace(setting, knob=knob, path=path, value=text)
    return msgspec.structs.replace(setting, value=knobs.text(knob, bounded))


def _ordered(settings: Collection[Setting]) -> list[Setting]:
    """Order settings: what yields first, so that there is something to give.

    Among the protected parents come first: a child's memory.low counts only up
    to its parent's (admin-guide/cgroup-v2).
    """
    return sorted(
        settings,
        key=lambda s: (s.why.startswith("protect"), len(parts(s.path)), s.path, s.knob),
    )


__all__ = ["Law", "LawState", "enforce", "key_of", "slot"]
