# SPDX-License-Identifier: MIT
"""`vagus off`: every setting back now, straight through the kernel module.

A running agent then only advises: it is told so, and sees it by the ends of its
leases, whichever comes first.  A scheduler that it does not give back is ended.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import msgspec

from vagus.cli import common
from vagus.cli.client import Client
from vagus.errors import ModuleMissing, VagusError


class Result(msgspec.Struct, frozen=True):
    """What was ended, as --json prints it."""

    ended: int  # leases
    left: int  # still held
    agent: bool  # whether a running agent was told to advise only
    scheduler: bool = False  # whether its scheduler had to be ended over its head


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.socket_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """End every lease of every owner; 3 where some are left or no module is."""
    ended, left, missing = _end_all()
    told = _stand_down(args.socket)
    if told and not missing:  # what it took between the two
        more, left, missing = _end_all()
        ended += more
    forced = end_scheduler(Path("/"))
    if missing and not told and not forced:
        raise ModuleMissing(
            "vagus.ko is not loaded: without it nothing is held, and nothing can be"
        ) from missing
    found = Result(ended, left, told, forced)
    if args.json:
        common.print_json(found)
    else:
        print(sentence(found))
    return 0 if left == 0 else 3


def _end_all() -> tuple[int, int, ModuleMissing | None]:
    """Return how many leases were ended, how many are left, or why none can be."""
    from vagus.kmod import Module

    try:
        with Module() as module:
            return module.off(), len(module.leases()), None
    except ModuleMissing as error:
        return 0, 0, error


def end_scheduler(root: Path) -> bool:
    """End our scheduler where it still runs: its agent hangs, or is another's.

    Linux kernel/sched/ext.c: sysrq-S gives every task back.
    """
    if common.scheduler(root) != common.OURS:
        return False
    try:
        (root / "proc/sysrq-trigger").write_text("S")
    except OSError:
        return False
    return True


def _stand_down(socket: Path) -> bool:
    """Tell the agent to give everything back and only advise; False without one."""
    try:
        with Client(socket) as client:
            client.order("undo", {"id": "all"})
    except VagusError:  # none runs, or it hangs: its leases are gone anyway
        return False
    return True


def sentence(found: Result) -> str:
    """Say what was given back."""
    if found.left:
        return f"{found.ended} given back; {found.left} still held: run it again"
    things = "1 setting was" if found.ended == 1 else f"{found.ended} settings were"
    what = f"{things} given back" if found.ended else "nothing was held"
    if found.scheduler:
        what += "; the scheduler was ended, and the kernel's own is back"
    if not found.agent:
        return what
    return (
        f"{what}; the agent only advises from now on"
        " (`vagus mode enforce` lets it act again)"
    )
