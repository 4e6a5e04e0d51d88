# SPDX-License-Identifier: MIT
"""Whether the agent that wrote a session still runs here.

Its leases cannot outlive it: the kernel gives them back.  A killed agent writes no
ends of leases, so a record alone cannot tell.
"""

from __future__ import annotations

import os
from pathlib import Path


def lives(boot: str, pid: int, proc: Path = Path("/proc")) -> bool:
    """Say whether a process of this boot is still there, and no zombie."""
    if boot != boot_id(proc) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's: it is there
        pass
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return True  # hidden from us (hidepid of proc(5))
    return text.rpartition(")")[2].split()[:1] != ["Z"]


def boot_id(proc: Path = Path("/proc")) -> str:
    """Return what tells this boot from others; '' where the kernel does not say."""
    try:
        return (proc / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
