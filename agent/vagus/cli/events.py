# SPDX-License-Identifier: MIT
"""`vagus events`: what the kernel told, and how leases ended."""

from __future__ import annotations

import argparse
import contextlib
import csv
import sys
import time
from collections.abc import Callable, Sequence

from vagus.cli import common, sieve, units
from vagus.cli.paint import Cell, Paint, clip, table, width_for
from vagus.cli.sieve import Sieve
from vagus.flow import Value
from vagus.record.found import EventRow
from vagus.record.read import Reader

STYLES = {"oom": "alarm", "runq": "yellow", "block": "yellow", "reclaim": "yellow"}
STYLES |= {"lease": "green", "lease-end": "cyan"}
WIDE = 110  # columns; below them program and process are part of the detail
POLL_S = 0.25  # between two looks at the record with --follow


class Entry(Value, frozen=True):
    """One event, as --json and CSV print it."""

    time: str  # ISO 8601, local
    wall_ns: int  # when
    kind: str  # exec, exit, runq, block, oom, lease, lease-end ...
    workload: str  # empty where it is none of ours
    tgid: int  # process; 0 where there is none
    tid: int  # thread
    comm: str  # command name, escaped
    value: float  # in `unit`
    unit: str  # ns, bytes, pages or a word; empty where value means nothing
    source: str  # who told it
    cgroup_id: int  # inode number of the cgroup
    detail: str  # arguments (redacted), how it ended, what changed


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on, until ^C")
    parser.add_argument(
        "--filter",
        metavar="EXPR",
        default="",
        help="'runq,block value>10ms program=nginx*': see below",
    )
    parser.epilog = "filter: " + (sieve.__doc__ or "").partition("\n\n")[2]
    parser.add_argument("--unit", metavar="NAME", default="", help="of one workload")
    parser.add_argument(
        "-n", type=int, default=50, metavar="N", help="at most N, the newest (50)"
    )
    parser.add_argument(
        "-o",
        "--output",
        choices=("compact", "json", "csv"),
        default="compact",
        help="one line an event; json: one object a line",
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="output", help="-o json"
    )
    common.time_options(parser)
    common.record_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print events, and go on with --follow."""
    now = common.now_ns()
    since, until = common.time_range(args, now)
    wanted = Sieve(args.filter)
    show = _printer(args.output, now)
    with Reader(args.record) as reader, contextlib.suppress(KeyboardInterrupt):
        rows, last = _newest(reader, args, wanted, since, until)
        show(rows)
        while args.follow:
            time.sleep(POLL_S)
            more, last = reader.events(
                since, until, workload=args.unit, kinds=wanted.kinds, after=last
            )
            show([row for row in more if wanted.passes(row.event)])
            sys.stdout.flush()
        if not rows and args.output == "compact" and not args.follow:
            of = f" of {args.unit}" if args.unit else ""
            print(
                f"no such event{of} in this time; `vagus doctor` tells what is sensed"
            )
    return 0


def _newest(
    reader: Reader, args: argparse.Namespace, wanted: Sieve, since: int, until: int
) -> tuple[list[EventRow], int]:
    """Return the N newest that pass: what a filter leaves out does not count.

    At least one is looked at, of none too: --follow goes on after it.
    """
    most = max(1, args.n)
    while True:
        rows, last = reader.events(
            since, until, workload=args.unit, kinds=wanted.kinds, limit=most
        )
        passed = [row for row in rows if wanted.passes(row.event)]
        if len(passed) >= args.n or len(rows) < most:
            return passed[max(0, len(passed) - args.n) :], last
        most *= 10


def _printer(output: str, now_ns: int) -> Callable[[Sequence[EventRow]], None]:
    if output == "json":
        return _print_json
    if output == "csv":
        return _csv_printer()
    return _text_printer(common.paint(), now_ns, width_for(sys.stdout))


def _print_json(rows: Sequence[EventRow]) -> None:
    for row in rows:
        common.print_json_line(entry(row))


def _csv_printer() -> Callable[[Sequence[EventRow]], None]:
    writer = csv.writer(sys.stdout)
    writer.writerow(Entry.__struct_fields__)

    def show(rows: Sequence[EventRow]) -> None:
        for row in rows:
            one = entry(row)
            writer.writerow(getattr(one, name) for name in Entry.__struct_fields__)

    return show


def _text_printer(
    paint: Paint, now_ns: int, columns: int
) -> Callable[[Sequence[EventRow]], None]:
    is_first = True

    def show(rows: Sequence[EventRow]) -> None:
        nonlocal is_first
        if rows:
            text = listing(rows, now_ns, paint, columns)
            # Later batches repeat no header.
            print(text if is_first else text.split("\n", 1)[1], end="")
            is_first = False

    return show


def entry(row: EventRow) -> Entry:
    """Return an event as scripts see it."""
    one = row.event
    return Entry(
        time=units.iso(row.wall_ns),
        wall_ns=row.wall_ns,
        kind=one.kind,
        workload=one.workload,
        tgid=one.tgid,
        tid=one.tid,
        comm=one.comm,
        value=one.value,
        unit=one.unit,
        source=one.source,
        cgroup_id=one.cgroup_id,
        detail=one.detail,
    )


def listing(rows: Sequence[EventRow], now_ns: int, paint: Paint, columns: int) -> str:
    """Return events as a table."""
    header = ["TIME", "KIND", "WORKLOAD", "PROGRAM", ">PID", ">VALUE", "DETAIL"]
    cells = [_row(row, now_ns) for row in rows]
    if columns and columns < WIDE:
        header[3:5] = []
        cells = [_narrow(row) for row in cells]
    return table(header, cells, paint, columns)


def _narrow(row: list[str | Cell]) -> list[str | Cell]:
    """Return a row with program and process in front of the detail."""
    time_, kind, workload, comm, pid, value, detail = row
    who = f"{comm} {pid}: " if comm else ""
    return [time_, kind, workload, value, f"{who}{detail}"]


def _row(row: EventRow, now_ns: int) -> list[str | Cell]:
    one = row.event
    fraction = f".{row.wall_ns // 1_000_000 % 1000:03d}"
    return [
        units.clock(row.wall_ns, now_ns) + fraction,
        Cell(one.kind, STYLES.get(one.kind, "")),
        clip(one.workload or units.DASH, 20),
        clip(one.comm, 15),
        str(one.tgid or units.DASH),
        units.value(one.value, one.unit) if one.unit else units.DASH,
        one.detail,
    ]
