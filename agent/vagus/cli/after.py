# SPDX-License-Identifier: MIT
"""What happened after a decision, in few lines: verdicts of the judge, ends of leases.

What is the same for several workloads is said once; of what the judge said
several times of one stance, only the last is told, and how often.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from vagus.cli import units, words
from vagus.cli.paint import Cell, word_cell
from vagus.flow import Effect, Outcome
from vagus.record.found import EffectRow, LeaseRow

Row = list[str | Cell]
Happened = tuple[int, Row]  # wall clock; a word and a sentence
CAUSES = {
    "deadline": "not renewed in time",
    "revoked": "the agent took it back",
    "off": "somebody said off",
    "owner": "the agent ended",
    "unload": "the module was unloaded",
    "scheduler": "the scheduler ended",
}
# The judge's own sentence: what and numbers, (noise ...), what was seen: outcome.
_TOLD = re.compile(r"\(noise [^)]*\), (?P<told>.*): [a-z]+$", re.DOTALL)


def steps(written: Sequence[LeaseRow]) -> list[list[LeaseRow]]:
    """Return the leases of each knob together: one lease replaces another."""
    found: dict[tuple[str, str], list[LeaseRow]] = {}
    for one in written:
        found.setdefault((one.workload, one.knob), []).append(one)
    return list(found.values())


def rows(
    effects: Sequence[EffectRow], written: Sequence[LeaseRow], now_ns: int
) -> list[Row]:
    """Return what happened as rows of time, word and sentence, oldest first."""
    happened = [*_judged(effects), *_ended(written, now_ns)]
    return [
        ["now" if at >= now_ns else units.clock(at, now_ns), *cells]
        for at, cells in sorted(happened, key=lambda one: one[0])
    ]


def _judged(effects: Sequence[EffectRow]) -> Iterable[Happened]:
    """Tell the last verdict on each stance, one line for all of the same trial."""
    by_stance: dict[tuple[str, str, str], list[EffectRow]] = {}
    for row in effects:
        on = row.effect.stance
        by_stance.setdefault((on.workload, on.act, on.resource), []).append(row)
    together: dict[tuple[object, ...], list[EffectRow]] = {}
    counts: dict[tuple[object, ...], int] = {}
    for all_of_it in by_stance.values():
        last = all_of_it[-1]
        told = _told(last.effect)
        numbers = (last.effect.before, last.effect.after, last.effect.noise)
        outcome, signal = last.effect.outcome, last.effect.signal
        key = (last.wall_ns, outcome, signal, *numbers, told)
        together.setdefault(key, []).append(last)
        same = [one for one in all_of_it if one.effect.outcome is last.effect.outcome]
        counts[key] = max(counts.get(key, 0), len(same))
    for trial, group in together.items():
        yield group[0].wall_ns, _verdict(group, counts[trial])


def _verdict(group: Sequence[EffectRow], times: int) -> Row:
    effect = group[0].effect
    who = words.together([row.effect.stance for row in group])
    if effect.outcome is Outcome.PENDING:
        return [
            word_cell("pending", "on trial"),
            f"{who}: {words.level(effect)} before",
        ]
    often = f" ({times} times)" if times > 1 else ""
    told = _told(effect)
    tail = f"; {told}" if told else ""
    return [
        word_cell(effect.outcome.value),
        f"{who}{often}: {words.change(effect)}{tail}",
    ]


def _told(effect: Effect) -> str:
    """Return what the judge saw, without the numbers that are told anyway."""
    if effect.outcome is Outcome.PENDING:
        return ""
    found = _TOLD.search(effect.sentence)
    told = found["told"] if found else effect.sentence
    workload, signal = words.parts(effect.signal)
    named = signal.rsplit("_", 1)[0].replace("_", " ")  # as wording.py names it
    return told.replace(f"{workload} {named} ", "")


def _ended(written: Sequence[LeaseRow], now_ns: int) -> Iterable[Happened]:
    """Tell how leases ended, or that they hold; those that ended alike in one line."""
    together: dict[tuple[object, ...], list[LeaseRow]] = {}
    for lease in (of_knob[-1] for of_knob in steps(written)):
        end = lease.end
        at_s = end.wall_ns // 10**9 if end else 0
        alone = lease.id if end and end.end not in ("restored", "gone") else 0
        how = (end.end, end.cause) if end else ("", str(lease.is_current))
        together.setdefault((at_s, *how, alone), []).append(lease)
    for group in together.values():
        end = group[0].end
        at = end.wall_ns if end else max(now_ns, group[0].wall_ns)
        yield at, _end(group)


def _end(group: Sequence[LeaseRow]) -> Row:
    """Say how leases ended that ended alike, in a word and a sentence."""
    lease, end = group[0], group[0].end
    knobs = ", ".join(f"{one.workload} {one.knob}" for one in group)
    if end is None and lease.is_current:
        held = ", ".join(f"{one.workload} {one.knob} = {one.value}" for one in group)
        return [word_cell("kept", "held"), held]
    if end is None:
        return ["restored", f"{knobs}: the agent ended, the kernel gave it back"]
    cause = CAUSES.get(end.cause, end.cause)
    back = f"to {lease.old}" if len(group) == 1 else "as before"
    took_ns = max((one.end.took_ns for one in group if one.end), default=0)
    took = f" in {units.duration(took_ns)}" if took_ns else ""
    text = {
        "restored": f"{knobs} back {back}{took} ({cause})",
        "lost": f"{knobs} was set to {end.now} by somebody else; theirs stays",
        "gone": f"{knobs} gone with the cgroup or task",
    }.get(end.end, f"{knobs} could not be restored; it is {end.now} now")
    return [word_cell(end.end), text]
