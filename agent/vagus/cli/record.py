# SPDX-License-Identifier: MIT
"""`vagus record ls|dump|vacuum`: the record itself."""

from __future__ import annotations

import argparse
import sqlite3

import msgspec

from vagus.cli import common, units
from vagus.cli.paint import table
from vagus.errors import RecordError
from vagus.record import schema
from vagus.record.found import Summary
from vagus.record.read import Reader


class Shrunk(msgspec.Struct, frozen=True):
    """What vacuum did, as --json prints it."""

    before: int  # bytes of the file
    after: int


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    ls = actions.add_parser("ls", help="what the record holds")
    common.json_option(ls)
    dump = actions.add_parser(
        "dump",
        help="records, one JSON object a line: what changed from one to the next",
    )
    common.time_options(dump)
    dump.add_argument(
        "--whole", action="store_true", help="every window with all its workloads"
    )
    vacuum = actions.add_parser("vacuum", help="shrink (and migrate) the file")
    common.json_option(vacuum)
    dump.add_argument("--json", action="store_true", help="as it is anyway")
    for action in (ls, dump, vacuum):
        common.record_option(action)


def run(args: argparse.Namespace) -> int:
    """Do the action."""
    actions = {"ls": _ls, "dump": _dump, "vacuum": _vacuum}
    return actions[args.action](args)


def _ls(args: argparse.Namespace) -> int:
    with Reader(args.record) as reader:
        summary = reader.summary()
    if args.json:
        common.print_json(summary)
    else:
        print(listing(summary, common.now_ns()), end="")
    return 0


def listing(summary: Summary, now_ns: int) -> str:
    """Return a record's contents as text."""
    rows = [
        ["file", summary.path],
        ["size", units.size(summary.bytes)],
        ["schema", str(summary.schema)],
    ]
    if summary.last_ns:
        seconds = (summary.last_ns - summary.first_ns) / 1e9
        for name, at in (("first", summary.first_ns), ("last", summary.last_ns)):
            age = units.ago(at, now_ns)
            rows.append([name, f"{units.clock(at, now_ns)}, {age}"])
        rows.append(["covers", units.span(seconds)])
    rows += [[name.replace("_", " "), str(n)] for name, n in summary.rows.items()]
    rows.append(["lost windows", str(summary.skipped)])
    return table(["", ""], rows, common.paint())


def _dump(args: argparse.Namespace) -> int:
    since, until = common.time_range(args, common.now_ns())
    with Reader(args.record) as reader:
        records = reader.between if args.whole else reader.changes
        for one in records(since, until):
            common.print_json_line(one)
    return 0


def _vacuum(args: argparse.Namespace) -> int:
    path = args.record
    if not path.exists():
        raise RecordError(f"there is no record at {path}; name one with --record")
    before = path.stat().st_size
    try:
        db = schema.open_writer(path)
        try:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            db.execute("VACUUM")
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        finally:
            db.close()
    except (sqlite3.OperationalError, OSError) as error:
        raise RecordError(
            f"{path} cannot be shrunk ({error}); stop the agent, or run as root"
        ) from error
    except sqlite3.DatabaseError as error:
        raise schema.damaged(path, error) from error
    shrunk = Shrunk(before, path.stat().st_size)
    if args.json:
        common.print_json(shrunk)
    else:
        print(f"{units.size(shrunk.before)} -> {units.size(shrunk.after)}")
    return 0
