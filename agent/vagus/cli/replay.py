# SPDX-License-Identifier: MIT
"""`vagus replay`: the past as `top` showed it."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Generator

from vagus.cli import common, screen
from vagus.cli.board import HISTORY, Board, Tracker, recorded
from vagus.errors import RecordError
from vagus.record.read import Reader


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
    """Show each window: on a terminal in the view of top, else one after the other."""

    def boards() -> Generator[Board]:
        return _boards(args, since, until)

    if sys.stdout.isatty() and not args.json:
        with contextlib.closing(boards()) as found:
            next(found)  # nothing recorded is an error, not an empty view
        # Textual takes 100 ms and more to import.
        from vagus.cli.past import show

        return show(args.record, boards, args.speed)
    for board in boards():
        if args.json:
            common.print_json_line(board)
        else:
            print(screen.page(board, common.paint(), 0, board.wall_ns), flush=True)
    return 0


def _boards(args: argparse.Namespace, since: int, until: int) -> Generator[Board]:
    """Yield the windows of that time as top showed them; RecordError without any."""
    is_empty = True
    with Reader(args.record) as reader:
        tracker = Tracker(recorded(reader))
        for record in reader.between(max(0, since - HISTORY * 10**9), until):
            tracker.follow(record)
            done = record.proposal or record.granted or record.ended or record.effects
            if record.wall_ns < since or (args.changes and not done):
                continue
            if board := tracker.board("record"):
                is_empty = False
                yield board
    if is_empty:
        raise RecordError("nothing is recorded in that time; see `vagus record ls`")
