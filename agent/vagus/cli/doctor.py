# SPDX-License-Identifier: MIT
"""`vagus doctor`: what works here, what does not, and the remedy."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vagus.cli import common, units, words
from vagus.cli.checks import Check, State, all_checks
from vagus.cli.lines import Page
from vagus.cli.paint import Cell, Paint, table, width_for
from vagus.errors import RecordError
from vagus.flow import CpuHandle, Value
from vagus.record.read import Reader

STYLES = {
    State.OK: "green",
    State.MISSING: "red",
    State.OPTIONAL: "yellow",
    State.NOTE: "blue",
}


class Report(Value, frozen=True):
    """Everything that doctor found, as --json prints it."""

    checks: list[Check]  # one a capability
    counters: dict[str, int]  # of the newest record; empty where there is none
    counters_ns: int  # wall clock of that record
    missing: dict[str, str]  # sources without data then, with the reason
    cpu: CpuHandle | None = None  # by what CPU stances were held then, and why


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--policy", type=Path, metavar="FILE", help="whose model?")
    common.socket_option(parser)
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line a capability; 1 where something needed is missing."""
    checks = all_checks(Path("/"), args.socket, args.policy)
    found = report(checks, args.record)
    if args.json:
        common.print_json(found)
    else:
        width = width_for(sys.stdout)
        print(page(found, common.paint(), width, common.now_ns()), end="")
    return int(any(one.state is State.MISSING for one in checks))


def report(checks: list[Check], record: Path) -> Report:
    """Add the counters of the newest record to the checks."""
    try:
        with Reader(record) as reader:
            latest = reader.latest()
    except RecordError as error:
        sentence = str(error)
        here = Check("record", State.OPTIONAL, "not readable", sentence)
        return Report([*checks, here], {}, 0, {})
    here = Check("record", State.OK, f"{record}", "")
    if latest is None:
        return Report([*checks, here], {}, 0, {})
    return Report(
        [*checks, here],
        latest.counters,
        latest.wall_ns,
        latest.window.quality.missing,
        latest.cpu,
    )


def page(found: Report, paint: Paint, columns: int, now_ns: int) -> str:
    """Return the report as text."""
    sheet = Page(paint, columns or 10_000)
    names = max(len(one.name) for one in found.checks)
    for one in found.checks:
        name = one.name.ljust(names)
        sheet.rows(one.state.value, [[name, one.found]], style=STYLES[one.state])
        if one.remedy:
            sheet.rows("", [[" " * names, Cell(one.remedy, "dim")]])
    text = sheet.text()
    if found.cpu is not None:
        age = units.ago(found.counters_ns, now_ns)
        text += f"\nCPU stances, as of {age}, by {words.handle(found.cpu)}\n"
    if found.counters:
        age = units.ago(found.counters_ns, now_ns)
        head = paint("bold", "counters") + f" since the agent started, as of {age}\n"
        text += "\n" + head + counters(found.counters, paint)
    for source, reason in found.missing.items():
        text += paint("yellow", f"no data from {source}: {reason}") + "\n"
    return text


def counters(values: dict[str, int], paint: Paint) -> str:
    """Return one line a source: 'block   seen 90  lost 0'."""
    sources: dict[str, list[str]] = {}
    for key, value in values.items():
        source, _, what = key.rpartition(".")
        sources.setdefault(source or what, []).append(
            f"{what.replace('_', ' ')} {value}" if source else str(value)
        )
    rows = [[source, "  ".join(parts)] for source, parts in sources.items()]
    return table(["", ""], rows, paint)
