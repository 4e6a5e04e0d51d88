# SPDX-License-Identifier: MIT
"""Quantities as people write them: '2ms', '64M', '10%', '1.5 CPUs' as '150%'.

Every parser takes what YAML gave (text or a number) and raises ValueError with a
sentence that shows a right example.
"""

from __future__ import annotations

import math
import re

NS_PER = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
# K is 1024, as in systemd.resource-control(5) and cgroup files' own shorthand.
BYTES_PER = {"": 1, "B": 1} | {
    prefix + suffix: 1024**power
    for power, prefix in enumerate("KMGT", start=1)
    for suffix in ("", "iB")
}
LARGEST = 2**63 - 1  # what the kernel's s64 and SQLite's integer hold
_QUANTITY = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s?([A-Za-zµ%]{0,3})")


def duration_ns(raw: object) -> int:
    """Return nanoseconds of a duration such as '2ms', '10s', '1.5h', or of 0."""
    value, unit = _split(raw, "a duration such as 2ms, 10s or 1h")
    if value == 0 and not unit:
        return 0
    if not unit:
        raise ValueError(f"{show(raw)} needs a unit: {_number(value)}ms or so")
    if unit not in NS_PER:
        known = ", ".join(name for name in NS_PER if name != "µs")
        raise ValueError(f"'{unit}' is no unit of time; known are {known}")
    return _whole(value * NS_PER[unit], raw)


def size_bytes(raw: object) -> int:
    """Return bytes of a size such as '64M' (K is 1024), or of a plain number."""
    value, unit = _split(raw, "a size such as 64M or 2G")
    if unit not in BYTES_PER:
        raise ValueError(f"'{unit}' is no unit of size; known are K, M, G, T")
    return _whole(value * BYTES_PER[unit], raw)


def percent(raw: object) -> float:
    """Return the number before a percent sign: '2.5%' is 2.5."""
    value, unit = _split(raw, "a percentage such as 10%")
    if unit != "%":
        raise ValueError(f"{show(raw)} is no percentage; write {_number(value)}%")
    return value


def cpus(raw: object) -> float:
    """Return CPUs of '150%' (1.5) or of a plain number of CPUs."""
    value, unit = _split(raw, "a share of CPUs such as 50% or 2")
    if unit not in ("", "%"):
        raise ValueError(f"{show(raw)} is no share of CPUs; write 50% or 2")
    return value / 100 if unit else value


def whole(raw: object) -> int:
    """Return a whole number, signs allowed."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    raise ValueError(f"expected a whole number, not {show(raw)}")


def show(raw: object, limit: int = 40) -> str:
    """Name what was written, in quotes where it is text, cut and printable."""
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return "true" if raw else "false"
    if isinstance(raw, dict):
        return "a mapping"
    if isinstance(raw, list | tuple):
        return "a list"
    text = str(raw)
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    text = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )
    return f"'{text}'" if isinstance(raw, str) else text


def duration_text(value_ns: float) -> str:
    """Write nanoseconds in the largest unit that leaves a short number."""
    for unit in ("d", "h", "min", "s", "ms", "us"):
        if value_ns >= NS_PER[unit] and (value_ns * 100) % NS_PER[unit] == 0:
            return f"{_number(value_ns / NS_PER[unit])}{unit}"
    return f"{_number(value_ns)}ns" if value_ns else "0"


def size_text(value_bytes: float) -> str:
    """Write bytes in the largest unit that leaves a short number."""
    for unit in "TGMK":
        if value_bytes >= BYTES_PER[unit] and (value_bytes * 4) % BYTES_PER[unit] == 0:
            return f"{_number(value_bytes / BYTES_PER[unit])}{unit}"
    return _number(value_bytes)


def percent_text(value: float) -> str:
    """Write a percentage."""
    return f"{_number(value)}%"


def clock_text(minutes: int) -> str:
    """Write minutes since midnight as a time of day."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _number(value: float) -> str:
    """Write a number without a trailing '.0'."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _split(raw: object, wanted: str) -> tuple[float, str]:
    """Split a quantity into number and unit."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise ValueError(f"expected {wanted}, not {show(raw)}")
    if isinstance(raw, int | float):
        if not math.isfinite(raw) or not 0 <= raw <= LARGEST:
            raise ValueError(f"expected {wanted}, not {show(raw)}")
        return float(raw), ""
    found = _QUANTITY.fullmatch(raw.strip())
    if found is None:
        raise ValueError(f"expected {wanted}, not {show(raw)}")
    return float(found[1]), found[2]


def _whole(value: float, raw: object) -> int:
    """Round to an integer that the kernel can hold."""
    if value > LARGEST:
        raise ValueError(f"{show(raw)} is too large")
    return round(value)
