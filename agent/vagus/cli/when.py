# SPDX-License-Identifier: MIT
"""Times as people write them: '3m ago', '14:05', 'yesterday 9:30', '2d'."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from vagus.errors import VagusError

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
YEARS = (1971, 2261)  # whose nanoseconds since 1970 fit into 63 bits, in every zone
EXAMPLES = "'3m ago', '2h', '14:05', 'yesterday 9:30' or '2026-11-23 14:05'"

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")
_UNITS = {
    word: letter
    for letter, words in {
        "s": "s sec secs second seconds",
        "m": "m min mins minute minutes",
        "h": "h hour hours",
        "d": "d day days",
        "w": "w week weeks",
    }.items()
    for word in words.split()
}
_FORMATS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d")
_CLOCKS = ("%H:%M:%S", "%H:%M")


class TimeError(VagusError):
    """A time that cannot be read; exit code 64, as for any wrong usage."""

    exit_code = 64


def moment_ns(text: str, now_ns: int) -> int:
    """Return wall clock nanoseconds of a time; spans count back from now.

    A time of day is the latest one that has passed.  TimeError where it is none.
    """
    words = text.strip().lower()
    if words in ("now", ""):
        return now_ns
    back = words.removesuffix("ago").strip().removeprefix("-").strip()
    if (seconds := _span_s(back)) is not None:
        return now_ns - int(min(seconds * 1e9, now_ns))
    found = _date(words, datetime.fromtimestamp(now_ns / 1e9))
    if found is None or not YEARS[0] <= found.year <= YEARS[1]:
        raise TimeError(f"'{text}' is no time; write {EXAMPLES}")
    return int(found.timestamp() * 1e9)


def _span_s(text: str) -> float | None:
    """Return seconds of '90s', '1h 30m', or None."""
    parts = _SPAN.findall(text)
    rest = _SPAN.sub("", text).replace(",", "").strip()
    if not parts or rest or any(unit not in _UNITS for _, unit in parts):
        return None
    return sum(float(number) * SECONDS[_UNITS[unit]] for number, unit in parts)


def _date(words: str, now: datetime) -> datetime | None:
    for form in _FORMATS:
        if (found := _parse(words.replace("t", " "), form)) is not None:
            return found
    day, _, clock = words.rpartition(" ")
    days = {"": 0, "today": 0, "yesterday": 1}.get(day)
    if days is None:
        return None
    if clock in ("today", "yesterday"):
        start = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return start - timedelta(days=1 if clock == "yesterday" else 0)
    for form in _CLOCKS:
        if (time := _parse(clock, form)) is not None:
            found = datetime.combine(now.date(), time.time()) - timedelta(days=days)
            is_ahead = found > now and not day
            return found - timedelta(days=1) if is_ahead else found
    return None


def _parse(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)
    except ValueError:
        return None
