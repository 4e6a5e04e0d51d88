# SPDX-License-Identifier: MIT
"""What several verbs share: options, the record, output as text or JSON."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import msgspec

from vagus.cli import when
from vagus.cli.paint import Paint, paint_for

RECORD = "/var/lib/vagus/record.db"
SOCKET = "/run/vagus/socket"
OURS = "vagus"  # the name of the scheduler in ebpf/sched.bpf.c


def scheduler(root: Path) -> str:
    """Return the name of the sched_ext scheduler that is loaded; "" for none."""
    try:
        return (root / "sys/kernel/sched_ext/root/ops").read_text().strip()
    except OSError:
        return ""


def record_option(parser: argparse.ArgumentParser) -> None:
    """Add --record."""
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FILE",
        default=Path(os.environ.get("VAGUS_RECORD", RECORD)),
        help=f"the record (default: $VAGUS_RECORD or {RECORD})",
    )


def socket_option(parser: argparse.ArgumentParser) -> None:
    """Add --socket."""
    parser.add_argument(
        "--socket",
        type=Path,
        metavar="PATH",
        default=Path(os.environ.get("VAGUS_SOCKET", SOCKET)),
        help=f"the agent's socket (default: $VAGUS_SOCKET or {SOCKET})",
    )


def json_option(parser: argparse.ArgumentParser) -> None:
    """Add --json."""
    parser.add_argument("--json", action="store_true", help="print JSON for scripts")


def time_options(parser: argparse.ArgumentParser) -> None:
    """Add -t and --until."""
    parser.add_argument(
        "-t",
        "--since",
        metavar="TIME",
        default="",
        help="from this time on: '3m ago', '14:05', 'yesterday 9:30'",
    )
    parser.add_argument("--until", metavar="TIME", default="", help="up to this time")


def time_range(args: argparse.Namespace, now_ns: int) -> tuple[int, int]:
    """Return what -t and --until ask for, in wall clock nanoseconds."""
    since = when.moment_ns(args.since, now_ns) if args.since else 0
    until = when.moment_ns(args.until, now_ns) if args.until else (1 << 63) - 1
    return since, until


def now_ns() -> int:
    """Return the wall clock; VAGUS_NOW_NS stands in for it where tests set it."""
    return int(os.environ.get("VAGUS_NOW_NS") or time.time_ns())


def paint() -> Paint:
    """Return the colours for standard output."""
    return paint_for(sys.stdout)


def print_json(value: object) -> None:
    """Print a value as indented JSON; a number that is none (NaN) becomes null."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_json_line(value: object) -> None:
    """Print a value as one line of JSON."""
    # Not through text: a dump has a gigabyte of it.
    sys.stdout.flush()
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")


def version() -> str:
    """Return the installed version, or 'from a checkout'."""
    from importlib import metadata

    try:
        return metadata.version("vagus")
    except metadata.PackageNotFoundError:
        return "from a checkout"
