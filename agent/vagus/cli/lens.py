# SPDX-License-Identifier: MIT
"""`vagus lens`: look deeper for a while, with a bcc program of its own process."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import select
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vagus.cli import common, units
from vagus.errors import FeatureMissing, KernelError, PrivilegeError, VagusError
from vagus.policy.units import duration_ns

if TYPE_CHECKING:  # starts quickly: what a lens needs is imported when it runs
    from vagus.sense.lens import Lens

BAR = 40  # columns of the longest bar
WHAT = {
    "runq": "waits for a CPU",
    "offcpu": "waits off the CPU",
    "biolat": "block requests",
    "func": "calls of ",
}
FRAMES = 6  # of a stack, innermost first
ROOT = Path("/sys/fs/cgroup")
PLACES = Path("/run/vagus")
# Lenses that persons run at a time; a policy's SLOs have as many of their own.  Each
# is a compiler, 76 MB of bcc, and a probe in everybody's way.
MOST = 4


class NoWorkload(VagusError):
    """The unit or cgroup is not there."""

    exit_code = 64


class TooMany(VagusError):
    """As many lenses run as may."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "kind",
        choices=("runq", "offcpu", "biolat", "func"),
        help="waits for a CPU, waits for anything else by stack,"
        " block requests, one function's latency",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--unit", "-u", help="systemd unit; shop means shop.service")
    where.add_argument("--cgroup", help="path below the cgroup2 mount")
    parser.add_argument(
        "--for", dest="span", default="10s", help="how long, at most 1h (default 10s)"
    )
    parser.add_argument("--exe", default="", help="func: program or library")
    parser.add_argument(
        "--symbol", default="", help="func: the function's name, or usdt:BEGIN..END"
    )
    common.json_option(parser)
    parser.epilog = f"At most {MOST} lenses run at a time."


def run(args: argparse.Namespace) -> int:
    """Run one lens to its end; Ctrl-C ends it early and shows what there is."""
    from vagus.sense.lens import BCC, PYTHON, Lens, order_for

    if args.kind == "func" and not (args.exe and args.symbol):
        raise NoWorkload("a func lens needs --exe PATH and --symbol NAME")
    if os.geteuid():
        raise PrivilegeError("a lens needs root: run it with sudo")
    if not BCC.exists():
        raise FeatureMissing("bcc is not installed: apt install python3-bpfcc")
    try:
        seconds = duration_ns(args.span) / 1e9
    except ValueError as error:
        raise NoWorkload(f"--for: {error}") from None
    cgroup = place(args.unit, args.cgroup, ROOT)
    id_ = (ROOT / cgroup.strip("/")).stat().st_ino if cgroup != "/" else 0
    more = {"exe": args.exe, "symbol": args.symbol}
    order = order_for(args.kind, cgroup, id_, seconds, **more)
    with one_of_few(PLACES), Lens(order, PYTHON) as lens:
        counts, told, failure = watch(lens, quiet=args.json)
    if failure:
        raise KernelError(f"the lens does not work: {failure}")
    if args.json:
        common.print_json(document(args.kind, counts, told, lens.lost))
        return 0
    print(f"{WHAT[args.kind]}{args.symbol} of {cgroup.strip('/') or 'the machine'}")
    print("\n".join([*histogram(counts), *stack_lines(told)]))
    if lens.lost:
        print(f"{lens.lost} more could not be measured: they began before, or no room")
    return 0


@contextlib.contextmanager
def one_of_few(folder: Path) -> Iterator[None]:
    """Hold one of MOST places; the kernel frees it however this process ends."""
    folder.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    for number in range(MOST):
        fd = os.open(folder / f"lens-{number}.lock", flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            continue
        try:
            yield
        finally:
            os.close(fd)
        return
    raise TooMany(f"{MOST} lenses run already, and no more may: wait until one ends")


def document(
    kind: str,
    counts: Sequence[int],
    stacks: list[dict[str, object]],
    lost: int,
) -> dict[str, object]:
    """Return what --json prints; a percentile of nothing is null."""
    from vagus import abi
    from vagus.percentile import percentiles

    bounds = abi.hist_bounds_ns()
    p50, p99 = percentiles(counts, bounds, (0.5, 0.99)) if sum(counts) else (None, None)
    return {
        "kind": kind,
        "count": sum(counts),
        "p50_ns": p50,
        "p99_ns": p99,
        "lost": lost,
        "counts": counts,
        "from_ns": [low for low, _ in bounds],
        "stacks": stacks,
    }


def place(unit: str | None, cgroup: str | None, root: Path) -> str:
    """Return the cgroup that is meant; the whole machine without a word."""
    if cgroup:
        path = "/" + cgroup.strip("/")
        if not (root / path.strip("/")).is_dir():
            raise NoWorkload(f"there is no cgroup {path}")
        return path
    if not unit:
        return "/"
    name = unit if "." in unit else f"{unit}.service"
    for folder, names, _ in os.walk(root):
        if name in names:
            return f"{folder}/{name}".removeprefix(str(root))
    raise NoWorkload(
        f"{name} has no cgroup: is it running? see systemctl status {name}"
    )


def watch(
    lens: Lens, quiet: bool = False
) -> tuple[list[int], list[dict[str, object]], str]:
    """Return the last histogram, the stacks and what went wrong."""
    counts: list[int] = []
    stacks: list[dict[str, object]] = []
    if not quiet:
        print("compiling...", file=sys.stderr)
    try:
        while lens.running:
            select.select([lens.fileno()], [], [], 1.0)
            for line in lens.lines():
                if line.ready and not quiet:
                    print(f"watching for {lens.order.seconds:g} s", file=sys.stderr)
                counts = list(line.counts) or counts
                stacks = line.stacks or stacks
        for line in lens.lines():
            counts = list(line.counts) or counts
            stacks = line.stacks or stacks
    except KeyboardInterrupt:  # shows what there is so far
        return counts, stacks, ""
    return counts, stacks, lens.said_error


def histogram(counts: Sequence[int]) -> list[str]:
    """Draw what was measured: percentiles, then a bar for each octave."""
    from vagus import abi
    from vagus.percentile import percentiles

    total = sum(counts)
    if not total:
        return ["nothing happened"]
    bounds = abi.hist_bounds_ns()
    p50, p99 = percentiles(counts, bounds, (0.5, 0.99))
    ends = bounds[0][1], bounds[-1][0]
    lines = [
        f"{total} times   p50 {bounded(p50, *ends)}   p99 {bounded(p99, *ends)}"
        "   (within 12 %)"
    ]
    rows = list(zip(bounds, counts, strict=True))
    octaves = [rows[:1], *(rows[i : i + 4] for i in range(1, len(rows) - 1, 4))]
    octaves.append(rows[-1:])
    sums = [sum(count for _, count in octave) for octave in octaves]
    shown = [index for index, number in enumerate(sums) if number]
    for index in range(shown[0], shown[-1] + 1):
        low = units.duration(float(octaves[index][0][0][0]))
        bar = "█" * round(BAR * sums[index] / max(sums))
        lines.append(f"{low:>9} {sums[index]:>9} {bar}")
    return lines


def bounded(value_ns: float, low: int, high: int) -> str:
    """Return a percentile; beyond the first or last bound only the bound is known."""
    if value_ns < low:
        return f"under {units.duration(low)}"
    over = "over " if value_ns >= high else ""
    return over + units.duration(min(value_ns, high))


def stack_lines(stacks: Sequence[dict[str, object]]) -> list[str]:
    """Show where the most time was waited."""
    from vagus.text import escape

    lines = []
    for stack in stacks[:10]:
        ns, frames = stack.get("ns", 0), stack.get("frames", [])
        took = units.duration(float(ns)) if isinstance(ns, int | float) else "-"
        lines.append(f"\n{took:>9}  {escape(str(stack.get('comm', '')), 16)}")
        shown = frames[:FRAMES] if isinstance(frames, list) else []
        lines += [f"{'':11}{escape(str(frame), 60)}" for frame in shown]
    return lines
