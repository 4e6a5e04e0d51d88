# SPDX-License-Identifier: MIT
"""What /proc says of the processes of a cgroup, for matching and display."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from vagus.text import comm, escape

LOOKED_AT = 64  # processes of one cgroup that are looked at; the oldest first


class Process(NamedTuple):
    """One process; every text is escaped."""

    pid: int
    comm: str
    exe: str
    uid: int


def of_cgroup(root: Path, proc: Path, cgroup: str) -> list[Process]:
    """Return the processes of a cgroup, oldest first; none where it vanished."""
    try:
        with open(f"{root}{cgroup}/cgroup.procs", "rb") as file:
            words = file.read(65536).split()
    except OSError:
        return []
    pids = sorted({int(word) for word in words if word.isdigit()} - {0})
    found = (look(proc, pid) for pid in pids[:LOOKED_AT])
    return [process for process in found if process is not None]


def look(proc: Path, pid: int) -> Process | None:
    """Return what /proc says of one process; None where it ended."""
    try:
        with open(f"{proc}/{pid}/comm", "rb", buffering=0) as file:
            name = comm(file.read(64).rstrip(b"\n"))
        uid = os.stat(f"{proc}/{pid}").st_uid
    except OSError:
        return None
    return Process(pid, name, _exe(proc, pid), uid)


def _exe(proc: Path, pid: int) -> str:
    """Return the path of the program; empty for kernel threads and without right."""
    try:
        target = os.readlink(os.fsencode(f"{proc}/{pid}/exe"))
    except OSError:
        return ""
    return escape(target.removesuffix(b" (deleted)"), 256)
