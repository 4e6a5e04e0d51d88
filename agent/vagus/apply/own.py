# SPDX-License-Identifier: MIT
"""The agent's own share: a high weight for the loop, a floor and a cap for the engine.

Only inside the agent's own cgroup, and only where that is its own: every process
in it is the agent or a child of it, and it is not the root.  What is set here
needs no lease, because it ends with the cgroup.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path

import msgspec

CONTROLLERS = ("cpu", "memory")
# Among the machine's services, while somebody suffers: enough for a loop that needs a
# few per cent, and no more, since the engine's share comes out of it as well.
WEIGHT = 400
# While nobody does: less than any other.  With 400 a request that came during a tick
# waited for all of it on one CPU.
CALM_WEIGHT = 20
# Inside: the loop before the engine, always.
LOOP_WEIGHT = 10_000
# Enough for the loop's working set (60 MB is its budget).
LOOP_MEMORY_MIN = 64 << 20
# The engine works while the machine is in trouble: an idle-class engine would
# starve exactly then.
ENGINE_WEIGHT = 100
# So long may the engine run on end, whatever its share: less than a slice of the
# fair class (2.8 ms), so that nobody suffers from its being throttled late.
RUN_US = 2_000
# The kernel's bounds on cpu.max, quota and period (kernel/sched/core.c).
LEAST_US, LONGEST_US = 1_000, 1_000_000


class Own(msgspec.Struct, frozen=True):
    """The agent's own cgroup, divided; or why it was left as it is."""

    folder: Path | None = None
    reason: str = ""


def settle(
    root: Path,
    proc: Path,
    pid: int,
    engine_cap_pct: float,
    children: Iterable[int] = (),
) -> Own:
    """Divide the agent's own cgroup into `agent` and `engine`; never raise.

    `root` is the cgroup2 mount; `engine_cap_pct` is of one CPU.
    """
    path = _own_path(proc, pid)
    if path in ("", "/"):
        return Own(reason="the agent is not in a cgroup of its own")
    folder = root / path.strip("/")
    if folder.name == "agent" and (folder.parent / "engine").is_dir():
        folder = folder.parent
    try:
        inside = {int(line) for line in (folder / "cgroup.procs").read_text().split()}
        if not inside <= {pid, *children}:
            return Own(
                reason=f"{path} holds other processes too: start the agent as a unit"
            )
        _divide(folder, pid, engine_cap_pct)
    except OSError as error:
        return Own(reason=f"{path} cannot be divided: {error.strerror}")
    return Own(folder)


def _own_path(proc: Path, pid: int) -> str:
    with contextlib.suppress(OSError):
        for line in (proc / str(pid) / "cgroup").read_text().splitlines():
            if line.startswith("0::"):
                return line[3:]
    return ""


def _divide(folder: Path, pid: int, engine_cap_pct: float) -> None:
    """Make both halves, move in, and set them.

    admin-guide/cgroup-v2, "no internal process constraint": controllers can be
    given to children only when the parent holds no process.
    """
    for name in ("agent", "engine"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "agent/cgroup.procs").write_text(str(pid))
    for controller in CONTROLLERS:
        with contextlib.suppress(OSError):
            (folder / "cgroup.subtree_control").write_text(f"+{controller}")
    wanted = {
        "cpu.weight": str(WEIGHT),
        "memory.min": str(LOOP_MEMORY_MIN),
        "agent/cpu.weight": str(LOOP_WEIGHT),
        "agent/memory.min": str(LOOP_MEMORY_MIN),
        "engine/cpu.weight": str(ENGINE_WEIGHT),
        "engine/cpu.max": cpu_max(engine_cap_pct),
    }
    for name, value in wanted.items():
        with contextlib.suppress(OSError):  # a controller that is not given to us
            (folder / name).write_text(value)


def cpu_max(cap_pct: float) -> str:
    """Return the text of cpu.max for a share of one CPU, in short turns."""
    share = cap_pct / 100
    period_us = min(LONGEST_US, max(LEAST_US, round(RUN_US / share)))
    return f"{max(LEAST_US, round(share * period_us))} {period_us}"


def urge(own: Own, is_urgent: bool) -> None:
    """Give the agent the share for trouble, or the one for calm."""
    if own.folder is not None:
        with contextlib.suppress(OSError):  # a controller that is not given to us
            weight = WEIGHT if is_urgent else CALM_WEIGHT
            (own.folder / "cpu.weight").write_text(str(weight))


def place_engine(own: Own, pid: int) -> bool:
    """Move the engine's process into its half; False where there is none."""
    if own.folder is None:
        return False
    try:
        (own.folder / "engine/cgroup.procs").write_text(str(pid))
    except OSError:
        return False
    return True
