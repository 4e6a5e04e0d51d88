# SPDX-License-Identifier: MIT
"""`vagus decisions`: what was decided, newest last."""

from __future__ import annotations

import argparse
import sys

from vagus.cli import common, units, words
from vagus.cli.paint import Cell, Paint, table, width_for, word_cell
from vagus.flow import Stance, Value
from vagus.record.found import Decision
from vagus.record.read import Reader

WIDE = 110  # columns; below them the least important go
FIRST_TO_GO = (">TOOK", ">REFUSED", ">WROTE")


class Entry(Value, frozen=True):
    """One decision, as --json prints it."""

    id: int  # for `vagus explain`
    time: str  # ISO 8601, local
    wall_ns: int
    decider: str  # llm, rules, static, bandit, operator ...
    took_ms: float  # to decide
    mode: str  # of the verdict
    cause: str  # why, in a sentence
    stances: list[Stance]  # wanted
    allowed: list[Stance]  # of these, by the latest verdict
    refused: int  # how many refusals
    written: int  # leases granted
    outcomes: list[str]  # of the judge
    model: str  # hash of the model file; empty without one
    fallback: str  # why the wanted decider did not answer
    policy: str  # hash of the policy in force


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--unit", metavar="NAME", default="", help="of one workload")
    parser.add_argument(
        "-n", type=int, default=20, metavar="N", help="at most N, the newest (20)"
    )
    common.time_options(parser)
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print decisions."""
    now = common.now_ns()
    since, until = common.time_range(args, now)
    with Reader(args.record) as reader:
        found = reader.decisions(since, until, args.unit, args.n)
        entries = [entry(one, reader) for one in found]
    if args.json:
        common.print_json(entries)
    elif entries:
        width = width_for(sys.stdout)
        print(listing(entries, now, common.paint(), width), end="")
    else:
        about = f" about {args.unit}" if args.unit else ""
        print(f"no decision{about} in this time; `vagus top` shows what is seen now")
    return 0


def entry(one: Decision, reader: Reader) -> Entry:
    """Return one decision with what came of it."""
    proposal = one.proposal
    return Entry(
        id=one.id,
        time=units.iso(one.wall_ns),
        wall_ns=one.wall_ns,
        decider=proposal.decider,
        took_ms=proposal.took_ms,
        mode=one.mode,
        cause=proposal.cause,
        stances=proposal.stances,
        allowed=one.allowed,
        refused=len(reader.refused(one.id)),
        written=len(reader.leases(decision=one.id)),
        outcomes=[row.effect.outcome.value for row in reader.effects(one.id)],
        model=proposal.model,
        fallback=proposal.fallback,
        policy=one.policy,
    )


def listing(entries: list[Entry], now_ns: int, paint: Paint, columns: int) -> str:
    """Return the table, and a line of help under it."""
    header = [">ID", "TIME", "DECIDER", ">TOOK", ">REFUSED", ">WROTE", "RESULT"]
    header.append("STANCES")
    rows = [_row(one, now_ns) for one in entries]
    if columns and columns < WIDE:
        kept = [n for n, name in enumerate(header) if name not in FIRST_TO_GO]
        header = [header[n] for n in kept]
        rows = [[row[n] for n in kept] for row in rows]
    text = table(header, rows, paint, columns)
    notes = [f"why: vagus explain {entries[-1].id}"]
    if any(one.fallback for one in entries):
        notes.append("* another had to decide instead")
    return text + paint("dim", "; ".join(notes)) + "\n"


def _row(one: Entry, now_ns: int) -> list[str | Cell]:
    said = [*dict.fromkeys(one.outcomes)]
    results = [word for word in said if word != "pending"] or said or [units.DASH]
    fell_back = "*" if one.fallback else ""
    return [
        str(one.id),
        units.clock(one.wall_ns, now_ns),
        one.decider + fell_back,
        units.duration(one.took_ms * 1e6),
        str(one.refused or units.DASH),
        str(one.written or units.DASH),
        word_cell(results[0], ", ".join(results)),
        words.together(one.allowed),
    ]
