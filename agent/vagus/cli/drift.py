# SPDX-License-Identifier: MIT
"""`vagus verify`: every setting that is held against what the kernel has now.

And those that were held until somebody else set the knob: such a lease ends at its
next renewal, the module then knows no more of it, and the record does.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from vagus.cli import common
from vagus.cli.paint import Cell, Paint, table, width_for
from vagus.errors import RecordError
from vagus.policy.knobs import LEAVE_ALONE_NS
from vagus.policy.units import duration_text
from vagus.record.found import LeaseRow
from vagus.record.read import Reader
from vagus.text import escape

STYLES = {"as held": "green", "drifted": "red", "lost": "red", "gone": "dim"}
LATELY_NS = LEAVE_ALONE_NS  # a loss is told for as long as it has consequences
ROWS = 5_000  # the newest leases, among which a loss is looked for
S = 1_000_000_000
NICE, POLICIES = "nice", {"0": "other", "3": "batch", "5": "idle"}  # sched(7)


class Drift(msgspec.Struct, frozen=True):
    """One setting that is held, or was until lately, as --json prints it."""

    state: str  # "as held", "drifted", "gone"; "lost": held until somebody set it
    workload: str  # whose knob
    knob: str  # its name
    path: str  # below its file system's mount point
    expected: str  # what the lease holds, or held
    actual: str  # what the kernel says
    owner: str  # "lease 3", "lease 3 of port 4711" where it is another agent's
    why: str  # the stance
    lost_ns: int = 0  # wall clock, when it was lost; 0 where it is held
    alone_until_ns: int = 0  # wall clock; until then Vagus does not set it; 0: it may


class Held(msgspec.Struct, frozen=True):
    """What the module says of a lease; the part that is looked at here."""

    id: int
    owner: int
    path: str
    value: str


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    common.record_option(parser)
    common.json_option(parser)


def run(args: argparse.Namespace) -> int:
    """Print one line a setting; 1 where one is not as held, or was lost lately."""
    from vagus.kmod import Module

    with Module() as module:
        held = [Held(one.id, one.owner, one.path, one.value) for one in module.leases()]
    rows, past = known(args.record)
    classes = [row for row in rows.values() if row.lease < 0 and row.is_current]
    held += [Held(row.lease, 0, row.path, row.value) for row in classes]
    now_ns = common.now_ns()
    found = drifts(held, rows, Path("/")) + losses(past, held, Path("/"), now_ns)
    if args.json:
        common.print_json(found)
    elif not found:
        print("nothing is held")
    else:
        columns = width_for(sys.stdout)
        print(listing(found, common.paint(), columns, now_ns), end="")
    return int(any(one.state in ("drifted", "lost") for one in found))


def known(record: Path) -> tuple[dict[int, LeaseRow], list[LeaseRow]]:
    """Return the latest agent's live leases by number, and the newest of all."""
    try:
        with Reader(record) as reader:
            live = {row.lease: row for row in reader.live_leases()}
            return live, reader.leases(limit=ROWS)
    except RecordError:
        return {}, []


def drifts(held: Sequence[Held], rows: dict[int, LeaseRow], root: Path) -> list[Drift]:
    """Compare each lease with its knob."""
    return [_drift(one, rows.get(one.id), root) for one in held]


def losses(
    past: Sequence[LeaseRow], held: Sequence[Held], root: Path, now_ns: int
) -> list[Drift]:
    """Return what was lost lately and is not held again, the latest loss of each."""
    again = {one.path for one in held}
    found = {}
    for row in past:
        lately = row.end and now_ns - row.end.wall_ns < LATELY_NS
        if row.end and row.end.end == "lost" and lately and row.path not in again:
            found[row.path] = _lost(row, row.end.wall_ns, root)
    return list(found.values())


def _lost(row: LeaseRow, lost_ns: int, root: Path) -> Drift:
    one = _drift(Held(row.lease, 0, row.path, row.value), row, root)
    # An agent that was started since does not know of the loss.
    until_ns = lost_ns + LEAVE_ALONE_NS if row.is_current else 0
    return msgspec.structs.replace(
        one, state="lost", owner="nobody", lost_ns=lost_ns, alone_until_ns=until_ns
    )


def _drift(one: Held, row: LeaseRow | None, root: Path) -> Drift:
    path = row.path if row else one.path
    # A class has no file: it is as held as long as the scheduler is there.
    actual = _actual(path, root) if one.id > 0 else _class(one, root)
    if actual is None:
        state = "gone"
    else:
        state = "as held" if same(actual, one.value) else "drifted"
    return Drift(
        state=state,
        workload=row.workload if row else "",
        knob=row.knob if row else path.rsplit("/", 1)[-1],
        path=path,
        expected=one.value.strip(),
        actual=(actual or "").strip(),
        owner=f"lease {one.id}" + ("" if row else f" of port {one.owner}"),
        why=row.why if row else "not of the recorded agent",
    )


def _class(one: Held, root: Path) -> str | None:
    """Return the class that was given, or None where the scheduler is not there."""
    return one.value if common.scheduler(root) == common.OURS else None


def same(actual: str, expected: str) -> bool:
    """Say whether a knob's text is the held one; a file of lines may hold more."""
    wanted = expected.split()
    return actual.split() == wanted or any(
        line.split() == wanted for line in actual.splitlines()
    )


def _actual(path: str, root: Path) -> str | None:
    """Return a knob's text now, or None where it is gone."""
    if path.startswith("task:"):
        return _task(path, root)
    for mount in ("sys/fs/cgroup", "sys", "proc/sys"):
        try:
            return (root / mount / path.lstrip("/")).read_text(errors="replace")
        except OSError:
            continue
    return None


def _task(path: str, root: Path) -> str | None:
    """Return a thread's nice value and policy, as proc(5) has them in stat."""
    tid = path.removeprefix("task:").split("/")[0]
    try:
        text = (root / "proc" / tid / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return f"{fields[16]}\n{POLICIES.get(fields[38], fields[38])}"


def listing(found: Sequence[Drift], paint: Paint, columns: int, now_ns: int = 0) -> str:
    """Return the table, and what follows from it."""
    rows: list[list[str | Cell]] = [
        [
            Cell(one.state, STYLES[one.state]),
            one.workload or os.path.dirname(one.path),
            one.knob,
            one.expected,
            one.actual or "-",
            one.owner,
            one.why,
        ]
        for one in found
    ]
    header = ["STATE", "WORKLOAD", "KNOB", "EXPECTED", "ACTUAL", "HELD BY", "WHY"]
    text = table(header, rows, paint, columns)
    if any(one.state == "drifted" for one in found):
        text += "somebody else set what drifted; theirs stays when the lease ends\n"
    for one in found:
        if one.state == "lost":
            text += _told(one, now_ns)
    return text


def _told(one: Drift, now_ns: int) -> str:
    """Say when a knob was lost, and for how long it is left alone."""
    ago = duration_text(max(0, now_ns - one.lost_ns) // S * S)
    left = max(0, one.alone_until_ns - now_ns) // S * S
    alone = f"left alone for another {duration_text(left)}" if left else "free again"
    who = escape(one.workload or os.path.dirname(one.path))
    return f"{one.knob} of {who}: somebody else set it {ago} ago; {alone}\n"
