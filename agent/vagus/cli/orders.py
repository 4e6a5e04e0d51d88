# SPDX-License-Identifier: MIT
"""Orders to the running agent: mode, approve, undo, mute, reload."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from vagus.cli import common
from vagus.cli.client import Client
from vagus.flow import Mode


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add what this verb takes; each argument goes to the agent by its name."""
    verb = parser.prog.split()[-1]
    _ARGUMENTS[verb](parser)
    common.socket_option(parser)
    common.json_option(parser)


def _mode(parser: argparse.ArgumentParser) -> None:
    modes = [mode.value for mode in Mode]
    parser.add_argument("mode", nargs="?", choices=modes, help="leave out to show it")
    parser.add_argument("--unit", metavar="UNIT", help="of this workload alone")


def _number(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="of a decision, or (undo) 'all'")


def _mute(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workload", metavar="UNIT|ID", help="a workload, or those of a decision"
    )
    parser.add_argument(
        "--for", dest="span", metavar="TIME", default="1h", help="how long (1h)"
    )


def _nothing(parser: argparse.ArgumentParser) -> None:
    """Take no argument."""


_ARGUMENTS: dict[str, Callable[[argparse.ArgumentParser], None]] = {
    "mode": _mode,
    "approve": _number,
    "undo": _number,
    "mute": _mute,
    "reload": _nothing,
}
_OWN = ("verb", "run", "socket", "json")  # not for the agent


def run(args: argparse.Namespace) -> int:
    """Send the order and print the agent's sentence."""
    values = {
        key: str(value)
        for key, value in vars(args).items()
        if key not in _OWN and value is not None
    }
    with Client(args.socket) as client:
        said = client.order(args.verb, values)
    if args.json:
        common.print_json({"order": args.verb, **values, "answer": said})
    else:
        print(said)
    return 0
