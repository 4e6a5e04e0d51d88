# SPDX-License-Identifier: MIT
"""Numbers and times as people read them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

DASH = "-"  # where there is no number

# Signals whose own name is no help to a reader; others lose their unit only.
NAMES = {
    "cpu_pct": "cpu",
    "runq_p99_ns": "run queue p99",
    "runq_p50_ns": "run queue p50",
    "runq_wait_pct": "waiting for cpu",
    "runq_count": "waits for cpu",
    "preempted_by_other_per_s": "preempted by others",
    "psi_cpu_some_pct": "cpu pressure",
    "psi_io_some_pct": "io pressure",
    "psi_memory_some_pct": "memory pressure",
    "slo_p99_ns": "own latency p99",
}
_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def signal(name: str) -> str:
    """Return a signal's name for people: 'runq_p99_ns' is 'run queue p99'."""
    if name in NAMES:
        return NAMES[name]
    for unit in ("_bytes_per_s", "_per_s", "_bytes", "_pct", "_ns", "_count"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")


def quantity(name: str, value: float) -> str:
    """Return a signal's value with its unit, taken from the signal's name."""
    if not math.isfinite(value):
        return DASH
    if name.endswith("_ns"):
        return duration(value)
    if name.endswith("_bytes_per_s"):
        return size(value) + "/s"
    if name.endswith("_bytes"):
        return size(value)
    if name.endswith("_pct"):
        return percent(value)
    return short(value) + ("/s" if name.endswith("_per_s") else "")


def value(number: float, unit: str) -> str:
    """Return an event's value: its unit is 'ns', 'bytes' or a word."""
    if not math.isfinite(number):
        return DASH
    if unit == "ns":
        return duration(number)
    if unit == "bytes":
        return size(number)
    return f"{short(number)} {unit}".strip()


def duration(ns: float) -> str:
    """Return nanoseconds with three digits: '12.4 ms', '410 µs', '0 ns'."""
    for scale, unit in _TIMES:
        if abs(ns) >= scale * 0.9995:
            return f"{_three(ns / scale)} {unit}"
    return f"{_three(ns)} ns" if ns else "0 ns"


def size(count: float) -> str:
    """Return bytes with three digits: '48.0 MiB', '512 B'."""
    for scale, unit in _BYTES:
        if abs(count) >= scale * 0.9995:
            return f"{_three(count / scale)} {unit}"
    return f"{count:.0f} B"


def percent(number: float) -> str:
    """Return '0.4 %', '62 %'."""
    if not math.isfinite(number):
        return DASH
    return f"{number:.1f} %" if abs(number) < 9.95 else f"{number:.0f} %"


def short(number: float) -> str:
    """Return a bare number with three digits, large ones with k, M or G."""
    for scale, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= scale * 0.9995:
            divisor = 1e3 if unit == "k" else scale
            return _three(number / divisor) + unit
    return f"{number:.0f}" if number == round(number) else _three(number)


def _three(number: float) -> str:
    """Return three significant digits, never an exponent."""
    size = abs(number)
    return f"{number:.{2 if size < 0.9995 else 1 if size < 99.95 else 0}f}"


def clock(wall_ns: int, now_ns: int) -> str:
    """Return the time of day, with the date where it is another day's."""
    when, now = at(wall_ns), at(now_ns)
    if when.date() == now.date():
        return f"{when:%H:%M:%S}"
    return f"{when:%d %b %H:%M}" if when.year == now.year else f"{when:%Y-%m-%d %H:%M}"


def ago(wall_ns: int, now_ns: int) -> str:
    """Return how long ago: '3 min ago', 'now'; 'in 5 s' for what is to come."""
    seconds = (now_ns - wall_ns) / 1e9
    text = span(abs(seconds))
    if abs(seconds) < 1:
        return "now"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def span(seconds: float) -> str:
    """Return a length of time in its largest unit: '45 s', '3 min', '2 days'."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{timedelta(seconds=seconds).days} days"


def at(wall_ns: int) -> datetime:
    """Return local time."""
    return datetime.fromtimestamp(wall_ns / 1e9).astimezone()


def iso(wall_ns: int) -> str:
    """Return local time as ISO 8601 with milliseconds and offset, for scripts."""
    return at(wall_ns).isoformat(timespec="milliseconds")
