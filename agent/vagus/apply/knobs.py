# SPDX-License-Identifier: MIT
"""Knob texts as numbers: how far a value is from another, and one step back.

Every knob that the law sets is reduced to one number, so that deadband, step
and direction are the same few lines for all of them:

========================  =====================================================
cpu.weight, io.weight     the weight, 1..10000 (admin-guide/cgroup-v2)
cpu.idle                  0 or 1, told as a weight: 1 counts as IDLE_WEIGHT
cpu.max                   CPUs: quota / period
memory.low, memory.high   bytes
io.max                    bytes a second of the reads (all limits move together)
wbt_lat_usec              microseconds
nice                      nice value, -20..19
policy                    0 other, 1 batch, 2 idle
sched_ext                 the strength of the class; yield is below zero, normal 0
========================  =====================================================
"""

from __future__ import annotations

import math

from vagus.policy.knobs import SCHED_EXT

# Linux kernel/sched/sched.h: WEIGHT_IDLEPRIO is 3 where nice 0 is 1024.
IDLE_WEIGHT = 100 * 3 / 1024
# admin-guide/cgroup-v2: the period that cpu.max has unless set otherwise.
PERIOD_US = 100_000
# kernel/sched/core.c min_bw_quota_period_ns: 1 ms; a quota below is -EINVAL.
QUOTA_MIN_US = 1_000
# A value nearer than this to what is held is not worth a write.
DEADBAND = 0.05
# The most that a knob moves back in one step.
STEP = 0.10

POLICIES = ("other", "batch", "idle")
NORMAL = "normal"  # the class of who has none
# Knobs of which a larger number is no better or worse, only a different step.
ADDITIVE = ("nice", "policy", SCHED_EXT)


def number(knob: str, text: str) -> float:
    """Return the one number of a knob's text; inf for "max", nan if unreadable."""
    text = text.strip()
    try:
        if knob == "cpu.max":
            return _cpus(text)
        if knob == "io.max":
            return _rate(text)
        if knob == "io.weight":
            return float(text.splitlines()[0].removeprefix("default").strip())
        if knob == "policy":
            return float(POLICIES.index(text))
        if knob == SCHED_EXT:
            return _class(text)
        if knob == "cpu.idle":
            return IDLE_WEIGHT if int(text.split()[0]) else math.nan
        return math.inf if text == "max" else float(text.split()[0])
    except (ValueError, IndexError):
        return math.nan


def _cpus(text: str) -> float:
    quota, _, period = text.partition(" ")
    return math.inf if quota == "max" else int(quota) / int(period or PERIOD_US)


def _class(text: str) -> float:
    """Return the strength of "protect 2" or "yield 2", the latter below zero."""
    act, _, strength = text.partition(" ")
    if text == NORMAL:
        return 0.0
    return float({"protect": 1, "yield": -1}.get(act, math.nan)) * int(strength)


def _rate(text: str) -> float:
    """Return the tightest byte rate of the first device in an io.max text."""
    device, *limits = text.splitlines()[0].split()
    if ":" not in device:
        raise ValueError(f"{device} is no device")
    fields = dict(limit.split("=") for limit in limits)
    rates = [fields.get("rbps", "max"), fields.get("wbps", "max")]
    return min(math.inf if r == "max" else float(r) for r in rates)


def text(knob: str, value: float) -> str:
    """Return a number as the text to write; inf is "max" (not for io.max)."""
    if knob == "policy":
        return POLICIES[int(value)]
    if knob == SCHED_EXT:
        act = "protect" if value > 0 else "yield"
        return f"{act} {abs(round(value))}" if value else NORMAL
    if knob == "cpu.max":
        quota = "max" if math.isinf(value) else str(_quota_us(value))
        return f"{quota} {PERIOD_US}"
    return "max" if math.isinf(value) else str(round(value))


def _quota_us(cpus: float) -> int:
    return max(QUOTA_MIN_US, round(cpus * PERIOD_US))


def io_max(device: str, bytes_per_s: float, ios_per_s: float) -> str:
    """Return an io.max line that limits reads and writes alike."""
    rate, ios = max(1, round(bytes_per_s)), max(1, round(ios_per_s))
    return f"{device} rbps={rate} wbps={rate} riops={ios} wiops={ios}"


def scaled_io_max(line: str, factor: float) -> str:
    """Return an io.max line with every limit multiplied; "max" stays."""
    device, *fields = line.split()
    pairs = [f.split("=") for f in fields]
    moved = [
        (k, v if v == "max" else str(max(1, int(float(v) * factor)))) for k, v in pairs
    ]
    return " ".join([device, *(f"{k}={v}" for k, v in moved)])


def near(knob: str, one: float, other: float, band: float = DEADBAND) -> bool:
    """Say whether two numbers of a knob are within the deadband."""
    if one == other:
        return True
    if knob in ADDITIVE or math.isinf(one) or math.isinf(other):
        return False
    return abs(one - other) <= band * max(abs(one), abs(other))


def farther(knob: str, one: float, other: float, neutral: float) -> bool:
    """Say whether `one` is farther from neutral than `other`, or across it."""
    if math.isnan(neutral):
        return True
    side_one, side_other = one - neutral, other - neutral
    if side_one * side_other < 0:
        return True
    return _distance(knob, one, neutral) > _distance(knob, other, neutral)


def _distance(knob: str, value: float, neutral: float) -> float:
    if value == neutral:
        return 0.0
    if knob in ADDITIVE:
        return abs(value - neutral)
    # A limit's distance from "no limit": the tighter, the farther.
    if math.isinf(neutral):
        return -math.log(max(value, 1e-9)) + 1e3
    if math.isinf(value):
        return 1e3
    return abs(math.log(max(value, 1e-9) / max(neutral, 1e-9)))


def step(knob: str, held: float, goal: float) -> float:
    """Move a number towards a goal by a tenth at most (one unit at least)."""
    if knob in ADDITIVE:
        return held + max(-1.0, min(1.0, goal - held))
    least = 1.0 if knob in ("cpu.weight", "io.weight", "wbt_lat_usec") else 0.0
    size = max(abs(held) * STEP, least)
    if knob in ("cpu.weight", "io.weight", "wbt_lat_usec"):
        size = max(1.0, math.floor(size))
    return min(goal, held + size) if goal > held else max(goal, held - size)
