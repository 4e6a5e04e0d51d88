# SPDX-License-Identifier: MIT
"""`vagus backtest`: what another policy or decider would have done.

The recorded windows, in the words of the other policy, go through the deciding and
verifying code under it, at the hours that they had.  What was written then has
shaped what was seen, so this tells how the other would have begun in each situation,
not what would have come of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import msgspec

from vagus.cli import common, units, words
from vagus.cli.board import in_force
from vagus.cli.paint import Cell, Paint, table, width_for
from vagus.cli.reword import Reworder
from vagus.course import Course
from vagus.errors import PolicyError, RecordError
from vagus.flow import Mode, Record, Stance
from vagus.policy.load import load
from vagus.policy.model import Policy
from vagus.record.read import Reader

DECIDERS = ("rules", "static", "none", "bandit", "random")


class Change(msgspec.Struct, frozen=True):
    """From when on which stances would have been others."""

    time: str  # ISO 8601, local
    wall_ns: int  # from when on
    tick: int  # of the window
    was: list[Stance]  # stances that stood
    would: list[Stance]  # stances that would have
    refused: list[str]  # what would have been refused, in sentences


class Report(msgspec.Struct, frozen=True):
    """A back-test, as --json prints it."""

    windows: int  # how many were tried
    decider: str  # who decided in the trial
    agree_pct: float  # windows in which both had the same stances
    was_s: dict[str, float]  # seconds that each stance stood; advice does not stand
    would_s: dict[str, float]
    changes: list[Change]
    mode: str = ""  # of the policy that was tried, outside its quiet hours
    notes: list[str] = []  # what is not as that policy would have had it


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--policy", type=Path, metavar="FILE", help="the other policy")
    parser.add_argument(
        "--decider",
        choices=DECIDERS,
        help="the other decider (default: the policy's; rules where that is llm)",
    )
    parser.add_argument(
        "-n", type=int, default=20, metavar="N", help="at most N differences (20)"
    )
    common.time_options(parser)
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print the differences."""
    now = common.now_ns()
    since, until = common.time_range(args, now)
    with Reader(args.record) as reader:
        policy = _policy(args.policy, reader)
        if args.decider:
            policy = policy.model_copy(update={"decider": args.decider})
        found = backtest(reader.between(since, until), policy)
    if not found.windows:
        raise RecordError("nothing is recorded in that time; see `vagus record ls`")
    if args.json:
        common.print_json(found)
    else:
        print(page(found, now, common.paint(), width_for(sys.stdout), args.n), end="")
    return 0


def _policy(path: Path | None, reader: Reader) -> Policy:
    """Return the policy to try: a file's, or the recorded one."""
    if path is not None:
        return load(path)
    from vagus.policy.load import loads

    latest = reader.latest()
    name = latest.policy if latest else ""
    if reader.is_altered(name):
        raise PolicyError(
            "a secret was taken out of the recorded policy before it was kept, so it"
            " is not what was in force; name the policy with --policy"
        )
    text = reader.policy(name)
    if not text:
        raise PolicyError("the record keeps no policy's text; name one with --policy")
    return loads(text, "the recorded policy")


def backtest(records: Iterable[Record], policy: Policy) -> Report:
    """Send recorded windows through another policy's decider and verification."""
    from vagus.wire import plain_decider

    decider, course, reworder = plain_decider(policy), Course(policy), Reworder()
    was: list[Stance] = []
    windows = same = 0
    was_s: dict[str, float] = {}
    would_s: dict[str, float] = {}
    changes: list[Change] = []
    pair: tuple[list[Stance], list[Stance]] = ([], [])
    for record in records:
        now_ns = record.window.end_ns
        if record.verdict is not None:
            enforced = record.verdict.mode is Mode.ENFORCE
            was = record.verdict.allowed if enforced else []
        was = in_force(was, record.effects)
        course.refresh(now_ns, datetime.fromtimestamp(record.wall_ns / 1e9))
        window = reworder.window(record.window, course.policy)
        course.consider(decider, window, now_ns)
        would = in_force(course.standing, [])
        windows += 1
        same += was == would
        seconds = (window.end_ns - window.start_ns) / 1e9
        _count(was_s, was, seconds)
        _count(would_s, would, seconds)
        if was != would and (was, would) != pair:
            changes.append(_change(record, was, would, course))
        pair = (was, would)
    agree = 100.0 * same / windows if windows else 0.0
    told = (policy.mode.value, _notes(policy))
    return Report(windows, decider.name, agree, was_s, would_s, changes, *told)


def _notes(policy: Policy) -> list[str]:
    """Say what is not as the policy would have had it."""
    notes = [
        "not done again: which process belongs to which workload (match) and what"
        " each is for (role); both are as recorded"
    ]
    if policy.decider == "llm":
        notes.append(
            "the policy's decider is llm; no model was asked, and rules decided here"
        )
    return notes


def _change(
    record: Record, was: list[Stance], would: list[Stance], course: Course
) -> Change:
    refused = course.verdict.refused if course.verdict else []
    return Change(
        time=units.iso(record.wall_ns),
        wall_ns=record.wall_ns,
        tick=record.window.tick,
        was=was,
        would=would,
        refused=[one.sentence for one in refused],
    )


def _count(total: dict[str, float], stances: Iterable[Stance], seconds: float) -> None:
    for stance in stances:
        name = words.stance(stance)
        total[name] = total.get(name, 0.0) + seconds


def page(found: Report, now_ns: int, paint: Paint, columns: int, most: int) -> str:
    """Return a back-test as text."""
    names = sorted({*found.was_s, *found.would_s})
    rows: list[list[str | Cell]] = [
        [name, _span(found.was_s.get(name)), _span(found.would_s.get(name))]
        for name in names
    ]
    text = (
        f"{found.windows} windows, mode {found.mode}, decided by {found.decider}:"
        f" {units.percent(found.agree_pct)} with the same stances\n\n"
    )
    text += table(["STANCE", ">STOOD", ">WOULD HAVE"], rows, paint, columns)
    if found.changes:
        lines = [line for one in found.changes[:most] for line in _diff(one, now_ns)]
        text += "\n" + table(["FROM", "OTHERWISE"], lines, paint, columns)
        if len(found.changes) > most:
            text += f"and {len(found.changes) - most} more; -n shows more\n"
    return text + "".join(f"{paint('dim', one)}\n" for one in ["", *found.notes])


def _diff(one: Change, now_ns: int) -> list[list[str | Cell]]:
    """Return what one moment would have had more, and less, a line each."""
    more = [
        Cell(f"+ {words.stance(s)}", "green") for s in one.would if s not in one.was
    ]
    less = [Cell(f"- {words.stance(s)}", "red") for s in one.was if s not in one.would]
    what: list[Cell] = [*more, *less, *(Cell(f"  ({no})", "dim") for no in one.refused)]
    if not one.was or not one.would:
        side = "stood" if not one.was else "would stand"
        what.append(Cell(f"  nothing {side}", "dim"))
    at = units.clock(one.wall_ns, now_ns)
    return [[at if not n else "", cell] for n, cell in enumerate(what)]


def _span(seconds: float | None) -> str:
    return units.span(seconds) if seconds else units.DASH
