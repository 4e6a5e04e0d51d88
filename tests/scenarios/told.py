# SPDX-License-Identifier: MIT
"""What an agent's own record tells of a measured span: no number of the lab's.

Times are CLOCK_MONOTONIC seconds, as the lab's are.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from vagus.flow import Outcome, Record
from vagus.record.read import Reader

NS = 1e9
# An engine that used this much of a window was at work in it.
INFERS_PCT = 1.0
Span = tuple[float, float]


def told(path: Path, begin_s: float, start_s: float, end_s: float) -> dict[str, float]:
    """Return what one agent did from begin to end; its costs from start to end."""
    with Reader(path) as reader:
        records = list(reader.between(0, (1 << 63) - 1))
    since = [r for r in records if r.window.end_ns / NS > begin_s]
    until = [r for r in since if r.window.start_ns / NS < end_s]
    minutes = (end_s - begin_s) / 60
    granted = [
        lease.granted_ns / NS
        for record in since
        for lease in record.granted
        if begin_s <= lease.granted_ns / NS < end_s
    ]
    outcomes = Counter(e.outcome for r in until for e in r.effects)
    measured = [r for r in until if r.window.end_ns / NS > start_s]
    found = {
        "react_s": min(granted) - begin_s if granted else math.nan,
        "writes": float(len(granted)),
        "writes_all": float(sum(len(r.granted) for r in records)),
        "flips_per_min": flips(until) / minutes,
        "decisions": float(sum(r.proposal is not None for r in until)),
        "agent_cpu_pct": mean([r.cost.cpu_pct for r in measured if r.cost]),
        "engine_cpu_pct": mean([r.cost.engine_cpu_pct for r in measured if r.cost]),
        "agent_mb": mean([r.cost.rss_bytes / 1e6 for r in measured if r.cost]),
        "engine_mb": mean([r.cost.engine_rss_bytes / 1e6 for r in measured if r.cost]),
    }
    for outcome in (Outcome.KEPT, Outcome.COINCIDENT, Outcome.REVERTED):
        found[f"effects_{outcome}"] = float(outcomes[outcome])
    for name, key in (("calls", "model.calls"), ("tokens", "model.tokens")):
        found[name] = counted(until, key)
    for name, key in (
        ("reflexes", "loop.reflexes"),
        ("fallbacks", "decider.fallbacks"),
    ):
        found[name] = counted(until, key)
    return found


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN where there is nothing."""
    return sum(values) / len(values) if values else math.nan


def counted(records: Sequence[Record], key: str) -> float:
    """Return by how much a counter grew; NaN where nobody counts it."""
    seen = [r.counters[key] for r in records if key in r.counters]
    return float(seen[-1] - seen[0]) if seen else math.nan


def number(text: str) -> float:
    """Return a knob's text as a number: its first word, "max" is no bound."""
    word = (
        text.split()[-1 if text.startswith("default") else 0] if text.split() else "0"
    )
    try:
        return math.inf if word == "max" else float(word)
    except ValueError:
        return 0.0


def moves(records: Sequence[Record]) -> Mapping[str, list[tuple[int, float, float]]]:
    """Return (time, from, to) of each change that was made, by knob."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    values: dict[str, float] = {}
    for record in records:
        changes = [
            (lease.granted_ns, lease.setting.path, lease.old, lease.value)
            for lease in record.granted
        ]
        changes += [(e.time_ns, e.path, e.old, e.old) for e in record.ended]
        for time_ns, path, old, value in sorted(changes):
            before = values.get(path, number(old))
            values[path] = number(value)
            found.setdefault(path, []).append((time_ns, before, values[path]))
    return found


def flips(records: Sequence[Record]) -> int:
    """Count the changes of direction, all knobs together."""
    count = 0
    for changes in moves(records).values():
        directions = [to > before for _, before, to in changes if to != before]
        pairs = itertools.pairwise(directions)
        count += sum(one != other for one, other in pairs)
    return count


def inferring(path: Path) -> list[Span]:
    """Return the windows in which the engine was at work."""
    with Reader(path) as reader:
        return [
            (r.window.start_ns / NS, r.window.end_ns / NS)
            for r in reader.between(0, (1 << 63) - 1)
            if r.cost and r.cost.engine_cpu_pct >= INFERS_PCT
        ]


@functools.cache  # asked again for every number that leaves them out
def withdrawn(path: Path, begin_s: float, end_s: float) -> list[Span]:
    """Return when fewer knobs were held than just before: withdrawals, and why not.

    Each span is from a lease's end to the next grant of the same knob.
    """
    with Reader(path) as reader:
        records = list(reader.between(0, (1 << 63) - 1))
    ended: dict[str, float] = {}
    found = []
    for record in records:
        changes = [(g.granted_ns, 1, g.setting.path) for g in record.granted]
        changes += [(e.time_ns, 0, e.path) for e in record.ended]
        for time_ns, is_grant, knob in sorted(changes):
            if is_grant and knob in ended:
                found.append((ended.pop(knob), time_ns / NS))
            elif not is_grant:
                ended[knob] = time_ns / NS
    return [span for span in found if begin_s <= span[0] < end_s]
