# SPDX-License-Identifier: MIT
"""`vagus top`: the present, live, once, or as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from vagus.cli import common, screen
from vagus.cli.board import Board, from_record
from vagus.cli.client import Client
from vagus.cli.paint import width_for
from vagus.errors import DaemonError, RecordError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--once", action="store_true", help="print it once and end")
    common.socket_option(parser)
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Show the present."""
    if args.json or args.once or not sys.stdout.isatty():
        board = present(args.socket, args.record)
        if args.json:
            common.print_json(board)
        else:
            now, columns = common.now_ns(), width_for(sys.stdout)
            print(screen.page(board, common.paint(), columns, now), end="")
        return 0
    # Textual takes 100 ms and more to import: for the live view alone.
    from vagus.cli.live import show

    return show(args.socket, args.record)


def present(socket: Path, record: Path) -> Board:
    """Ask the agent, or else read its record; RecordError where neither can be."""
    try:
        with Client(socket) as client:
            board = client.board()
    except DaemonError as error:
        try:
            board = from_record(record)
        except RecordError as other:
            raise RecordError(f"{error}\n{other}") from other
    if board is None:
        raise RecordError("nothing is recorded yet; wait for the first window")
    return board
