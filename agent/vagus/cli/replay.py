# SPDX-License-Identifier: MIT
"""`vagus replay`: the past as `top` showed it."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time

from vagus.cli import common, screen
from vagus.cli.board import HISTORY, Tracker
from vagus.cli.paint import width_for
from vagus.errors import RecordError
from vagus.record.read import Reader

CLEAR = "\x1b[H\x1b[J"  # cursor home, clear to the end


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.time_options(parser)
    parser.add_argument(
        "--speed", type=_speed, default=1.0, metavar="X", help="times as fast (1)"
    )
    parser.add_argument(
        "--changes",
        action="store_true",
        help="only windows in which something was done",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="make every verdict, and every answer of the model, again from the"
        " record; 1 where one differs",
    )
    parser.add_argument(
        "--no-model", action="store_true", help="check: do not ask the model again"
    )
    common.record_option(parser)
    common.json_option(parser)


def _speed(text: str) -> float:
    """Return how many times as fast; ArgumentTypeError where it is no such number."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"'{text}' is no number above 0")


def run(args: argparse.Namespace) -> int:
    """Step through the past, or check it."""
    now = common.now_ns()
    since, until = common.time_range(args, now)
    if args.check:
        from vagus.cli.recheck import check

        return check(args.record, since, until, args.json, not args.no_model)
    return _step(args, since, until)


def _step(args: argparse.Namespace, since: int, until: int) -> int:
    """Print the board of each window; on a terminal at the pace of the past."""
    is_live = sys.stdout.isatty() and not args.json
    paint, columns = common.paint(), width_for(sys.stdout)
    tracker, last_ns, shown = Tracker(), 0, 0
    with Reader(args.record) as reader:
        for record in reader.between(max(0, since - HISTORY * 10**9), until):
            tracker.follow(record)
            done = record.proposal or record.granted or record.ended or record.effects
            if record.wall_ns < since or (args.changes and not done):
                continue
            board = tracker.board("record")
            if board is None:
                continue
            if is_live and last_ns:
                time.sleep(min(5.0, (record.wall_ns - last_ns) / 1e9 / args.speed))
            last_ns, shown = record.wall_ns, shown + 1
            if args.json:
                common.print_json_line(board)
                continue
            text = screen.page(board, paint, columns, record.wall_ns)
            print((CLEAR if is_live else "") + text, flush=True)
    if not shown:
        raise RecordError("nothing is recorded in that time; see `vagus record ls`")
    return 0
